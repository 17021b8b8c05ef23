"""The README shows each page's picture, and no other."""

from __future__ import annotations

import pytest

from tests.journeys import shown


def test_the_readme_shows_every_picture() -> None:
    assert shown.section(shown.drawn()) in shown.README.read_text(), "run bin/screens"


def test_a_page_stands_in_one_row() -> None:
    table = shown.gallery(["sent-390.png", "sent-1280.png", "sent-1280-dark.png"])
    assert [row.split("|")[1].strip() for row in table.splitlines()[2:]] == ["sent", "sent (dark)"]
    with pytest.raises(ValueError, match=r"scratch\.png"):
        shown.gallery(["scratch.png"])
