"""Which webhooks an operator wants handled again, as a browser names them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from blossom.platform import ids

MOST = 1_000


def read_ids(texts: Sequence[str]) -> list[int]:
    """Those that are ids, each once."""
    found = (ids.read_id(text) for text in texts[:MOST])
    return sorted({each for each in found if each is not None})
