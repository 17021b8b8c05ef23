"""Our GraphQL operations, a file each in `operations/`, as they are sent. The file's name is the operation's here."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "operations"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BEGINS = re.compile(r"^(query|mutation)\b", re.MULTILINE)
_IDEMPOTENT = re.compile(r"^# idempotent: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Document:
    """An operation. `repeatable`: doing it twice is as doing it once, so a lost answer is no reason to look first:
    every query, and a mutation with a line `# idempotent: <why>`."""

    text: str
    is_mutation: bool
    repeatable: bool


@functools.cache
def read(operation: str) -> Document:
    """The operation of that name. LookupError if there is none."""
    path = FOLDER / f"{operation}.graphql"
    if not _NAME.fullmatch(operation) or not path.is_file():
        raise LookupError(f"no operation is called {operation!r}")
    text = path.read_text(encoding="utf-8")
    kinds = set(_BEGINS.findall(text))
    if len(kinds) != 1:
        raise LookupError(f"{path.name} must hold one query or one mutation")
    is_mutation = kinds == {"mutation"}
    return Document(text, is_mutation, not is_mutation or _IDEMPOTENT.search(text) is not None)
