"""Inbound's jobs. The rows say what is owed, so each may run twice, late, or not at all."""

from __future__ import annotations

import structlog

from blossom.inbound import queries
from blossom.inbound import service as inbound
from blossom.inbound.service import erasing, exporting
from blossom.platform import clock, queue
from blossom.platform.db import transaction

log = structlog.get_logger()


@queue.job("inbound.handle_text")
def handle_text(shop_id: int, text_id: int) -> None:
    with transaction():
        inbound.handle_text(shop_id, text_id)


@queue.job("inbound.sweep")
def sweep() -> None:
    """Handle the texts whose job was lost. One that can't be handled costs the others nothing; within the hour it is
    closed as too late."""
    with transaction():
        owed = queries.unhandled(clock.now())
    for shop_id, text_id in owed:
        try:
            handle_text(shop_id, text_id)
        except Exception:
            log.exception("inbound.not_handled", shop_id=shop_id, inbound_id=text_id)


@queue.job("inbound.handle_webhooks")
def handle_webhooks() -> None:
    """Handle what is due of Shopify's webhooks, but for those that Shopify is asked about."""
    inbound.handle_due(asks=False)


@queue.job("inbound.ask_shopify")
def ask_shopify() -> None:
    """Handle what is due of those."""
    inbound.handle_due(asks=True)


@queue.job("inbound.erase")
def erase() -> None:
    """Do what is left of erasures: batches of rows."""
    erasing.erase_due()


@queue.job("inbound.prune_webhooks")
def prune_webhooks() -> None:
    """Forget what was done with, and the exports that have expired."""
    with transaction():
        exporting.prune()
    emptied, removed = inbound.prune_webhooks()
    log.info("webhooks.pruned", emptied=emptied, removed=removed)
