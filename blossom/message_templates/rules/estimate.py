"""What a text will take, person by person, knowing only how long their names are.

Names are sealed; to reserve a campaign's cost without opening a million of them, a contact keeps the *size* of each
(`platform.gsm.signed_size`): `+n` is GSM-7 of n septets, `-n` is UCS-2 of n UTF-16 units, further down those that are
GSM-7 in capitals, 0 is no name. A text rendered with stand-ins of these sizes tells its segments, once for each pair of
sizes that occurs.

The bound: never fewer segments than the real text, for texts without `lower`, `titlecase`, `truncate` and comparisons
of personal values, and without letters that grow in capitals (ß, և, ligatures). Where a pair of units might fall on a
part's edge, it is taken to (one part too many, in about one joined text of 150). Of a text that compares a name with a
word, all branches are counted together.

Not covered, since it depends on the letters: `upper` makes ß two letters, `lower` and `titlecase` make Ç and Γ (in the
alphabet) ç and γ (not in it) and è È, and `truncate` counts as one what takes two: emoji, brackets, €. Texts with these
may take more than estimated, for few people; what is captured is always counted on the real text.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from io import StringIO

from liquid.context import RenderContext

from blossom.message_templates.errors import MissingValue, RenderError
from blossom.message_templates.rules import grammar, segments
from blossom.message_templates.rules.catalogue import variables
from blossom.message_templates.rules.language import CompiledText
from blossom.message_templates.rules.values import Value
from blossom.platform import gsm

# Stand-ins that keep their size and alphabet through every filter but `truncate`; the last is Γ in capitals.
_gsm_letter = "X"
_ucs2_letter = "Ж"
_gsm_in_capitals = "γ"


def full_name_size(first: int, last: int) -> int:
    """The size of first and last name with a space between, or of the one there is."""
    if not first or not last:
        return first or last
    units = min(gsm.units_of(first) + 1 + gsm.units_of(last), gsm.IN_CAPITALS - 1)
    if first > 0 and last > 0:
        return units
    in_capitals = all(size > 0 or gsm.is_gsm_in_capitals(size) for size in (first, last))
    return -units - (gsm.IN_CAPITALS if in_capitals else 0)


def segments_for(compiled: CompiledText, values: Mapping[str, Value], sizes: Mapping[str, int]) -> int:
    """The segments that the text takes for people with names of these `sizes` (by variable), with `values` for the
    rest. 0 if it can't be rendered for them, in which case they are skipped.

    `full_name` is worked out from `first_name` and `last_name` if its size is not given.
    """
    present = compiled.cleaned({name: value for name, value in values.items() if name not in sizes})
    known, sized = variables(compiled.trigger), dict(sizes)
    if "full_name" in compiled.variables and "full_name" not in sized and "full_name" not in present:
        sized["full_name"] = full_name_size(sizes.get("first_name", 0), sizes.get("last_name", 0))
    for name, size in sized.items():
        if size and name in compiled.variables:
            # A text shows so many characters of a value, each of two units at most.
            units = min(gsm.units_of(size), 2 * known[name].limit)
            present[name] = _letter(size) * units
    try:
        text = _longest(compiled, present) if _depends_on_people(compiled) else compiled.render_cleaned(present)
    except RenderError:
        return 0
    rendered = segments.count(text)
    if any(sized.get(name) for name in compiled.variables):
        return segments.most_segments(rendered.encoding, rendered.units)
    return rendered.segments


def _letter(size: int) -> str:
    if size > 0:
        return _gsm_letter
    return _gsm_in_capitals if gsm.is_gsm_in_capitals(size) else _ucs2_letter


def _depends_on_people(compiled: CompiledText) -> bool:
    known = variables(compiled.trigger)
    return any(known[name].personal for name in compiled.compared)


def _longest(compiled: CompiledText, present: Mapping[str, object]) -> str:
    """All branches of a text, one after the other: no less than any person gets."""
    context = RenderContext(compiled.template, globals=present)
    words = StringIO()
    for node in grammar.leaves(compiled.template.nodes):
        with suppress(MissingValue):  # of a branch that people without this value don't get
            node.render(context, words)
    return words.getvalue()
