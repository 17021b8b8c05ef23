"""The one table of periodic jobs. Two clocks may run: each turn is had once (platform/periodic.py)."""

from __future__ import annotations

from datetime import timedelta

from blossom.platform.periodic import Periodic

JOBS = (
    # Seconds: what a shop would notice. They look at small partial indexes only.
    Periodic("messaging.sweep", timedelta(seconds=5)),
    Periodic("messaging.decide_winners", timedelta(seconds=10)),
    Periodic("messaging.ask_about_orphans", timedelta(seconds=10), queue="questions"),
    Periodic("campaigns.enqueue_due", timedelta(seconds=10)),
    Periodic("campaigns.settle_all", timedelta(seconds=10)),
    Periodic("campaigns.take_yeses", timedelta(seconds=10)),
    Periodic("inbound.sweep", timedelta(seconds=30)),
    Periodic("storefront.sweep", timedelta(seconds=30)),
    # Shopify's webhooks whose job was lost, or that are to be tried again.
    Periodic("inbound.handle_webhooks", timedelta(seconds=10)),
    Periodic("inbound.ask_shopify", timedelta(seconds=10), queue="shopify"),
    # Shops that have just come, exports that Shopify has ended.
    Periodic("customers.run_imports", timedelta(seconds=10), queue="sync"),
    # Shopify's own segments: those that are due to be listed, and members that somebody waits for.
    Periodic("customers.run_segments", timedelta(seconds=10), queue="sync"),
    # Files that merchants sent, whose job was lost, or that are to be tried again.
    Periodic("uploads.run", timedelta(seconds=10), queue="slow"),
    # Consent that Shopify is owed, whose job was lost, or that is to be tried again.
    Periodic("customers.push_consent", timedelta(seconds=10), queue="shopify"),
    # Shopify's segments that drafts and planned campaigns name.
    Periodic("campaigns.keep_segments_fresh", timedelta(minutes=1)),
    # A merchant's question to the provider whose job was lost.
    Periodic("campaigns.refresh", timedelta(seconds=30), queue="questions"),
    # What is left of erasures that Shopify asked for.
    Periodic("inbound.erase", timedelta(minutes=1), queue="slow"),
    # Minutes: comparing counts with rows, asking the provider.
    Periodic("messaging.reconcile", timedelta(minutes=3), queue="slow"),
    Periodic("messaging.refresh_unanswered", timedelta(minutes=5), queue="questions"),
    Periodic("shops.describe_new", timedelta(minutes=5), queue="sync"),
    # Each shop in its own night.
    Periodic("customers.compare", timedelta(minutes=10), queue="sync"),
    Periodic("shops.renew_expiring", timedelta(days=1), queue="sync"),
    Periodic("uploads.forget", timedelta(minutes=10), queue="slow"),
    Periodic("inbound.prune_webhooks", timedelta(hours=1), queue="slow"),
)
