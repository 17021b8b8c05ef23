"""A campaign's figures as they are counted over its messages, kept as JSON, and read by pages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from blossom.campaigns.rules import causes
from blossom.messaging.rules.groups import Group
from blossom.messaging.rules.states import MessageState

KEPT_FOR = timedelta(minutes=5)
"""For so long a tally is good although clicks and opt-outs may have come since."""

WATCHED_FOR = timedelta(days=30)
"""After its end a campaign's clicks and opt-outs are counted anew for so long; then figures are good for ever."""

_LEFT = (MessageState.SENT, MessageState.DELIVERED, MessageState.FAILED)
_COSTLY = (MessageState.SENT, MessageState.DELIVERED, MessageState.UNCONFIRMED)


@dataclass(frozen=True)
class Cause:
    """Why messages failed: the code, the provider's raw word, how many. `again`: how many of them *retry failed* would
    send again (a passing reason, and not opted out)."""

    error: str
    delivery_status: str | None
    messages: int
    again: int

    @property
    def codes(self) -> str:
        """What support asks for."""
        return causes.codes(self.error, self.delivery_status)


@dataclass(frozen=True)
class Country:
    """`texts` may have cost: delivered, on their way, unconfirmed. `credits` net of refunds."""

    country: str
    recipients: int
    texts: int
    delivered: int
    failed: int
    segments: int
    credits: int


@dataclass(frozen=True)
class Tally:
    """`reasons`: why messages were skipped → how many. `opted_out`: failed and unconfirmed ones whose person has opted
    out since, and gets no second try. `minutes`: `delivered`, `failed`, `clicked` → minutes since 1970 with how many
    in each. `clickers`: recipients who opened a link; None for a text that shortens none. `unsubscribes`: who
    opted out by themselves after this text."""

    causes: list[Cause]
    reasons: dict[str, int]
    countries: list[Country]
    opted_out: dict[str, int]
    minutes: dict[str, list[tuple[int, int]]]
    clickers: int | None
    unsubscribes: int

    @property
    def failed(self) -> int:
        return sum(cause.messages for cause in self.causes)

    @property
    def again(self) -> int:
        """How many *retry failed* would send again."""
        return sum(cause.again for cause in self.causes)

    @property
    def credits(self) -> int:
        return sum(country.credits for country in self.countries)

    @property
    def segments(self) -> int:
        return sum(country.segments for country in self.countries)

    def to_json(self) -> dict[str, Any]:
        return {
            "causes": [[each.error, each.delivery_status, each.messages, each.again] for each in self.causes],
            "reasons": self.reasons,
            "countries": [
                [c.country, c.recipients, c.texts, c.delivered, c.failed, c.segments, c.credits] for c in self.countries
            ],
            "opted_out": self.opted_out,
            "minutes": self.minutes,
            "clickers": self.clickers,
            "unsubscribes": self.unsubscribes,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Tally:
        return cls(
            causes=[Cause(*each) for each in kept["causes"]],
            reasons=dict(kept["reasons"]),
            countries=[Country(*each) for each in kept["countries"]],
            opted_out=dict(kept["opted_out"]),
            minutes={event: [(minute, number) for minute, number in of] for event, of in kept["minutes"].items()},
            clickers=kept["clickers"],
            unsubscribes=kept["unsubscribes"],
        )


def count(
    groups: Iterable[Group],
    minutes: Mapping[str, Sequence[tuple[datetime, int]]],
    *,
    clickers: int | None,
    unsubscribes: int,
) -> Tally:
    """Sum groups of messages up to what pages show, the largest first."""
    failed: Counter[tuple[str, str | None]] = Counter()
    again: Counter[tuple[str, str | None]] = Counter()
    reasons, opted_out = Counter[str](), Counter[str]()
    countries: dict[str, list[int]] = {}
    for group in groups:
        sums = countries.setdefault(group.country, [0] * 6)
        costly, is_failed = group.state in _COSTLY, group.state is MessageState.FAILED
        for place, amount in enumerate(
            (
                group.messages,
                group.messages if costly else 0,
                group.messages if group.state is MessageState.DELIVERED else 0,
                group.messages if is_failed else 0,
                group.segments if costly else 0,
                group.credits,
            )
        ):
            sums[place] += amount
        if is_failed:
            cause = (group.error or "unknown", group.delivery_status)
            failed[cause] += group.messages
            if causes.passes(group.error, group.delivery_status) and not group.opted_out:
                again[cause] += group.messages
        if group.state is MessageState.SKIPPED:
            reasons[group.reason or "unknown"] += group.messages
        if group.opted_out:
            opted_out[group.state.value] += group.messages
    return Tally(
        causes=[Cause(*cause, number, again[cause]) for cause, number in failed.most_common()],
        reasons=dict(reasons.most_common()),
        countries=[Country(name, *sums) for name, sums in sorted(countries.items(), key=lambda each: -each[1][0])],
        opted_out=dict(opted_out),
        minutes={event: _by_minute(of) for event, of in minutes.items()},
        clickers=clickers,
        unsubscribes=unsubscribes,
    )


_MOST_MINUTES, _COARSER = 1_500, 15


def _by_minute(counted: Sequence[tuple[datetime, int]]) -> list[tuple[int, int]]:
    """Minutes since 1970 with how many; of what went on for days, quarters of an hour."""
    step = 1 if len(counted) <= _MOST_MINUTES else _COARSER
    found: Counter[int] = Counter()
    for at, number in counted:
        found[int(at.timestamp()) // 60 // step * step] += number
    return sorted(found.items())


def moment_of(minute: int) -> datetime:
    """When a minute of `Tally.minutes` begins."""
    return datetime.fromtimestamp(minute * 60, UTC)


def dumped(value: object) -> str:
    """As a statement takes it for jsonb."""
    return orjson.dumps(value).decode()


def is_good(
    counted_at: datetime | None,
    counted: Sequence[int] | None,
    standing: Sequence[int],
    finished_at: datetime | None,
    now: datetime,
) -> bool:
    """Whether what was counted at `counted_at`, when the dispatch's counts were `counted`, still tells how it stands
    (`standing`)."""
    if counted_at is None or list(counted or ()) != list(standing):
        return False
    if finished_at is not None and counted_at > finished_at + WATCHED_FOR:
        return True
    return now - counted_at < KEPT_FOR
