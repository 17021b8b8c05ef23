"""Whatever shape the address of the given server has, a test's own database is found on it."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from tests.conftest import Services


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql+psycopg://u:p%2Fw@host:5432/postgres", "postgresql+psycopg://u:p%2Fw@host:5432/mine"),
        ("postgresql+psycopg://u@/postgres?host=/run/postgresql", "postgresql+psycopg://u@/mine?host=/run/postgresql"),
        ("postgresql+psycopg://u@/postgres?host=%2Frun", "postgresql+psycopg://u@/mine?host=%2Frun"),
        ("postgresql+psycopg://host", "postgresql+psycopg://host/mine"),
    ],
)
def test_the_database_is_exchanged_and_nothing_else(given: str, expected: str) -> None:
    found = Services(given, "redis://").url_of("mine")
    assert found == expected
    assert make_url(found).database == "mine"
