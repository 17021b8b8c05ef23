"""Greek in capitals of the GSM alphabet, variables included: `{{ first_name }}` becomes `{{ first_name | upper }}`.

A text in capitals whose variables bring Greek small letters is UCS-2 for the people who have such values, so that what
is written in capitals is both. Conditions stay as they are: what they ask is not shown to anybody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from blossom.message_templates.errors import TextError
from blossom.message_templates.rules import markup
from blossom.message_templates.rules.catalogue import Trigger, VariableType, variables
from blossom.message_templates.rules.characters import (
    Change,
    Cure,
    greek_to_gsm_capitals,
    has_greek,
    segments_as_typed,
)
from blossom.message_templates.rules.values import Value
from blossom.platform.languages import noted

MAY_BE_GREEK = frozenset(
    name for trigger in Trigger for name, each in variables(trigger).items() if each.type is VariableType.TEXT
) - {"sender"}
"""Variables that bring words; a sender's are always Latin (`rules.sender`)."""

_output = re.compile(r"(\{\{-?\s*)(?P<name>\w+)(?P<filters>[^\w].*?)?(\s*-?\}\})", re.DOTALL)
# A filter with its bar; what stands in quotes may hold bars of its own.
_filter = re.compile(r"""\s*\|\s*(?P<name>\w+)(?:"[^"]*"|'[^']*'|[^|"'])*""")


def greek_in_capitals(text: str, *, measure: Callable[[str], int] = segments_as_typed) -> Cure:
    """`text` with its Greek and, if it has any, its variables in capitals of the GSM alphabet."""
    words = greek_to_gsm_capitals(text)
    values = variables_in_capitals(words.text) if has_greek(text) else Cure(words.text, (), 0, 0)
    return Cure(values.text, words.changes + values.changes, measure(text), measure(values.text))


def variables_in_capitals(
    text: str, only: Collection[str] = MAY_BE_GREEK, *, measure: Callable[[str], int] = segments_as_typed
) -> Cure:
    """`text` with `only` these variables in capitals. Faulty Liquid stays as it is."""
    used: Counter[tuple[str, str]] = Counter()
    pieces: list[str] = []
    done = 0
    for start, end in _outputs(text):
        output = text[start:end]
        capitals = output_in_capitals(output, only)
        if capitals is not None:
            used[output, capitals] += 1
            pieces += text[done:start], capitals
            done = end
    cured = "".join([*pieces, text[done:]])
    why = noted("Greek values in capitals of the GSM alphabet")
    changes = tuple(Change(a, b, n, why) for (a, b), n in used.items())
    return Cure(cured, changes, measure(text), measure(cured))


def output_in_capitals(output: str, only: Collection[str] = MAY_BE_GREEK) -> str | None:
    """`{{ … }}` with `upper`; None if it has that, or is of another variable.

    What people without a value read is left as it was typed, unless it is Greek too.
    """
    found = _output.fullmatch(output)
    if found is None or found["name"] not in only:
        return None
    filters = list(_filter.finditer(found["filters"] or ""))
    if any(each["name"] == "upper" for each in filters):
        return None
    at = found.end("name") + sum(len(each.group()) for each in filters)
    if filters and filters[-1]["name"] == "default" and not has_greek(filters[-1].group()):
        at -= len(filters[-1].group())
    rest = output[at:]
    return f"{output[:at].rstrip()} | upper{' ' if rest.startswith('|') else ''}{rest}"


def greek_values(values: Mapping[str, Value]) -> frozenset[str]:
    """The variables whose values hold Greek."""
    return frozenset(
        name for name, value in values.items() if name in MAY_BE_GREEK and isinstance(value, str) and has_greek(value)
    )


def _outputs(text: str) -> list[tuple[int, int]]:
    try:
        return [(piece.start, piece.end) for piece in markup.scan(text) if not piece.tag]
    except TextError:
        return []
