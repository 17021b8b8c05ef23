"""Who a text comes from: a name of 3 to 11 letters and digits, or a number in E.164 (facts/mitto.md A6)."""

from __future__ import annotations

from blossom.message_templates.errors import InvalidSender
from blossom.platform.languages import noted
from blossom.shops.rules import sender_fault


def validate_sender(sender: str) -> str:
    """The sender as it goes to the provider, by the same rule as the shop's own. Raises `InvalidSender`."""
    sender = sender.strip()
    if fault := sender_fault(sender):
        raise InvalidSender(noted("The sender %(fault)s.", fault=fault))
    return sender
