"""The states of an import of Shopify's customers, when a step is tried again, and what a chunk holds. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from datetime import time as dt_time
from enum import StrEnum
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from blossom.consent.rules import LATER_THERE as LATER_THERE
from blossom.contacts.rules.customers import Customer

T = TypeVar("T")


class ImportState(StrEnum):
    ASKED = "asked"  # Shopify is to be asked for the export
    EXPORTING = "exporting"  # it makes the file
    READING = "reading"  # we read it
    COMPLETED = "completed"
    FAILED = "failed"  # given up; `fault` says why, and another may be asked for


OPEN_STATES = (ImportState.ASKED, ImportState.EXPORTING, ImportState.READING)

IN_HAND = timedelta(minutes=3)
"""How long a worker has an import to itself; each chunk counts it anew. One that was killed is followed by another."""

_SECONDS = (5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14400)
MOST_TRIES = len(_SECONDS)

MOST_EXPORTS = 5
"""So many files that came to nothing, or were gone before they were read, are enough for one import."""


def retry_after(tries: int) -> timedelta:
    """How long to wait after so many failures in a row (from 1 on)."""
    return timedelta(seconds=_SECONDS[min(tries, MOST_TRIES) - 1])


_READING_SECONDS = (5, 15, 30, 60, 120, 300, 600, 600)


def reading_retry_after(tries: int) -> timedelta | None:
    """How long to wait before a segment's members are asked for again, after so many failures in a row (from 1 on).
    None: it is given up, since a campaign may wait for it: after nine tries, some 29 minutes after the first."""
    return timedelta(seconds=_READING_SECONDS[tries - 1]) if tries <= len(_READING_SECONDS) else None


MOST_WAIT_SECONDS = 2.0
"""That Shopify may let a push wait, tries of a failed call included, in the one process that serves all shops."""

_LONGEST_PAUSE = timedelta(minutes=5)


def pause_after(failures: int, asked: float | None = None) -> timedelta:
    """How long to push nothing of a shop for which Shopify has failed so many times in a row (from 1 on), or as long as
    it `asked` for (seconds), if that is longer. Not for hours: by then what waits may be somebody's opt-out."""
    return max(min(retry_after(failures), _LONGEST_PAUSE), timedelta(seconds=asked or 0))


def poll_after(running: timedelta) -> timedelta:
    """How long to leave an export alone that has been running for so long: its end is told by a webhook, too."""
    return min(max(running / 10, timedelta(seconds=1)), timedelta(seconds=30))


REFUSED_UNREADABLE = "unreadable"  # a line that is no customer
REFUSED_TWICE = "customer_doubled"  # named twice: the latest word counts
REFUSED_DOUBLED = "phone_doubled"  # the number is another customer's, who came first


@dataclass(frozen=True)
class Chunk:
    """So many lines, read. `refused`: customers without a usable phone, and why, counted."""

    lines: int
    customers: Sequence[Customer]
    without_phone: int
    refused: Mapping[str, int]


def chunk_of(lines: Sequence[T], read: Callable[[T], Customer | None]) -> Chunk:
    """Take lines (or what a page holds) apart. Each customer once (the latest word counts), and each phone."""
    refused: Counter[str] = Counter()
    latest: dict[int, Customer] = {}
    for line in lines:
        customer = read(line)
        if customer is None:
            refused[REFUSED_UNREADABLE] += 1
        elif (before := latest.get(customer.id)) is None:
            latest[customer.id] = customer
        else:
            refused[REFUSED_TWICE] += 1
            latest[customer.id] = max(before, customer, key=lambda each: each.updated_at)
    kept: dict[object, Customer] = {}
    without_phone = 0
    for customer in latest.values():
        if customer.person is None:
            kept[customer.id] = customer
            if customer.refused is None:
                without_phone += 1
            else:
                refused[customer.refused] += 1
            continue
        phone = customer.person.phone.e164
        if phone not in kept:
            kept[phone] = customer
            continue
        refused[REFUSED_DOUBLED] += 1
        if customer.consent is not None and customer.consent.state == "UNSUBSCRIBED":  # whoever said it holds the phone
            kept[phone] = replace(kept[phone], consent=customer.consent)
    return Chunk(len(lines), list(kept.values()), without_phone, dict(refused))


@dataclass(frozen=True)
class Progress:
    """How far an import is. `lines_total` is Shopify's count, None before it has one.

    Each line read is one of created, updated, unchanged, older (we had a newer word by a webhook), without_phone, or
    refused (`refused_by_code` says why; nobody's number is in it).
    """

    import_id: int
    state: ImportState
    lines_total: int | None
    lines_read: int
    created: int
    updated: int
    unchanged: int
    older: int
    without_phone: int
    refused: int
    asked_at: datetime
    finished_at: datetime | None
    fault: str | None
    refused_by_code: dict[str, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES

    @property
    def nobody_is_seen(self) -> bool:
        """Not one phone in a whole list: Shopify hides them until it has approved the app for protected data."""
        return self.lines_read > 0 and self.without_phone == self.lines_read


@dataclass(frozen=True)
class Told:
    """How a phone's consent was settled with Shopify: its word for what it holds now (None: it was told nothing), and
    why that is not ours."""

    state: str | None
    fault: str | None


OTHER_NUMBER = "other_number"
"""The customer whom Shopify finds by the number has another one by now, whose consent this is not."""


def is_later(at: datetime, said: Mapping[str, Any]) -> bool:
    """Whether Shopify's word was given after ours of `at`."""
    return bool(said.get("updatedAt")) and datetime.fromisoformat(said["updatedAt"]) > at


class PushState(StrEnum):
    OWED = "owed"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Push:
    """How far Shopify knows of a phone's consent, for the contact's page. `words` say why it doesn't, or not yet."""

    state: PushState
    since: datetime  # owed since, or settled at
    tries: int
    words: str | None
    next_try_at: datetime | None = None  # of what is owed
    told: str | None = None  # Shopify's word for what it holds; None: there was nothing to tell it


_NIGHT = dt_time(3, 30)
"""When little changes, in the shop's own zone."""


def next_night(now: datetime, zone: str) -> datetime:
    """The next time that it is night in the shop."""
    local = now.astimezone(ZoneInfo(zone))
    day = local.date() if local.time() < _NIGHT else local.date() + timedelta(days=1)
    return datetime.combine(day, _NIGHT, tzinfo=ZoneInfo(zone)).astimezone(UTC)


LOOK_BACK = timedelta(minutes=10)
"""A comparison begins so long before what was looked at last: Shopify's clock, and its search, may lag."""
