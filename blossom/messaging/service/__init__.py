"""What other domains may ask of messaging. Everything flushes and never commits, but for what says otherwise."""

from blossom.messaging.service.deciding import choose_winner, decide_winners
from blossom.messaging.service.dispatches import (
    CancelOutcome,
    cancel_dispatch,
    close_messages,
    fail_dispatch,
    finish_if_done,
    pause_dispatch,
    resume_dispatch,
)
from blossom.messaging.service.lane import run_lane
from blossom.messaging.service.orphans import ask_about_orphans
from blossom.messaging.service.receipts import apply_receipts
from blossom.messaging.service.receiving import accept_receipts, accept_together, store_receipts
from blossom.messaging.service.reconciliation import (
    Refreshed,
    reconcile,
    refresh_status,
    refresh_unanswered,
    sweep,
)
from blossom.messaging.service.replies import forget_reply, send_confirmation, send_reply
from blossom.messaging.service.retries import RetryOutcome, retry_failed, retry_unconfirmed
from blossom.messaging.service.snapshot import prepare_dispatch
from blossom.messaging.service.starting import DispatchPlan, start_dispatch
from blossom.messaging.service.trials import Trial, send_test

__all__ = [
    "CancelOutcome",
    "DispatchPlan",
    "Refreshed",
    "RetryOutcome",
    "Trial",
    "accept_receipts",
    "accept_together",
    "apply_receipts",
    "ask_about_orphans",
    "cancel_dispatch",
    "choose_winner",
    "close_messages",
    "decide_winners",
    "fail_dispatch",
    "finish_if_done",
    "forget_reply",
    "pause_dispatch",
    "prepare_dispatch",
    "reconcile",
    "refresh_status",
    "refresh_unanswered",
    "resume_dispatch",
    "retry_failed",
    "retry_unconfirmed",
    "run_lane",
    "send_confirmation",
    "send_reply",
    "send_test",
    "start_dispatch",
    "store_receipts",
    "sweep",
]
