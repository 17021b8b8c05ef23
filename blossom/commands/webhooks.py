"""`blossom webhooks …`."""

from __future__ import annotations

import dataclasses

import click

from blossom.commands.installation import ID, answer, application
from blossom.inbound import queries as inbound_queries
from blossom.inbound import service as inbound
from blossom.platform import db


@click.group("webhooks")
def webhooks() -> None:
    """Shopify's webhooks that wait for an operator."""


@webhooks.command("dead")
@click.option(
    "--after", "after_id", type=click.IntRange(0, 2**63 - 1), default=0, help="The last id of the page before."
)
def list_webhooks(after_id: int) -> None:
    """List webhooks that were given up, the oldest first, as JSON."""
    with application(), db.transaction():
        waiting = inbound_queries.waiting_webhooks(after_id)
        answer({"webhooks": [dataclasses.asdict(each) for each in waiting]})


@webhooks.command("replay")
@click.argument("ids", type=ID, nargs=-1)
def replay_webhooks(ids: tuple[int, ...]) -> None:
    """Have given-up webhooks handled again: those of IDS, or the oldest hundred. Prints which, as JSON."""
    with application(), db.transaction():
        wanted = ids or [each.id for each in inbound_queries.waiting_webhooks()]
        answer({"replayed": inbound.replay(wanted)})
