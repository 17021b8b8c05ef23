"""Jobs that keep customers and contacts in step. Rows say what is owed, so each may run twice, late, or not at all."""

from __future__ import annotations

from blossom.customers import service as customers
from blossom.platform import queue
from blossom.platform.db import transaction
from blossom.segments.rules import ACCEPTED_AGE


@queue.job("customers.ask_import")
def ask_import(shop_id: int) -> None:
    with transaction():
        customers.ask_import(shop_id)


@queue.job("customers.run_imports")
def run_imports() -> None:
    """Go on with imports; those that a shop's coming owes are asked for first, had the job of its install been lost."""
    customers.ask_for_owed()
    customers.run_imports()


@queue.job("customers.push_consent")
def push_consent() -> None:
    """Tell Shopify of consent that changed here."""
    customers.run_pushes()


@queue.job("customers.compare")
def compare() -> None:
    """Find what webhooks have missed, in the shops whose night it is."""
    customers.compare_due()


@queue.job("customers.list_segments")
def list_segments(shop_id: int) -> None:
    """A merchant looks at Shopify's segments: have them listed, unless they just were."""
    with transaction():
        customers.ask_for_list(shop_id)


@queue.job("customers.read_segments")
def read_segments(shop_id: int, segment_ids: list[int]) -> None:
    """A merchant looks at what these of Shopify's segments come to: have them read, unless they just were."""
    with transaction():
        customers.ask_for_members(shop_id, segment_ids, older_than=ACCEPTED_AGE)


@queue.job("customers.run_segments")
def run_segments() -> None:
    """List Shopify's segments, and read who is in them, where that is due."""
    customers.run_segments()
