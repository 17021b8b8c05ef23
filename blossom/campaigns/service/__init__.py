"""The use cases of campaigns. They flush; who calls them commits.

Each locks its campaign before it looks at the dispatch, and changes both in one transaction, so that the two never
disagree for longer than the news of a dispatch's end takes (`settle`). The provider is asked outside of all of that
(`asking`).
"""

from blossom.campaigns.service.asking import (
    MOST_AT_ONCE,
    ask_for_refresh,
    refresh_campaign,
    refresh_status,
    run_refreshes,
)
from blossom.campaigns.service.confirming import Question, Waits, ask_to_confirm, confirm_campaign, take_yes
from blossom.campaigns.service.counting import count_audience, counted
from blossom.campaigns.service.drafting import Draft, Save, save_draft
from blossom.campaigns.service.fitness import preview, text_reasons
from blossom.campaigns.service.planning import plan_of, planned
from blossom.campaigns.service.sending import (
    cancel_campaign,
    choose_winner,
    enqueue_campaign,
    enqueue_due_campaign,
    pause_campaign,
    resume_campaign,
    retry_failed,
    retry_unconfirmed,
    send_test,
    settle,
)
from blossom.campaigns.service.shopify_segments import keep_fresh as keep_segments_fresh
from blossom.campaigns.service.shopify_segments import readings_of
from blossom.campaigns.service.tallying import Figures, count_tally, figures
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
    "Draft",
    "Figures",
    "Question",
    "Save",
    "Waits",
    "ask_for_refresh",
    "ask_to_confirm",
    "cancel_campaign",
    "choose_winner",
    "confirm_campaign",
    "count_audience",
    "count_tally",
    "counted",
    "create_campaign",
    "delete_campaign",
    "duplicate_campaign",
    "enqueue_campaign",
    "enqueue_due_campaign",
    "figures",
    "keep_segments_fresh",
    "pause_campaign",
    "plan_of",
    "planned",
    "preview",
    "readings_of",
    "refresh_campaign",
    "refresh_status",
    "resume_campaign",
    "retry_failed",
    "retry_unconfirmed",
    "run_refreshes",
    "save_draft",
    "schedule_campaign",
    "send_test",
    "settle",
    "take_yes",
    "text_reasons",
    "unschedule_campaign",
    "update_campaign",
]
