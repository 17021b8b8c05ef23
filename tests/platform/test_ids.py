"""Ids of rows are read from addresses and forms."""

from __future__ import annotations

import pytest

from blossom.platform import ids


@pytest.mark.parametrize(("given", "found"), [("1", 1), ("42", 42), ("9" * 18, 10**18 - 1)])
def test_an_id_is_read(given: str, found: int) -> None:
    assert ids.read_id(given) == found


@pytest.mark.parametrize("given", ["", "0", "007", "-1", "+1", " 1", "1\n", "1.0", "1e3", "²", "٣", "9" * 19, "x"])
def test_nothing_else_is_one(given: str) -> None:
    assert ids.read_id(given) is None
