"""Each cure saves parts of what is sent, says what it changes, and leaves variables and links alone."""

from __future__ import annotations

from functools import partial

import pytest

from blossom.message_templates.rules import opt_out, segments
from blossom.message_templates.rules.capitals import variables_in_capitals
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.characters import leave_out_emoji
from blossom.message_templates.rules.cures import OF_VALUES, STEPS, cures_of, fewest_segments
from blossom.message_templates.rules.linter import lint
from blossom.message_templates.rules.mending import mend
from blossom.message_templates.rules.preview import measured, preview

LINE = "Reply STOP to opt out"
GREEK_LINE = "Απάντησε ΣΤΟΠ για διαγραφή"


def parts(text: str) -> int:
    return segments.count(text).segments


def names(body: str, line: str = LINE) -> list[str]:
    return list(cures_of(body, parts, line=line))


@pytest.mark.parametrize(
    ("body", "offered"),
    [
        ("Nothing dear in it", []),
        ("“Short”", []),  # one part either way
        ("“Sale” – 20% off everything until Sunday, in our shop and online too", ["typographic"]),
        ("Sale 🎉 20% off everything until Sunday, in our shop and online too 🎉", ["emoji"]),
        ("“Sale” 🎉 20% off everything until Sunday, in our shop and online too", ["emoji"]),
        ("Wyprzedaż: wszystko tańsze do niedzieli, w naszym sklepie i online, też buty", ["plain_letters"]),
        ("Καλημέρα σε όλους, 20% έκπτωση σε όλα έως την Κυριακή το βράδυ", ["greek_capitals"]),
        ("Καλημέρα 🎉 20% έκπτωση σε όλα έως την Κυριακή το βράδυ, και online", ["everything"]),
    ],
)
def test_is_offered_if_it_saves_more_than_one_that_changes_less(body: str, offered: list[str]) -> None:
    assert names(body) == offered


@pytest.mark.parametrize("step", STEPS)
def test_saves_what_it_says(step: str) -> None:
    body = "“Łódź” – Καλημέρα σε όλους 🎉 until Sunday, in the shop and online, for all of you " * 2
    found = cures_of(body, parts, line=LINE)
    if step in found:
        cure = found[step]
        assert cure.segments_before == parts(f"{body.rstrip()}\n{LINE}")
        assert cure.segments_after == parts(opt_out.with_opt_out(cure.text, LINE)) < cure.segments_before
        assert cure.changes


def test_keeps_liquid_and_links() -> None:
    def without_markup(text: str) -> int:
        return parts(text.replace("{{ first_name | default: '–' }}", "Eleni").replace("https://x.example/–", "link"))

    body = "“Sale” {{ first_name | default: '–' }} https://x.example/– until Sunday, in the shop and online too"
    (cure,) = cures_of(body, without_markup, line=LINE).values()
    assert cure.text == body.replace("“", '"').replace("”", '"')


def test_writes_an_opt_out_line_in_that_is_what_costs() -> None:
    body = "20% off everything in the shop until Sunday night, and online too"
    (cure,) = cures_of(body, parts, line=GREEK_LINE).values()
    assert cure.text.startswith(body)
    assert opt_out.has_opt_out(cure.text), "in capitals it is a way out still"
    assert parts(cure.text) == 1


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Sale 🎉 today", "Sale today"),
        ("Sale 🎉", "Sale"),
        ("🎉Sale🎉", "Sale"),
        ("Yes👍🏽!", "Yes!"),
        ("A 👩‍👩‍👧 B ❤️ C", "A B C"),
        ("1️⃣ 10% off #1", "10% off #1"),
        ("No™ emoji © here", "No™ emoji © here"),
        ("{{ first_name }} ✨ https://x.example/✨", "{{ first_name }} https://x.example/✨"),
    ],
)
def test_emoji_go_with_their_spaces_and_joiners(text: str, left: str) -> None:
    assert leave_out_emoji(text).text == left


def test_the_linter_promises_what_a_cure_keeps() -> None:
    body = "“Sale” 🎉 20% off everything until Sunday, in our shop and online too. Reply STOP to opt out"
    (found,) = [finding for finding in lint(body, Trigger.CAMPAIGN) if finding.code == "not_gsm"]
    assert f"{fewest_segments(body, parts)} instead of {parts(body)} segments" in found.actionable


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (f"Sale “x” {'…' * 300} {'a' * 1_000}. Reply STOP", LINE),  # three dots for one
        (
            f"{'Γειά σου ' * 9} {{{{ first_name | default: '{'αγαπημένη ' * 17}' }}}}! {GREEK_LINE}",
            GREEK_LINE,
        ),  # `| upper`
    ],
)
def test_what_makes_a_text_too_long_to_be_sent_is_no_cure(body: str, line: str) -> None:
    """It has no parts then, which are fewer than any."""
    measure = partial(measured, trigger=Trigger.CAMPAIGN, values={"first_name": "Μαρία"})
    assert measure(body) > 0
    assert all(measure(cure.text) for cure in cures_of(body, measure, line=line).values())
    assert fewest_segments(body, measure) > 0


