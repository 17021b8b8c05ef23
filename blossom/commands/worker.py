"""`blossom worker`."""

from __future__ import annotations

from functools import partial

import click

from blossom import supervisor, worker
from blossom.platform import queue
from blossom.platform.config import Config
from blossom.surroundings import environment


@click.command("worker")
@click.option(
    "--queue",
    "names",
    type=click.Choice(queue.QUEUES),
    multiple=True,
    help="Work on this queue alone, in this process. Given several times: a process for each.",
)
@click.option("--burst", is_flag=True, help="Stop when the queue is empty; with one --queue.")
def command(names: tuple[str, ...], burst: bool) -> None:
    """Run the workers: one process a queue, BLOSSOM_LANES for sending and two that prepare."""
    if burst and len(names) != 1:
        raise click.UsageError("--burst goes with one --queue")
    with environment() as settings:
        if len(names) == 1:
            worker.work(names[0], burst=burst)
            return
        if names.count("send") > settings.lanes:
            # The share of the rate that a process has to itself without Redis is counted by that setting.
            raise click.UsageError(f"more sending processes than BLOSSOM_LANES ({settings.lanes})")
        worker.get_ready()
        supervisor.supervise(
            [supervisor.Fork(f"worker:{name}", partial(worker.work, name)) for name in names or _all_queues(settings)]
        )


def _all_queues(settings: Config) -> list[str]:
    """A name for each process of a `worker` that was told nothing else."""
    several = {"send": settings.lanes, "prepare": worker.PREPARERS}
    return [name for name in queue.QUEUES for _ in range(several.get(name, 1))]
