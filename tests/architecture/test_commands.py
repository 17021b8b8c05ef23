"""The commands by name: each is where the table says, and loads no more than it needs."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from blossom import cli
from tests.architecture import tree

OF_ALL = {"faults", "installation"}
"""Modules of `blossom.commands` that several commands use."""


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_is_where_the_table_says(name: str) -> None:
    found = cli.main.get_command(click.Context(cli.main), name)  # type: ignore[attr-defined]
    assert found is not None
    assert found.name == name
    assert found.get_short_help_str(), "said by `blossom --help`"


def test_none_is_left_out() -> None:
    there = {path.stem for path in (tree.BLOSSOM / "commands").glob("*.py")} - {"__init__", *OF_ALL}
    assert there == {place.partition(":")[0].rpartition(".")[2] for place in cli.COMMANDS.values()} - {
        "doctor",
        "material",
    }


@pytest.mark.parametrize(
    ("command", "spared"),
    [
        ("web", ("blossom.app", "sqlalchemy", "flask")),
        ("check", ("blossom.app", "flask_migrate", "gunicorn")),
        ("doctor", ("blossom.app", "sqlalchemy", "flask")),
        ("worker", ("alembic", "flask_migrate")),
        ("clock", ("alembic", "flask_migrate")),
    ],
)
def test_no_command_loads_what_it_has_no_use_for(command: str, spared: tuple[str, ...]) -> None:
    look = (
        "import sys, click; from blossom import cli; cli.main.get_command(click.Context(cli.main), sys.argv[1]);"
        "print(*[name for name in sys.argv[2:] if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look, command, *spared], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
