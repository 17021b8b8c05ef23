"""Cells of files that people open in a spreadsheet. Pure."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[+-]?[\d\s().,/-]*")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def harmless(cell: str) -> str:
    """What a spreadsheet would take for a formula becomes text; numbers, phones among them, stay as they are."""
    return f"'{cell}" if cell.startswith(_FORMULA) and not _PLAIN.fullmatch(cell) else cell
