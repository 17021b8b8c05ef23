"""Each language has all words, with the same places in them; and each reader gets the best that there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextvars import Context
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as Entry
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from blossom.platform import languages, localised, streams
from blossom.platform.streams import Shown, Topic

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [("blossom/**.py", "python"), ("templates/**.html", "jinja2")]
KEYWORDS = {"t": None, "noted": None, "tn": (1, 2)}
PLACES = re.compile(r"%\(\w+\)s|%%")

Message = str | tuple[str, ...]


def messages() -> set[Message]:
    found = extract_from_dir(str(ROOT), method_map=SOURCES, keywords=KEYWORDS, options_map={})
    return {message if isinstance(message, str) else tuple(message) for _, _, message, _, _ in found}


def catalogue_of(locale: str) -> Catalog:
    with (ROOT / "locales" / f"{locale}.po").open("rb") as file:
        return read_po(file, locale=locale)


def forms(words: str | Sequence[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


@pytest.mark.parametrize("locale", languages.supported()[1:])
class TestACatalogue:
    def test_has_every_message_and_no_other(self, locale: str) -> None:
        translated = {message.id if isinstance(message.id, str) else tuple(message.id) for message in _of(locale)}
        known = messages()
        assert len(known) > 800
        assert known - translated == set(), "messages without a translation"
        assert translated - known == set(), "translations that nothing shows any more"

    def test_translates_each_with_its_places(self, locale: str) -> None:
        for message in _of(locale):
            assert not message.fuzzy, message.id
            said = forms(message.string or "")
            assert all(said), message.id
            assert len(said) == (1 if isinstance(message.id, str) else catalogue_of(locale).num_plurals), message.id
            for words in said[-1:]:  # "one" may go without its number
                assert sorted(PLACES.findall(forms(message.id)[-1])) == sorted(PLACES.findall(words)), message.id

    def test_is_what_is_said(self, locale: str) -> None:
        said = languages.translator(locale)
        for message in _of(locale):
            if isinstance(message.id, str):
                assert said(message.id) == message.string


def _of(locale: str) -> list[Entry]:
    return [message for message in catalogue_of(locale) if message.id]


def test_greek_is_there() -> None:
    assert languages.supported()[:2] == ("en", "el")
    assert languages.translator("el")("Texts from %(shop)s", shop="100% Καφές") == "SMS από το 100% Καφές"


@pytest.mark.parametrize(
    ("asked", "accepted", "chosen"),
    [
        (None, None, "en"),
        ("el", None, "el"),
        ("el-GR", "en", "el"),
        ("el_GR", None, "el"),
        ("xx", "el;q=0.1,en;q=0.05", "el"),
        ("", "fr,el;q=0.3", "el"),
        ("", "en,el", "en"),
        (None, "el;q=0", "en"),
        ("../el", "*", "en"),
    ],
)
def test_the_best_language_is_chosen(asked: str | None, accepted: str | None, chosen: str) -> None:
    assert languages.choose(asked, accepted) == chosen


@given(st.text(max_size=60), st.text(max_size=200))
def test_whatever_is_asked_for_there_is_a_language(asked: str, accepted: str) -> None:
    assert languages.choose(asked, accepted) in languages.supported()
    languages.region_of(asked)


def test_countries_have_names_in_each_language_and_their_codes() -> None:
    for locale, name in (("en", "Greece"), ("el", "Ελλάδα")):
        countries = languages.countries(locale)
        assert ("GR", name, 30) in countries
        assert len(countries) > 200
    names = [name for _, name, _ in languages.countries("el")]
    assert names.index("Άγιος Μαρίνος") < names.index("Βέλγιο"), "accents don't count in the order"


@pytest.mark.parametrize(
    ("tag", "country"), [("el-GR", "GR"), ("pt-BR", "BR"), ("el", None), (None, None), ("en-XX", None)]
)
def test_a_tag_may_name_a_country(tag: str | None, country: str | None) -> None:
    assert languages.region_of(tag) == country


class TestWordsForTheReader:
    def test_are_english_until_somebody_else_reads(self) -> None:
        def read() -> None:
            assert languages.t("Contacts") == "Contacts"
            with languages.reading("el"):
                assert languages.t("Contacts") == "Επαφές"
            assert languages.reader() == "en"

        Context().run(read)  # in which nobody has read yet: pages of other tests were asked for in this one

    @pytest.mark.parametrize(
        ("locale", "number", "said"),
        [
            ("en", 1, "1 person"),
            ("en", 0, "0 people"),
            ("en", 12_345, "12,345 people"),
            ("el", 1, "1 άτομο"),
            ("el", 12_345, "12.345 άτομα"),
        ],
    )
    def test_agree_with_what_is_counted(self, locale: str, number: int, said: str) -> None:
        with languages.reading(locale):
            assert languages.tn("%(num)s person", "%(num)s people", number) == said

    def test_let_markup_in_and_escape_all_else(self) -> None:
        said = languages.t("%(a)s & %(b)s", a=Markup("<time>now</time>"), b="<b>")
        assert said == Markup("<time>now</time> &amp; &lt;b&gt;")
        assert not hasattr(languages.t("%(a)s & %(b)s", a="1", b="<b>"), "__html__")

    def test_made_in_code_are_english_there_and_greek_on_the_page(self) -> None:
        inner = languages.noted("Opted out")
        words = languages.noted("%(field)s %(fault)s.", field=inner, fault=languages.noted("must have a word at least"))
        assert words == "Opted out must have a word at least."
        with languages.reading("el"):
            assert languages.t(words) == "Διαγραφή: πρέπει να έχει τουλάχιστον μία λέξη."
            assert languages.t(languages.joined(inner, "12")) == "Διαγραφή 12"

    def test_count_as_the_reader_does(self) -> None:
        words = languages.noted("Give %(most)s numbers at most.", most=1_234)
        with languages.reading("el"):
            assert "1.234" in languages.t(words)

    def test_of_a_stream_are_in_the_language_of_who_asked_for_it(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "TICK_SECONDS", 0.0)
        looks = iter((1, 2))

        def look() -> Shown:
            number = next(looks)
            return Shown(f"{languages.reader()} {number}", is_last=number == 2)

        with app.test_request_context(), languages.reading("el"):
            stream = streams.answer(Topic(1, "any", look))
        assert languages.reader() == "en"
        assert re.findall("data: (.+)", stream.get_data(as_text=True)) == ["el 1", "el 2"]


class TestForms:
    AT = datetime(2026, 11, 20, 19, 14, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("shown", "english", "greek"),
        [
            (lambda locale: localised.number(1_234_567, locale), "1,234,567", "1.234.567"),
            (lambda locale: localised.number(0.5, locale), "0.5", "0,5"),
            (lambda locale: localised.percent(12.54, locale), "12.5%", "12,5%"),
            (lambda locale: localised.percent(12, locale), "12%", "12%"),
            (lambda locale: localised.percent(100.0, locale), "100%", "100%"),
            (lambda locale: localised.percent(0.0, locale), "0%", "0%"),
            (lambda locale: localised.money(123_450, locale), "1,234.50", "1.234,50"),
            (lambda locale: localised.day(TestForms.AT, "Europe/Athens", locale), "20 Nov 2026", "20 Νοε 2026"),
            (
                lambda locale: localised.moment(TestForms.AT, "Europe/Athens", locale),
                "20 Nov 2026, 21:14 (Europe/Athens)",
                "20 Νοε 2026, 21:14 (Europe/Athens)",
            ),
            (lambda locale: localised.day(TestForms.AT, "Asia/Tokyo", locale), "21 Nov 2026", "21 Νοε 2026"),
        ],
    )
    def test_are_those_of_the_locale(self, shown: Callable[[str], str], english: str, greek: str) -> None:
        assert (shown("en"), shown("el")) == (english, greek)
