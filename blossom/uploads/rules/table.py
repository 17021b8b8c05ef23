"""The refused lines as a file of their own, to be corrected and sent again. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

_PLAIN = re.compile(r"[+-]?[\d\s().,/-]*")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def line(cells: Sequence[str]) -> str:
    """A line of CSV."""
    out = io.StringIO()
    csv.writer(out).writerow([_harmless(cell) for cell in cells])
    return out.getvalue()


def _harmless(cell: str) -> str:
    """What a spreadsheet would take for a formula becomes text; numbers, phones among them, stay as they are."""
    return f"'{cell}" if cell.startswith(_FORMULA) and not _PLAIN.fullmatch(cell) else cell