GREEK_PERSON = {"first_name": "Μαρία", "last_name": "Παπαδοπούλου", "shop_name": "Ours"}
LATIN = (
    "Hi {{ first_name | default: 'there' }}, 20% off everything until Sunday in {{ shop_name }}, and online. "
    "Text STOP to end"
)


def for_maria(text: str) -> int:
    return measured(text, Trigger.CAMPAIGN, values=GREEK_PERSON)


@pytest.mark.parametrize(
    ("text", "capitals"),
    [
        ("Hi {{ first_name }}!", "Hi {{ first_name | upper }}!"),
        ("{{first_name}}", "{{first_name | upper}}"),
        ("{{- full_name -}}", "{{- full_name | upper -}}"),
        ("{{ first_name | default: 'Hello' }}", "{{ first_name | upper | default: 'Hello' }}"),
        ("{{ first_name|default: 'a | b' }}", "{{ first_name | upper |default: 'a | b' }}"),
        ("{{ first_name | default: 'φίλε' }}", "{{ first_name | default: 'φίλε' | upper }}"),
        ("{{ first_name | titlecase | truncate: 9 }}", "{{ first_name | titlecase | truncate: 9 | upper }}"),
        ("{{ first_name | upper }} {{ sender }} {{ opt_out_link }}", None),
        ("{% if first_name == 'Μαρία' %}you{% endif %} {{ 'https://x.example/ά' | shortlink }}", None),
        ("{{ first_name }} {{ is never closed", None),
    ],
)
def test_variables_go_into_capitals_and_what_stands_in_for_them_only_where_it_is_greek(
    text: str, capitals: str | None
) -> None:
    cure = variables_in_capitals(text)
    assert cure.text == (capitals or text)
    assert bool(cure.changes) == (capitals is not None)


def test_greek_names_of_a_latin_text_are_cured_alone() -> None:
    """Nothing of the words is touched, nor the values that are Latin."""
    (name, cure), *others = cures_of(LATIN, for_maria, line=LINE, greek={"first_name"}).items()
    assert (name, others) == (OF_VALUES, [])
    assert cure.text == LATIN.replace("first_name |", "first_name | upper |")
    assert (cure.segments_before, cure.segments_after) == (2, 1)
    assert cures_of(LATIN, for_maria, line=LINE) == {}, "nobody is known to be Greek"


def test_a_greek_text_in_capitals_has_its_variables_in_capitals_too() -> None:
    body = "Καλημέρα {{ first_name | default: 'φίλε' }}, 20% έκπτωση σε όλα έως την Κυριακή. Απάντησε ΣΤΟΠ για διαγραφή"
    (cure,) = cures_of(body, for_maria, line=GREEK_LINE).values()
    assert "{{ first_name | default: 'φίλε' | upper }}" in cure.text
    assert (cure.segments_before, cure.segments_after) == (2, 1)
    seen = preview(body, Trigger.CAMPAIGN, values=GREEK_PERSON).cures["greek_capitals"]
    assert (seen.text, seen.segments_after) == (cure.text, 1)


def test_a_preview_cures_greek_values_where_there_are_any() -> None:
    assert preview(LATIN, Trigger.CAMPAIGN, values=GREEK_PERSON).cures[OF_VALUES].segments_after == 1
    assert preview(LATIN, Trigger.CAMPAIGN).cures == {}, "Maria is written in Latin letters"


def test_the_finding_on_greek_values_is_mended_with_one_click() -> None:
    body = "KAΛHMEPA {{ shop_name | upper }} {{ first_name | default: 'ΣE ΣENA' }}! AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH"
    (finding,) = lint(body, Trigger.CAMPAIGN, language="el")
    mended = mend(body, finding, Trigger.CAMPAIGN, "there")
    assert mended is not None
    assert mended.written == "{{ first_name | default: 'ΣE ΣENA' | upper }}"
    assert mended.text == body.replace("'ΣE ΣENA'", "'ΣE ΣENA' | upper")
    assert lint(mended.text, Trigger.CAMPAIGN, language="el") == []
