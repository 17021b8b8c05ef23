"""The refused lines as a file of their own, to be corrected and sent again. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from blossom.platform.spreadsheets import harmless


def line(cells: Sequence[str]) -> str:
    """A line of CSV."""
    out = io.StringIO()
    csv.writer(out).writerow([harmless(cell) for cell in cells])
    return out.getvalue()
