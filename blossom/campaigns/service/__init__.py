"""The use cases of campaigns. They flush; who calls them commits.

Each locks its campaign before it looks at the dispatch, and changes both in one transaction, so that the two never
disagree for longer than the news of a dispatch's end takes (`settle`). The provider is asked outside of all of that
(`asking`).
"""

from blossom.campaigns.service.asking import MOST_AT_ONCE, refresh_campaign, refresh_status
from blossom.campaigns.service.fitness import preview, text_reasons
from blossom.campaigns.service.sending import (
    cancel_campaign,
    enqueue_campaign,
    enqueue_due_campaign,
    pause_campaign,
    resume_campaign,
    retry_failed,
    retry_unconfirmed,
    send_test,
    settle,
)
from blossom.campaigns.service.writing import (
    create_campaign,
    delete_campaign,
    duplicate_campaign,
    schedule_campaign,
    unschedule_campaign,
    update_campaign,
)

__all__ = [
    "MOST_AT_ONCE",
    "cancel_campaign",
    "create_campaign",
    "delete_campaign",
    "duplicate_campaign",
    "enqueue_campaign",
    "enqueue_due_campaign",
    "pause_campaign",
    "preview",
    "refresh_campaign",
    "refresh_status",
    "resume_campaign",
    "retry_failed",
    "retry_unconfirmed",
    "schedule_campaign",
    "send_test",
    "settle",
    "text_reasons",
    "unschedule_campaign",
    "update_campaign",
]
