"""Messaging's jobs. Each may run twice, late, or not at all: rows say what is to be done."""

from __future__ import annotations

from blossom.messaging import service as messaging
from blossom.platform import queue
from blossom.platform.db import transaction


@queue.job("messaging.prepare_dispatch")
def prepare_dispatch(shop_id: int, dispatch_id: int) -> None:
    with transaction():
        messaging.prepare_dispatch(shop_id, dispatch_id)


@queue.job("messaging.send_lane")
def send_lane() -> None:
    messaging.run_lane()


@queue.job("messaging.close_messages")
def close_messages(shop_id: int, dispatch_id: int) -> None:
    more = True
    while more:
        with transaction():
            more = bool(messaging.close_messages(shop_id, dispatch_id))


@queue.job("messaging.apply_receipts")
def apply_receipts() -> None:
    more = True
    while more:
        with transaction():
            more = bool(messaging.apply_receipts())


@queue.job("messaging.sweep")
def sweep() -> None:
    messaging.sweep()


@queue.job("messaging.reconcile")
def reconcile() -> None:
    messaging.reconcile()


@queue.job("messaging.ask_about_orphans")
def ask_about_orphans() -> None:
    messaging.ask_about_orphans()


@queue.job("messaging.refresh_unanswered")
def refresh_unanswered() -> None:
    messaging.refresh_unanswered()
