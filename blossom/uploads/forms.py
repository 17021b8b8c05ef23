"""What comes in with a file, and what is chosen of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blossom.contacts.rules.mapping import FIELDS
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import noted
from blossom.uploads.rules import wording

_MOST_DIGITS = 12
NOBODY, COLUMN, EVERYBODY = "nobody", "column", "everybody"


@dataclass(frozen=True)
class Announced:
    """A file that a browser is about to send."""

    filename: str
    size: int


def read_announced(given: Mapping[str, str]) -> Announced:
    """Raises `InvalidInput`."""
    size = given.get("size", "")
    if not size.isascii() or not size.isdigit() or len(size) > _MOST_DIGITS:
        raise InvalidInput({"size": noted("must be the file's size in bytes")})
    return Announced(given.get("filename", ""), int(size))


@dataclass(frozen=True)
class Columns:
    """Which column is what, as it was chosen: our field → header. `consent`: whose word counts."""

    mapping: Mapping[str, str]
    consent: str


def read_columns(given: Mapping[str, str], header: Sequence[str]) -> Columns:
    """Read the form; columns that the file lacks are none. Consent comes from a column, or from the merchant's word."""
    mapping = {field: given[field] for field in FIELDS if given.get(field) in header}
    consent = given.get("consent", NOBODY)
    if consent != COLUMN:
        mapping.pop("sms_consent", None)
    return Columns(mapping, consent if consent in (COLUMN, EVERYBODY) else NOBODY)


def read_encoding(given: Mapping[str, str]) -> str | None:
    """The letters that were chosen; None: to be found out."""
    chosen = given.get("encoding", "")
    return chosen if chosen in wording.ENCODING_WORDS else None
