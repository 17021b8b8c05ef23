"""Messaging's jobs. Each may run twice, late, or not at all: rows say what is to be done."""

from __future__ import annotations

import time
from collections.abc import Callable

from blossom.messaging import service as messaging
from blossom.platform import config, queue, stopping
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
    def go_on() -> None:
        queue.enqueue(
            "messaging.close_messages", queue="slow", shop_id=shop_id, dispatch_id=dispatch_id, timeout_seconds=3600
        )

    _step_by_step(lambda: messaging.close_messages(shop_id, dispatch_id), go_on)


@queue.job("messaging.apply_receipts")
def apply_receipts() -> None:
    _step_by_step(
        messaging.apply_receipts, lambda: queue.enqueue("messaging.apply_receipts", queue="receipts", at_most=2)
    )


@queue.job("messaging.sweep")
def sweep() -> None:
    messaging.sweep()


@queue.job("messaging.reconcile")
def reconcile() -> None:
    messaging.reconcile()


@queue.job("messaging.decide_winners")
def decide_winners() -> None:
    messaging.decide_winners()


@queue.job("messaging.ask_about_orphans")
def ask_about_orphans() -> None:
    messaging.ask_about_orphans()


@queue.job("messaging.refresh_unanswered")
def refresh_unanswered() -> None:
    messaging.refresh_unanswered()


def _step_by_step(step: Callable[[], int], go_on: Callable[[], None]) -> None:
    """Take steps, each in a transaction of its own, until one finds nothing to do. When a lane's time is up, or the
    process is to end, `go_on` enqueues the job anew: other jobs of the queue have their turn, and a restart its peace.
    """
    ends_at = time.monotonic() + config.current().lane_seconds
    more = True
    while more:
        with transaction():
            more = bool(step())
            if more and (stopping.requested() or time.monotonic() >= ends_at):
                go_on()
                more = False
