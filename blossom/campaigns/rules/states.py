"""The states of a campaign (spec §2), what may be done in which, and where each deed leads."""

from __future__ import annotations

from enum import StrEnum

from blossom.platform.languages import noted


class CampaignState(StrEnum):
    """`SENT` is an old word for completed that rows of earlier versions hold: read as `COMPLETED`, never written."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    SENDING = "sending"
    PAUSED = "paused"
    COMPLETED = "completed"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATE_WORDS = {
    CampaignState.DRAFT: noted("Draft"),
    CampaignState.SCHEDULED: noted("Scheduled"),
    CampaignState.SENDING: noted("Sending"),
    CampaignState.PAUSED: noted("Paused"),
    CampaignState.COMPLETED: noted("Completed"),
    CampaignState.FAILED: noted("Failed"),
    CampaignState.CANCELLED: noted("Cancelled"),
}
"""What a merchant reads for each state that a campaign is read with."""


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Action(StrEnum):
    """What can be done to a campaign; the value completes "can't be …"."""

    EDIT = "changed"
    DELETE = "deleted"
    SCHEDULE = "scheduled"
    UNSCHEDULE = "taken off its schedule"
    ENQUEUE = "sent"
    PAUSE = "paused"
    RESUME = "resumed"
    CANCEL = "cancelled"
    RETRY = "retried"
    CHOOSE_WINNER = "given a winner"
    COMPLETE = "completed"
    FAIL = "failed"


_S = CampaignState

TRANSITIONS: dict[Action, dict[CampaignState, CampaignState | None]] = {
    # None: the row is gone.
    Action.EDIT: {_S.DRAFT: _S.DRAFT, _S.SCHEDULED: _S.SCHEDULED},
    # What was sent, even in part, is kept: such a campaign has a dispatch, which `may_delete` looks at too.
    Action.DELETE: {_S.DRAFT: None, _S.SCHEDULED: None, _S.FAILED: None, _S.CANCELLED: None},
    Action.SCHEDULE: {_S.DRAFT: _S.SCHEDULED, _S.SCHEDULED: _S.SCHEDULED},
    Action.UNSCHEDULE: {_S.SCHEDULED: _S.DRAFT},
    Action.ENQUEUE: {_S.DRAFT: _S.SENDING, _S.SCHEDULED: _S.SENDING, _S.PAUSED: _S.SENDING},
    Action.PAUSE: {_S.SENDING: _S.PAUSED},
    Action.RESUME: {_S.PAUSED: _S.SENDING},
    Action.CANCEL: {_S.SCHEDULED: _S.CANCELLED, _S.SENDING: _S.CANCELLED, _S.PAUSED: _S.CANCELLED},
    Action.RETRY: {_S.COMPLETED: _S.SENDING, _S.FAILED: _S.SENDING},
    Action.CHOOSE_WINNER: {_S.SENDING: _S.SENDING, _S.PAUSED: _S.PAUSED},
    # By what its dispatch came to. A pause may cross with the last text, hence from `paused` too; a planned
    # campaign fails when it can't be sent at its hour.
    Action.COMPLETE: {_S.SENDING: _S.COMPLETED, _S.PAUSED: _S.COMPLETED},
    Action.FAIL: {_S.SCHEDULED: _S.FAILED, _S.SENDING: _S.FAILED, _S.PAUSED: _S.FAILED},
}

REPEATED: dict[Action, CampaignState] = {
    Action.UNSCHEDULE: _S.DRAFT,
    Action.ENQUEUE: _S.SENDING,
    Action.PAUSE: _S.PAUSED,
    Action.RESUME: _S.SENDING,
    Action.CANCEL: _S.CANCELLED,
}
"""Where a deed was done already, so that a second click gets the same answer and changes nothing."""


def shown(stored: str) -> CampaignState:
    """The state that a stored word means."""
    state = CampaignState(stored)
    return CampaignState.COMPLETED if state is CampaignState.SENT else state


def allowed_from(action: Action) -> list[CampaignState]:
    """The states in which `action` can be done."""
    return list(TRANSITIONS[action])


def may(action: Action, state: CampaignState) -> bool:
    return state in TRANSITIONS[action]


def may_delete(state: CampaignState, *, has_dispatch: bool) -> bool:
    """Whether the campaign can go: it is at rest, and no text of it ever left."""
    return may(Action.DELETE, state) and not has_dispatch
