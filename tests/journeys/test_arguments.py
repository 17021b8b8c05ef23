"""What a person may type after `bin/demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blossom.sandbox.demo import __main__ as demo


def given(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Path | None, bool]:
    monkeypatch.setattr(sys, "argv", ["bin/demo", *arguments])
    read = demo._arguments()
    return read.csv, read.json


@pytest.mark.parametrize("arguments", [["--csv"], ["--csv", "--json"], ["--json", "--csv"]])
def test_csv_without_a_file_means_the_sample(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert given(monkeypatch, *arguments) == (demo.SAMPLE, "--json" in arguments)
    assert demo.SAMPLE.is_file()


def test_csv_with_a_file_means_that_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch, "--csv", "mine.csv", "--json") == (Path("mine.csv"), True)


def test_without_csv_a_shop_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert given(monkeypatch) == (None, False)
    assert given(monkeypatch, "--json") == (None, True)
    with pytest.raises(SystemExit):
        given(monkeypatch, "--csv", "--customers", "5")
