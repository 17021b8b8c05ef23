"""Each language has all words, with the same places in them; and each reader gets the best that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from blossom.platform import languages

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [("blossom/**.py", "python"), ("templates/storefront/**.html", "jinja2")]
PLACES = re.compile(r"%\(\w+\)s")


def messages() -> set[str]:
    found = extract_from_dir(str(ROOT), method_map=SOURCES, keywords={"t": None, "noted": None}, options_map={})
    return {message for _, _, message, _, _ in found if isinstance(message, str)}


@pytest.mark.parametrize("locale", languages.supported()[1:])
def test_a_catalogue_has_every_message_and_no_other(locale: str) -> None:
    with (ROOT / "locales" / f"{locale}.po").open("rb") as file:
        catalogue = read_po(file, locale=locale)
    translated = {str(entry.id): str(entry.string) for entry in catalogue if entry.id}

    assert len(messages()) > 30
    assert set(translated) == messages()
    for message, words in translated.items():
        assert words, message
        assert sorted(PLACES.findall(message)) == sorted(PLACES.findall(words)), message
        if words != message:
            assert languages.translator(locale)(message) == words


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
