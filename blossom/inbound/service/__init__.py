"""What comes in: people's texts, and Shopify's webhooks. Texts and replays flush; the others manage their
transactions."""

from __future__ import annotations

from blossom.inbound.service.handling import handle_due, replay
from blossom.inbound.service.pruning import prune_webhooks
from blossom.inbound.service.storing import accept_webhook
from blossom.inbound.service.texts import Received, handle_text, receive_texts

__all__ = ["Received", "accept_webhook", "handle_due", "handle_text", "prune_webhooks", "receive_texts", "replay"]
