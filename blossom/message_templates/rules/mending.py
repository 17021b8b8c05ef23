"""What the linter finds, mended: the text with that one fault gone, where it is clear what was meant."""

from __future__ import annotations

import re
from typing import NamedTuple

from blossom.message_templates.rules.capitals import output_in_capitals
from blossom.message_templates.rules.catalogue import Trigger, variables
from blossom.message_templates.rules.linter import Finding
from blossom.message_templates.rules.markup import closest, normalise_newlines

_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_scheme = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_output = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_braces = re.compile(r"[{\[<%(]\s*(\w+)\s*[}\]>%)]")


class Mend(NamedTuple):
    """The whole text, mended; `written`: what stands there now."""

    text: str
    written: str


def mend(source: str, finding: Finding, trigger: Trigger, word: str) -> Mend | None:
    """`word`: what people without a value should read. None: only its writer knows what was meant."""
    source = normalise_newlines(source)
    at = _index(source, finding)
    if finding.code == "may_be_missing" and (name := _name.match(source, at)):
        return _put(source, name.start(), name.end(), f'{name.group()} | default: "{word}"')
    if finding.code == "unknown_variable" and (name := _name.match(source, at)):
        meant = closest(name.group(), variables(trigger))
        return _put(source, name.start(), name.end(), meant) if meant else None
    if finding.code == "looks_like_variable" and (braces := _braces.match(source, at)):
        return _put(source, braces.start(), braces.end(), f"{{{{ {braces[1].lower()} }}}}")
    if finding.code == "greek_value":
        start = source.rfind("{{", 0, at)
        output = _output.match(source, start) if start >= 0 else None
        written = output_in_capitals(output.group()) if output else None
        return _put(source, start, start + len(output.group()), written) if output and written else None
    if finding.code == "link_without_https":
        scheme = _scheme.match(source, at)
        return _put(source, at, scheme.end() if scheme else at, "https://")
    return None


def _put(source: str, start: int, end: int, words: str) -> Mend:
    return Mend(source[:start] + words + source[end:], words)


def _index(source: str, finding: Finding) -> int:
    lines = source.split("\n")
    return sum(len(line) + 1 for line in lines[: finding.line - 1]) + finding.column - 1
