"""The commands: what runs the processes, and what an operator types. Each is loaded when it is called: the app takes a
second of CPU and 100 MB, which `blossom web`, the parent of gunicorn, and `blossom check` have no use for."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "check": "blossom.material:command",
    "clock": "blossom.commands.clock:command",
    "data-folder": "blossom.commands.settings:show_data_folder",
    "doctor": "blossom.doctor:command",
    "keys": "blossom.commands.keys:keys",
    "new-master-key": "blossom.commands.settings:new_master_key",
    "release": "blossom.commands.release:command",
    "shop": "blossom.commands.shop:shop",
    "web": "blossom.commands.web:command",
    "webhooks": "blossom.commands.webhooks:webhooks",
    "worker": "blossom.commands.worker:command",
}
"""Command → where it is."""


class Commands(click.Group):
    """Those of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        command: click.Command = _load(place)
        return command


@click.command(cls=Commands)
def main() -> None:
    """Blossom: SMS marketing inside the Shopify admin."""


def _load(place: str) -> Any:
    """What is at `module:name`. What an import makes stays: looking through it for garbage was a sixth of the time."""
    module, _, name = place.partition(":")
    looked = gc.isenabled()
    gc.disable()
    try:
        return getattr(import_module(module), name)
    finally:
        if looked:
            gc.enable()


def _run() -> None:
    """`main`, with errors in words."""
    try:
        main(prog_name="blossom")
    except Exception as error:
        lines = _load("blossom.commands.faults:in_words")(error)
        if lines is None:
            raise
        for line in lines:
            click.echo(line, err=True)
    sys.exit(1)  # without an error, click has ended the process itself


if __name__ == "__main__":
    _run()
