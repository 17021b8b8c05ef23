"""Ids of rows, as addresses and forms name them. Pure."""

from __future__ import annotations

import re

PATTERN = "[1-9][0-9]{0,17}"
"""What fits a bigint, whichever digits it has."""

_ID = re.compile(PATTERN)


def read_id(given: str) -> int | None:
    """None for anything that is no id."""
    return int(given) if _ID.fullmatch(given) else None
