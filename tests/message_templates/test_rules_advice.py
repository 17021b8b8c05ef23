"""Opt-out, linter, filters, senders, previews."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from blossom.message_templates.errors import InvalidSender
from blossom.message_templates.rules import dates, filters, linter, naming, opt_out
from blossom.message_templates.rules.catalogue import SENDING_NOW, Trigger, variables
from blossom.message_templates.rules.linter import Level, lint
from blossom.message_templates.rules.opt_out import default_line, has_opt_out, with_opt_out
from blossom.message_templates.rules.preview import preview
from blossom.message_templates.rules.segments import Encoding
from blossom.message_templates.rules.sender import validate_sender
from blossom.message_templates.rules.values import Money

CAMPAIGN = Trigger.CAMPAIGN
hello = 'Hi {{ first_name | default: "you" }}. Reply STOP to opt out'


def codes(source: str, trigger: Trigger = CAMPAIGN, **options: object) -> list[str]:
    return [found.code for found in lint(source, trigger, **options)]  # type: ignore[arg-type]


# Opt-out


@pytest.mark.parametrize(
    "text",
    [
        "Sale! Reply STOP to opt out",
        "Sale! reply stop to opt-out.",
        "Sale! Text STOP to 54321",
        "Sale! STOP to end",
        "Sale! STOP=opt out",
        "Sale! Opt out: STOP",
        "Sale! Txt 'STOP' 2 end",
        "Sale! Unsub: STOP",
        "Sale! Send UNSUBSCRIBE to stop",
        "Προσφορές! Απάντησε ΣΤΟΠ για διαγραφή",
        "ΠPOΣΦOPEΣ! AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH",  # in GSM-7 capitals
        "Promo ! Répondez STOP",
        "Angebot! Antworte STOP zum Abmelden",
        "Sale!\nReply\nSTOP",
    ],
)
def test_a_way_out_is_seen(text: str) -> None:
    assert has_opt_out(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Don't STOP the party",
        "NON-STOP SALE",
        "We can't stop, won't stop. Reply to win!",
        "END OF SEASON SALE. CANCEL your plans",
        "Reply YES to win. Our next stop is Athens",
        "{% if first_name %}Reply STOP to opt out{% endif %}",
        "{% if first_name %}a{% else %}b{% unless sender %}c{% endunless %}Reply STOP to opt out{% endif %}",
        "{{ 'Reply STOP to opt out' }}",
    ],
)
def test_what_is_no_way_out_for_everybody_is_not_taken_for_one(text: str) -> None:
    assert not has_opt_out(text)


def test_a_shops_own_words_count() -> None:
    assert has_opt_out("Sale. No more: write ARRET to us", line="write ARRET to us", keywords=["Arrêt"])
    assert not has_opt_out("Sale. No more: write ARRET to us", line="write ARRET to us"), "nobody hears that word"
    assert not has_opt_out("Sale. Reply ARRET")
    assert has_opt_out("Sale. Reply ARRET", keywords=["Arrêt"])


@pytest.mark.parametrize(
    "line", ["Reply STOP to opt out", "STOP = fin", "Για διαγραφή: στοπ", "{{ opt_out_link }}", "ARRET pour finir"]
)
def test_a_line_that_names_a_way_out_is_the_shops(line: str) -> None:
    assert opt_out.line_of(line, ["Arrêt"]) == line


@pytest.mark.parametrize(
    "line",
    ["", "Hello", "ARRET pour finir", "Unstoppable", "{% if first_name %}STOP{% endif %}", "{{ shop_name }}", None],
)
def test_a_line_that_tells_nobody_how_to_opt_out_gives_way_to_the_usual_one(line: str | None) -> None:
    assert opt_out.line_of(line, ["basta"]) == "Reply STOP to opt out"


def test_the_line_is_added_once_and_below() -> None:
    once = with_opt_out("Sale! \n", "Reply STOP to opt out")
    assert once == "Sale!\nReply STOP to opt out"
    assert with_opt_out(once, "Reply STOP to opt out") == once


@pytest.mark.parametrize("language", ["en", "el", "el-GR", "pl"])
def test_the_default_lines_are_ways_out(language: str) -> None:
    assert has_opt_out(default_line(language))


# Linter


def test_a_good_text_has_nothing_to_be_said_about() -> None:
    assert lint(hello, CAMPAIGN) == []


@pytest.mark.parametrize(
    ("text", "code", "level"),
    [
        ("{{ frist_name }}", "unknown_variable", Level.ERROR),
        ("{{ first_name | uper }}", "unknown_filter", Level.ERROR),
        ("{% for x in y %}", "unknown_tag", Level.ERROR),
        ("a\x00", "control_character", Level.ERROR),
        ("Hi {{ first_name }}. Reply STOP to opt out", "may_be_missing", Level.ERROR),
        ("a" * 1540 + " Reply STOP to opt out", "too_long", Level.ERROR),
        ("a" * 460 + " Reply STOP to opt out", "long", Level.WARNING),
        ("Hi you", "no_opt_out", Level.WARNING),
        ("http://shop.example Reply STOP to opt out", "link_without_https", Level.WARNING),
        ("See shop.gr/sale. Reply STOP to opt out", "link_without_https", Level.WARNING),
        ("https://bit.ly/abc Reply STOP to opt out", "public_shortener", Level.WARNING),
        ("Hi {first_name}! Reply STOP to opt out", "looks_like_variable", Level.WARNING),
        ("Hi %FIRST_NAME%! Reply STOP to opt out", "looks_like_variable", Level.WARNING),
        ("“" + "a" * 100 + "” Reply STOP to opt out", "not_gsm", Level.WARNING),
        ("Hi 😀. Reply STOP to opt out", "not_gsm", Level.INFO),
    ],
)
def test_advice(text: str, code: str, level: Level) -> None:
    found = lint(text, CAMPAIGN)
    assert [(each.code, each.level) for each in found] == [(code, level)]
    assert found[0].actionable
    assert linter.blocks_sending(found) is (level is Level.ERROR)


@pytest.mark.parametrize(
    "text", ["me@shop.com", "The sale.Now or never", "https://shop.example/a?b=c.com", "At 10.30 for 5.99", "e.g. this"]
)
def test_what_is_no_link_is_left_alone(text: str) -> None:
    assert codes(f"{text} Reply STOP to opt out") == []


def test_a_text_that_no_one_can_get_says_so_before_its_source_is_too_long() -> None:
    found = lint("y " * 800, CAMPAIGN)
    assert [(each.code, each.level) for each in found][:1] == [("too_long", Level.ERROR)]
    assert "600 are allowed" in found[0].message


@pytest.mark.parametrize(
    ("sender", "text", "line", "said"),
    [
        ("Blue Shop", "Hi. Reply STOP to opt out", "", ["opt_out_unanswerable"]),
        ("Blue Shop", "Hi", "", ["no_opt_out", "opt_out_unanswerable"]),
        ("Blue Shop", "Hi", "Out: {{ opt_out_link }}", ["no_opt_out"]),
        ("Blue Shop", "Hi. Out: {{ opt_out_link }}", "", []),
        ("Blue Shop", "Hi. Reply STOP{% if first_name %} {{ opt_out_link }}{% endif %}", "", ["opt_out_unanswerable"]),
        ("+306900000000", "Hi. Reply STOP to opt out", "", []),
        (None, "Hi. Reply STOP to opt out", "", []),
    ],
)
def test_nobody_can_answer_a_name(sender: str | None, text: str, line: str, said: list[str]) -> None:
    assert codes(text, sender=sender, opt_out_line=line) == said


def test_advice_stands_where_it_belongs_and_errors_come_first() -> None:
    found = lint("See http://a.example\nHi {{ first_name }} “", CAMPAIGN)
    assert [(each.code, each.line, each.column) for each in found] == [
        ("may_be_missing", 2, 7),
        ("no_opt_out", 1, 1),
        ("link_without_https", 1, 5),
        ("not_gsm", 2, 21),
    ]


def test_the_cost_of_dear_characters_is_told() -> None:
    (found,) = lint("“Sale”… " + "a" * 100 + " Reply STOP to opt out", CAMPAIGN)
    assert "1 instead of 2 segments" in found.actionable
    assert "typographic double quote" in found.message


def test_a_text_about_an_order_needs_no_way_out() -> None:
    assert codes("Your order {{ order_number }} is on its way", Trigger.ORDER) == []


def test_greek_names_in_a_gsm_text_are_told_of() -> None:
    text = 'KAΛHMEPA {{ first_name | default: "ΣE ΣENA" }}! AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH'
    assert codes(text, language="el") == ["greek_value"]
    assert codes(text.replace('"ΣE ΣENA"', '"ΣE ΣENA" | upper'), language="el") == []


# Filters and dates


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("MARIA", "Maria"),
        ("maria jones", "Maria Jones"),
        ("McDonald", "McDonald"),
        ("o'neil", "O'Neil"),
        ("anne-marie", "Anne-Marie"),
        ("ΓΙΩΡΓΟΣ", "Γιωργος"),
        ("maria's", "Maria's"),
        ("ßen", "SSen"),
        ("42 street", "42 Street"),
    ],
)
def test_titlecase(name: str, shown: str) -> None:
    assert filters.titlecase(name) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Μαρία", "MAPIA"),
        ("Ζωή", "ZΩH"),
        ("Weiß", "WEISS"),
        ("zoë", "ZOË"),
        ("Иван", "ИВАН"),
        ("Hélène", "HÉLENE"),
        ("niccolo\u0300", "NICCOLO"),
    ],
)
def test_upper_writes_greek_in_gsm_capitals(name: str, shown: str) -> None:
    assert filters.upper(name) == shown


@pytest.mark.parametrize(
    ("text", "length", "shown"),
    [
        ("Linen shirt", 11, "Linen shirt"),
        ("Linen shirt", 9, "Linen..."),
        ("Linen shirt", 4, "L..."),
        ("ab👨‍👩‍👧cd", 9, "ab👨‍👩‍👧cd"),
        ("ab👨‍👩‍👧cde", 9, "ab..."),
        ("ab👍🏽cd", 5, "ab..."),
    ],
)
def test_truncate_counts_its_ending_and_cuts_no_emoji(text: str, length: int, shown: str) -> None:
    assert filters.truncate(text, length) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "english", "greek"),
    [
        ("1234.5", "EUR", "€1,234.50", "1.234,50 €"),
        ("0.005", "USD", "$0.01", "0,01 $"),
        ("1500", "JPY", "¥1,500", "1.500 ¥"),
        ("9.99", "pln", "9.99 PLN", "9,99 PLN"),
        ("-3", "GBP", "£-3.00", "-3,00 £"),
    ],
)
def test_money(amount: str, currency: str, english: str, greek: str) -> None:
    assert filters.money(Money(amount, currency), "en") == english
    assert filters.money(Money(amount, currency), "el") == greek


def test_dates_know_names_in_english_and_greek_only() -> None:
    day = datetime(2026, 5, 3, 7, 5, tzinfo=UTC)
    assert dates.format_date(day, "%A %-d %B %Y", "en") == "Sunday 3 May 2026"
    assert dates.format_date(day, "%A %-d %B", "el") == "Κυριακή 3 Μαΐου"
    assert dates.format_date(day, "%d/%-m/%y %H:%M 100%%", "de") == "03/5/26 07:05 100%"
    assert dates.format_date(date(2026, 5, 3), "%H:%M", "de") == "00:00"
    assert dates.wrong_with("%B", "el") is None
    assert "English and Greek only" in str(dates.wrong_with("%B", "de"))


# Senders, names, catalogue


@pytest.mark.parametrize(
    ("typed", "sender"), [("Olive", "Olive"), (" Olive24 ", "Olive24"), ("+306912345678", "+306912345678")]
)
def test_a_sender_is_a_short_name_or_a_number(typed: str, sender: str) -> None:
    assert validate_sender(typed) == sender


@pytest.mark.parametrize(
    "typed", ["", "ab", "a" * 12, "12345", "Olive Oil", "Ελιά", "Ol-ive", "+12", "+0123456789", "306912345678"]
)
def test_any_other_sender_is_refused(typed: str) -> None:
    with pytest.raises(InvalidSender):
        validate_sender(typed)


def test_a_copy_gets_the_first_free_name() -> None:
    assert naming.free_name("Sale", {"sale"}) == "Sale (2)"
    assert naming.free_name("Sale", {"sale", "sale (2)"}) == "Sale (3)"
    assert len(naming.free_name("x" * 100, set())) == naming.NAME_LENGTH


def test_a_campaign_offers_what_is_known_of_everybody() -> None:
    assert list(variables(CAMPAIGN)) == [
        "first_name", "last_name", "full_name", "shop_name", "sender", "opt_out_link",
    ]  # fmt: skip
    assert {CAMPAIGN} == SENDING_NOW


# Previews


def test_a_preview_shows_the_text_its_size_and_its_way_out() -> None:
    seen = preview('Hi {{ first_name | default: "you" }}!', CAMPAIGN, values={"first_name": "Zoë"})
    assert seen.text == "Hi Zoë!\nReply STOP to opt out"
    assert (seen.size.encoding, seen.size.segments) == (Encoding.UCS2, 1)
    assert seen.parts == (seen.text,)
    assert seen.can_send
    assert [each.code for each in seen.findings] == ["no_opt_out"]


def test_a_preview_of_a_person_who_lacks_a_value_says_so() -> None:
    seen = preview("Hi {{ first_name }}!", CAMPAIGN, values={"first_name": ""})
    assert seen.text is None
    assert seen.unrendered is not None
    assert seen.unrendered.code == "missing_value"
    assert not seen.can_send


def test_a_preview_of_a_faulty_text_has_its_findings_and_no_text() -> None:
    seen = preview("Hi {{ frist_name }}!", CAMPAIGN)
    assert (seen.text, seen.unrendered, seen.size.segments) == (None, None, 0)
    assert seen.findings[0].code == "unknown_variable"


def test_a_preview_offers_cures_with_what_they_save() -> None:
    seen = preview("“Νέες προσφορές” " * 6, CAMPAIGN, language="en")
    assert set(seen.cures) == {"typographic", "greek_capitals"}
    assert seen.cures["typographic"].segments_after == seen.cures["typographic"].segments_before
    seen = preview(seen.cures["typographic"].text, CAMPAIGN)
    cure = seen.cures["greek_capitals"]
    assert (cure.segments_before, cure.segments_after) == (2, 1)
    assert seen.parts
    assert "".join(seen.parts) == seen.text
