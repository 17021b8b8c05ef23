"""What other domains and pages may read of messaging."""

from blossom.messaging.queries.depth import QueueStats, queue_stats
from blossom.messaging.queries.preview import Objection, Preview, Sample, preview
from blossom.messaging.queries.progress import Progress, progress, progress_many
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

__all__ = [
    "CountryCosts",
    "FailureCause",
    "Objection",
    "Preview",
    "Progress",
    "QueueStats",
    "RecipientRow",
    "Sample",
    "costs_by_country",
    "failures_by_cause",
    "phone_hash_of",
    "preview",
    "progress",
    "progress_many",
    "queue_stats",
    "recipients",
    "skipped_by_reason",
]
