"""Which webhooks an operator wants handled again, as a browser names them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 1_000
_LONGEST = 18  # digits: any such number is one of Postgres' bigints


def read_id(text: str) -> int | None:
    """A whole number, 0 or more; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST else None


def read_ids(texts: Sequence[str]) -> list[int]:
    """Those that are ids, each once."""
    found = (read_id(text) for text in texts[:MOST])
    return sorted({each for each in found if each is not None})
