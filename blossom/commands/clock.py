"""`blossom clock`."""

from __future__ import annotations

import click

from blossom import schedule, supervisor
from blossom.commands.installation import application
from blossom.platform import periodic, stopping


@click.command("clock")
def command() -> None:
    """Enqueue the periodic jobs. Two may run."""
    with application():
        supervisor.stop_on_signals(stopping.request)
        periodic.run(schedule.JOBS)
