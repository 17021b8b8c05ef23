"""States of dispatches, batches, messages and attempts, and what moves them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DispatchKind(StrEnum):
    """What a dispatch is for. Two go to the opted out as well: `STOP_REPLY`, which confirms a STOP, and `CONFIRMATION`,
    which asks the owner of a number that somebody typed into a form whether they want texts again."""

    CAMPAIGN = "campaign"
    TEST = "test"
    AUTOMATION = "automation"
    REPLY = "reply"  # the answer to a text that somebody sent us
    STOP_REPLY = "stop_reply"
    CONFIRMATION = "confirmation"


TO_THE_OPTED_OUT = frozenset({DispatchKind.STOP_REPLY, DispatchKind.CONFIRMATION})
"""Kinds that are texted whatever the consent; who starts one has asked consent whether it may be."""


MARKETING_KINDS = frozenset({DispatchKind.CAMPAIGN, DispatchKind.AUTOMATION})
"""Kinds that need consent, know quiet hours, and are counted by the caps."""


class DispatchState(StrEnum):
    PREPARING = "preparing"
    SENDING = "sending"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_DISPATCH_STATES = frozenset({DispatchState.COMPLETED, DispatchState.FAILED, DispatchState.CANCELLED})


class MessageState(StrEnum):
    """`SENDING` is shown, never stored: a pending message of a claimed batch."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    UNCONFIRMED = "unconfirmed"


class SkipReason(StrEnum):
    NOT_OPTED_IN = "not_opted_in"
    OPTED_OUT = "opted_out"
    CAPPED = "capped"
    NO_PHONE = "no_phone"
    EXPIRED = "validity_passed"
    MISSING_VALUE = "missing_value"
    UNREADABLE = "unreadable"  # a sealed value that does not open


PRIORITIES = {"high": 0, "normal": 1, "low": 2}
RANKS = {
    DispatchKind.STOP_REPLY: 0,
    DispatchKind.REPLY: 0,
    DispatchKind.CONFIRMATION: 0,
    DispatchKind.AUTOMATION: 1,
    DispatchKind.TEST: 1,
    DispatchKind.CAMPAIGN: 2,
}

_STEP = {
    MessageState.PENDING: 0,
    MessageState.UNCONFIRMED: 1,
    MessageState.SENT: 2,
    MessageState.FAILED: 3,
    MessageState.DELIVERED: 4,
}


@dataclass(frozen=True)
class ReceiptFact:
    """What one receipt says. `state` is sent, delivered or failed; `raw` the provider's own word."""

    state: MessageState
    raw: str
    at: datetime
    error_code: str | None = None


def furthest(receipts: list[ReceiptFact]) -> ReceiptFact:
    """The receipt that decides, whatever order they came in.

    Delivered beats failed beats sent: a phone that had the text had it. Between equals the earliest decides.
    """
    return min(receipts, key=lambda receipt: (-_STEP[receipt.state], receipt.at, receipt.raw, receipt.error_code or ""))


def moves_forward(current: MessageState, receipt: MessageState) -> bool:
    """Whether a receipt changes a message: only ever forward, and never one that was skipped or cancelled.

    The one exception to "final is final" is failed → delivered; without it the end would depend on the order of
    arrival (docs/decisions/0005).
    """
    return current in _STEP and _STEP[receipt] > _STEP[current]


def backoff_seconds(tries: int, cap: int) -> int:
    """How long a batch waits after its `tries`-th transient failure in a row: 5, 10, 20, … up to `cap`."""
    return int(min(5 * 2 ** min(max(tries - 1, 0), 20), cap))
