"""`blossom release`."""

from __future__ import annotations

import click

from blossom import schema
from blossom.commands.installation import application


@click.command("release")
def command() -> None:
    """Bring the schema to the newest migration. Safe when two run, on servers that neither has started itself."""
    with application():
        schema.upgrade()
