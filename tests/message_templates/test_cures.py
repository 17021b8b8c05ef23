"""Each cure saves parts of what is sent, says what it changes, and leaves variables and links alone."""

from __future__ import annotations

import pytest

from blossom.message_templates.rules import opt_out, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.characters import leave_out_emoji
from blossom.message_templates.rules.cures import STEPS, cures_of, fewest_segments
from blossom.message_templates.rules.linter import lint

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
