"""Shops' ids by their domains, kept for a minute in each process, as their keys are (platform/crypto.py)."""

from __future__ import annotations

import time

from blossom.inbound import queries

_CACHED_SECONDS = 60.0

_ids: dict[str, tuple[float, int]] = {}


def shop_id_of(domain: str) -> int | None:
    """The shop at this domain, or None. A shop that has left counts. One whose domain was just given up (it was
    redacted) may be told for a minute more: what comes for it then is sealed by a key that is destroyed."""
    known = _ids.get(domain)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    found = queries.shop_id_of(domain)
    if found is None:
        _ids.pop(domain, None)
    else:
        _ids[domain] = (time.monotonic() + _CACHED_SECONDS, found)
    return found


def forget() -> None:
    """Ask the database for each shop again."""
    _ids.clear()
