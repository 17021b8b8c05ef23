"""What a run came to: our report, and beside it the provider's own log. Pure; docs/demo.md tells the identities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

REPEATED = "repeated_in_file"
"""The reason under which lines count whose person an earlier line of the file had: one person, one text."""


@dataclass
class Counted:
    """What our own rows say of the texts that the provider took, one by one."""

    taken: int = 0
    not_taken: int = 0
    segments: int = 0
    credits: int = 0
    ids: set[str] = field(default_factory=set)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a recipient of the API."""
        self.credits += row["credits"]
        if row["mittoMessageId"] is not None:
            self.taken += 1
            self.segments += row["segments"]
            self.ids.add(row["mittoMessageId"])
        elif row["status"] == "failed":
            self.not_taken += 1


@dataclass(frozen=True)
class ProviderLog:
    """What the stand-in wrote down: every text that it took."""

    texts: int
    distinct_phones: int
    doubled: int
    segments: int
    ids: frozenset[str] | None = None  # None: too many to be compared one by one


@dataclass(frozen=True)
class ShopifyLog:
    """What Shopify's stand-in has and saw: its customers, those with a phone that is subscribed to texts, what the app
    asked for, and how many were texted whom it has as not subscribed."""

    customers: int
    subscribed: int
    token_exchanges: int
    bulk_operations: int
    texted_unsubscribed: int


@dataclass(frozen=True)
class Figures:
    """A run, by the definitions of docs/demo.md. `shopify_log`: of a run at Shopify's stand-in."""

    imported: int
    refused: int
    recipients: int
    left_out: dict[str, int]  # before the snapshot: reason → lines of the file
    skipped: dict[str, int]  # at the moment of sending: reason → recipients
    sent: int
    delivered: int
    failed: int
    not_taken: int
    unconfirmed: int
    scheduled: int
    segments: int
    credits: int
    seconds: float
    provider_log: ProviderLog
    shopify_log: ShopifyLog | None = None

    @property
    def messages_per_second(self) -> float:
        return round(self.sent / self.seconds, 1) if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        log = self.provider_log
        shopify = {} if self.shopify_log is None else {"shopify_log": asdict(self.shopify_log)}
        return {
            "imported": self.imported,
            "refused": self.refused,
            "recipients": self.recipients,
            "skipped": dict(Counter(self.left_out) + Counter(self.skipped)),
            "sent": self.sent,
            "delivered": self.delivered,
            "failed": self.failed,
            "not_taken": self.not_taken,
            "unconfirmed": self.unconfirmed,
            "scheduled": self.scheduled,
            "segments": self.segments,
            "credits": self.credits,
            "seconds": round(self.seconds, 2),
            "messages_per_second": self.messages_per_second,
            "provider_log": {"texts": log.texts, "distinct_phones": log.distinct_phones, "doubled": log.doubled},
            **shopify,
        }


def left_out(imported: Mapping[str, Any], progress: Mapping[str, Any]) -> dict[str, int]:
    """Reason → imported lines that made no recipient. The shop is new, so an update is a second line of the file."""
    return dict(Counter({REPEATED: imported["updated"] + imported["unchanged"]}) + Counter(progress["leftOut"]))


def disagreements(figures: Figures, counted: Counted | None) -> list[str]:
    """Where our report and the provider's log say different things; empty when all is well."""
    log, found = figures.provider_log, []
    if log.doubled:
        found.append(f"{log.doubled} phones got more than one text.")
    # What is unconfirmed may or may not have been taken: that is what the word says.
    least = figures.sent - figures.not_taken
    if not least <= log.texts <= least + figures.unconfirmed:
        found.append(f"We say that {least} texts were taken, the provider's log has {log.texts}.")
    if counted is not None:
        if log.ids is not None and (lost := counted.ids - log.ids):
            found.append(f"{len(lost)} of our texts are not in the provider's log.")
        if not figures.unconfirmed and figures.segments != log.segments:
            found.append(f"We count {figures.segments} segments, the provider {log.segments}.")
        if not figures.unconfirmed and counted.credits != figures.credits:
            found.append(f"The messages cost {counted.credits} credits, the wallet paid {figures.credits}.")
    if figures.imported != figures.recipients + sum(figures.left_out.values()):
        found.append(
            f"{figures.imported} lines were imported, but {figures.recipients} recipients and"
            f" {sum(figures.left_out.values())} left out don't add up to them."
        )
    found += [] if figures.shopify_log is None else _against_shopify(figures, figures.shopify_log)
    decided = figures.sent + sum(figures.skipped.values()) + figures.unconfirmed + figures.scheduled
    if figures.recipients != decided:
        found.append(f"There are {figures.recipients} recipients, but {decided} of them are accounted for.")
    return found


def _against_shopify(figures: Figures, log: ShopifyLog) -> list[str]:
    """Where our report and Shopify's stand-in say different things."""
    found = []
    if figures.imported + figures.refused != log.customers:
        found.append(f"We account for {figures.imported + figures.refused} customers, Shopify has {log.customers}.")
    if log.texted_unsubscribed:
        found.append(f"{log.texted_unsubscribed} phones got a text that aren't subscribed at Shopify.")
    if not log.token_exchanges or log.bulk_operations != 1:
        found.append(
            f"Shopify was asked for {log.token_exchanges} token exchanges and {log.bulk_operations} bulk operations."
        )
    return found
