"""What other domains and pages may read of messaging."""

from blossom.messaging.queries.breakdown import groups, minutes
from blossom.messaging.queries.depth import QueueStats, queue_stats
from blossom.messaging.queries.history import Call, History, Try, Word, history
from blossom.messaging.queries.previewing import Objection, Preview, Sample, preview
from blossom.messaging.queries.progress import Progress, held_credits, progress, progress_many
from blossom.messaging.queries.purposes import dispatches_holding, kinds_of
from blossom.messaging.queries.recipients import (
    CountryCosts,
    FailureCause,
    RecipientRow,
    costs_by_country,
    failures_by_cause,
    phone_hash_of,
    recipients,
    skipped_by_reason,
)
from blossom.messaging.queries.showings import Standing, TextFigures, standing
from blossom.messaging.queries.walk import Place, Stretch, stretch

__all__ = [
    "Call",
    "CountryCosts",
    "FailureCause",
    "History",
    "Objection",
    "Place",
    "Preview",
    "Progress",
    "QueueStats",
    "RecipientRow",
    "Sample",
    "Standing",
    "Stretch",
    "TextFigures",
    "Try",
    "Word",
    "costs_by_country",
    "dispatches_holding",
    "failures_by_cause",
    "groups",
    "held_credits",
    "history",
    "kinds_of",
    "minutes",
    "phone_hash_of",
    "preview",
    "progress",
    "progress_many",
    "queue_stats",
    "recipients",
    "skipped_by_reason",
    "standing",
    "stretch",
]
