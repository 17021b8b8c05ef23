"""Texts to a person in a merchant's words. Pure."""

from __future__ import annotations

from blossom.messaging.rules.states import DispatchKind, MessageState, SkipReason
from blossom.platform.languages import noted

STATE_WORDS = {
    MessageState.PENDING: noted("Still to go"),
    MessageState.SENDING: noted("Being sent"),
    MessageState.SENT: noted("On its way"),
    MessageState.DELIVERED: noted("Delivered"),
    MessageState.FAILED: noted("Failed"),
    MessageState.CANCELLED: noted("Cancelled"),
    MessageState.SKIPPED: noted("Not sent"),
    MessageState.UNCONFIRMED: noted("Unconfirmed"),
}

BADGES = {
    MessageState.DELIVERED: "completed",
    MessageState.SENT: "sending",
    MessageState.SENDING: "sending",
    MessageState.FAILED: "failed",
}
"""The colour of a state's badge, by the state of a campaign that has it; others are grey."""

KIND_WORDS = {
    DispatchKind.CAMPAIGN: noted("Campaign"),
    DispatchKind.TEST: noted("Test of a campaign"),
    DispatchKind.AUTOMATION: noted("Automation"),
    DispatchKind.REPLY: noted("Answer to their text"),
    DispatchKind.STOP_REPLY: noted("Confirmation that they opted out"),
    DispatchKind.CONFIRMATION: noted("Request to confirm that they agree"),
}

_SKIPPED = {
    SkipReason.NOT_OPTED_IN: noted("They had not agreed to texts."),
    SkipReason.OPTED_OUT: noted("They had opted out."),
    SkipReason.CAPPED: noted("They had had enough texts lately."),
    SkipReason.NO_PHONE: noted("There was no phone number."),
    SkipReason.EXPIRED: noted("They could not be reached in time."),
    SkipReason.MISSING_VALUE: noted("A value that the text needs is not known of them."),
}


def skipped(reason: str | None) -> str | None:
    """Why a text was not sent."""
    known = {each.value: words for each, words in _SKIPPED.items()}
    return known.get(reason or "")
