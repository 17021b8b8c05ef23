"""Show every picture of docs/screens in the README: `python -m tests.journeys.shown`, which `bin/screens` ends with."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCREENS, README = ROOT / "docs" / "screens", ROOT / "README.md"
BEGIN, END = "<!-- every page: written by bin/screens -->", "<!-- end of every page -->"
_NAME = re.compile(r"(?P<page>.+?)-(?P<width>1280|390)(?P<dark>-dark)?\.png")


def gallery(names: list[str]) -> str:
    """A table of these pictures: a page a row, wide and narrow side by side. Raises `ValueError` for another name."""
    rows: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"docs/screens/{name} is no picture that bin/screens draws")
        page = found["page"].replace("-", " ") + (" (dark)" if found["dark"] else "")
        image = f'<img src="docs/screens/{name}" width="{"560" if found["width"] == "1280" else "180"}" alt="{page}">'
        rows.setdefault(page, {})[found["width"]] = image
    lines = [f"| {page} | {of.get('1280', '')} | {of.get('390', '')} |" for page, of in sorted(rows.items())]
    return "\n".join(["| page | 1280 | 390 |", "|---|---|---|", *lines])


def section(names: list[str]) -> str:
    """What stands in the README between and with the two marks."""
    return f"{BEGIN}\n<details><summary>Every page</summary>\n\n{gallery(names)}\n\n</details>\n{END}"


def drawn() -> list[str]:
    return [path.name for path in SCREENS.glob("*.png")]


def main() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(f"{before}{section(drawn())}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
