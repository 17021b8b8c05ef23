"""Who a text comes from: a name of 3 to 11 letters and digits, or a number (facts/mitto.md A6)."""

from __future__ import annotations

import re

from blossom.message_templates.errors import InvalidSender

_name = re.compile(r"[A-Za-z0-9]{3,11}").fullmatch
_e164 = re.compile(r"\+[1-9][0-9]{6,14}").fullmatch


def validate_sender(sender: str) -> str:
    """The sender as it goes to the provider. Raises `InvalidSender` saying what is wrong with it."""
    sender = sender.strip()
    if _e164(sender):
        return sender
    if sender.startswith("+"):
        raise InvalidSender("A number as sender is “+”, the country code and the number, 7 to 15 digits without gaps.")
    if sender.isdigit():
        raise InvalidSender("A sender of digits alone is a phone number: write it with “+” and its country code.")
    if not 3 <= len(sender) <= 11:
        raise InvalidSender(f"A sender has 3 to 11 characters; this one has {len(sender)}.")
    if not _name(sender):
        wrong = next(char for char in sender if not _name(char * 3))
        raise InvalidSender(
            "A sender has no spaces."
            if wrong.isspace()
            else f"A sender has the letters A–Z and digits only; {wrong!r} is neither."
        )
    return sender
