"""Messages of a dispatch that are alike. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.messaging.rules.states import MessageState


@dataclass(frozen=True)
class Group:
    """Messages that share all of this. `opted_out`: of failed and unconfirmed ones, whether their person has."""

    country: str
    state: MessageState
    error: str | None
    delivery_status: str | None
    reason: str | None
    opted_out: bool
    messages: int
    segments: int
    credits: int
