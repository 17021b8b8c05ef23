"""Cheaper ways to write a text, each offered only if it saves parts of what people would get.

A cure is of the text as it stands in the editor. What is measured is what is sent: with the shop's opt-out line, if the
text has no way out of its own. Where that very line is what costs (Greek, say), the cure writes it into the text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import NamedTuple

from blossom.message_templates.rules import opt_out
from blossom.message_templates.rules.capitals import greek_in_capitals, variables_in_capitals
from blossom.message_templates.rules.characters import (
    Change,
    Cure,
    leave_out_emoji,
    replace_typographic,
)


class CureOffer(NamedTuple):
    """A cheaper way to write the text. `credits`: what that saves over the whole audience; None: nobody counted it,
    and the cure's segments are those of one text: of this `person`'s, where it is a person's."""

    name: str
    cure: Cure
    credits: int | None
    person: str = ""

    @property
    def saved(self) -> int:
        return self.cure.segments_before - self.cure.segments_after


Measure = Callable[[str], int]
"""Segments of a text, as somebody would get it."""


def _typographic(text: str) -> Cure:
    return replace_typographic(text)


def _plain_letters(text: str) -> Cure:
    return replace_typographic(text, accents=True)


def _greek_in_capitals(text: str) -> Cure:
    return greek_in_capitals(text)


STEPS: dict[str, tuple[Callable[[str], Cure], ...]] = {
    "typographic": (_typographic,),
    "emoji": (_typographic, leave_out_emoji),
    "plain_letters": (_plain_letters,),
    "greek_capitals": (_typographic, _greek_in_capitals),
    "everything": (_plain_letters, leave_out_emoji, _greek_in_capitals),
}
"""By name, what is done one after the other: one dear character left is enough to make all of a text dear."""

OF_VALUES = "greek_values"
"""The cure of a text that is cheap itself, and dear by the Greek that its variables bring."""
GREEK = frozenset({OF_VALUES, "greek_capitals", "everything"})
"""Those that write values in capitals."""


def cures_of(
    body: str, measure: Measure, *, line: str, keywords: Iterable[str] = (), greek: Collection[str] = ()
) -> dict[str, Cure]:
    """Those that save parts, by name; of two that save the same, the one that changes less. `line`, `keywords`: as
    `opt_out.with_opt_out` takes them. `greek`: variables whose values are known to be Greek.

    What a cure makes too long to be sent has no parts (three dots for one, a filter more): it is none.
    """
    keywords = tuple(keywords)
    of_values = (_typographic, partial(variables_in_capitals, only=greek))

    def as_sent(text: str) -> str:
        return opt_out.with_opt_out(text, line, keywords=keywords)

    before = measure(as_sent(body))
    found: dict[str, Cure] = {}
    for name, steps in {**STEPS, OF_VALUES: of_values}.items():
        applied = (_applied(text, steps, before, lambda text: measure(as_sent(text))) for text in (body, as_sent(body)))
        cure = min((each for each in applied if each.segments_after), key=_parts, default=None)
        if cure and cure.segments_after < min([before, *map(_parts, found.values())]):
            found[name] = cure
    return found


def fewest_segments(text: str, measure: Measure) -> int:
    """What `text`, as it is sent, takes with the cure that saves most; itself, where none does."""
    found = (_parts(_applied(text, steps, 0, measure)) for steps in ((), *STEPS.values()))
    return min(filter(None, found), default=0)


def _parts(cure: Cure) -> int:
    return cure.segments_after


def _applied(text: str, steps: tuple[Callable[[str], Cure], ...], before: int, measure: Measure) -> Cure:
    changes: list[Change] = []
    for step in steps:
        cure = step(text)
        text = cure.text
        changes += cure.changes
    return Cure(text, tuple(changes), before, measure(text))
