"""What an installation stands on: where its data is, and its master key. Needs no server."""

from __future__ import annotations

import click

from blossom.platform.config import Config
from blossom.surroundings import data_folder, new_master_key_text


@click.command("data-folder")
def show_data_folder() -> None:
    """Print where the embedded servers keep their data."""
    click.echo(data_folder(Config.from_environment()))


@click.command("new-master-key")
@click.option(
    "--id", "key_id", type=click.IntRange(min=0), default=1, show_default=True, help="Larger than every id in use."
)
def new_master_key(key_id: int) -> None:
    """Make a master key for BLOSSOM_MASTER_KEYS."""
    click.echo(new_master_key_text(key_id))
