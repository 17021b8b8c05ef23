"""What the tests of a run can share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.processes import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Makes processes for whoever asks; the seconds of their imports are spent once."""
    made = Forks()
    yield made
    made.end()
