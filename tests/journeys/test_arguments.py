"""What a person may type after `bin/demo`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blossom.sandbox.demo import __main__ as demo
from tests.architecture.tree import ROOT


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


def test_screens_deletes_nothing_for_who_asks_what_it_does(tmp_path: Path) -> None:
    picture, setup = tmp_path / "docs/screens/home-1280.png", tmp_path / "bin/setup"
    for path in (picture, setup):
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n")
    setup.chmod(0o755)
    command = shutil.copy(ROOT / "bin/screens", setup.parent)
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, picture.exists()) == (2, True)
    assert "takes no arguments" in done.stderr
