"""Pictures of a campaign's results as numbers: which bars stand where, and what the axes say. Pure.

The templates draw them as SVG by attributes alone, since the content security policy allows no inline style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from blossom.campaigns.rules import tally

WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080, 43_200)
"""Minutes that a bar may stand for."""

MOST_BARS = 36
_NEARLY_ALL = 0.99
"""The axis ends where so much of everything has happened: the last few receipts may come days later, and would press
what matters into one bar. The rest is told in words (`Series.later`)."""


@dataclass(frozen=True)
class Bucket:
    """A stretch of time, in the zone that was asked for, and how many of each event fell into it."""

    begins: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Series:
    """`minutes` that a bucket lasts. `later`: event → how many came after the last bucket."""

    buckets: Sequence[Bucket]
    minutes: int
    later: Mapping[str, int]

    @property
    def highest(self) -> int:
        return max((sum(bucket.counts.values()) for bucket in self.buckets), default=0)


def over_time(minutes: Mapping[str, Sequence[tuple[int, int]]], events: Sequence[str], zone: str) -> Series:
    """Put what happened minute by minute into at most `MOST_BARS` buckets, which begin at round times of that zone."""
    counted = {event: list(minutes.get(event, ())) for event in events}
    happened = sorted((minute, number) for of in counted.values() for minute, number in of)
    if not happened:
        return Series((), WIDTHS[0], {})
    first, last = happened[0][0], _end(happened)
    width = next((each for each in WIDTHS if (last - first) // each < MOST_BARS - 1), WIDTHS[-1])
    offset = _offset(first, zone)
    begin = (first + offset) // width * width - offset
    buckets = [dict.fromkeys(events, 0) for _ in range((last - begin) // width + 1)]
    later = dict.fromkeys(events, 0)
    for event, of in counted.items():
        for minute, number in of:
            place = (minute - begin) // width
            (buckets[place] if place < len(buckets) else later)[event] += number
    return Series(
        [Bucket(tally.moment_of(begin + place * width), counts) for place, counts in enumerate(buckets)],
        width,
        {event: number for event, number in later.items() if number},
    )


def _end(happened: Sequence[tuple[int, int]]) -> int:
    """The minute by which nearly all has happened."""
    enough = _NEARLY_ALL * sum(number for _, number in happened)
    so_far = 0
    for minute, number in happened:
        so_far += number
        if so_far >= enough:
            return minute
    return happened[-1][0]


def _offset(minute: int, zone: str) -> int:
    offset = tally.moment_of(minute).astimezone(ZoneInfo(zone)).utcoffset()
    return int(offset.total_seconds()) // 60 if offset else 0


@dataclass(frozen=True)
class Bar:
    """A stretch of a column: where it stands, in the picture's units, and of which event it is."""

    event: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """A picture of `width` × `height` units with its columns; `lines`: (y, value) of the grid; `ticks`: (middle, place
    of the bucket) of those whose time is written below."""

    width: int
    height: int
    left: int
    bottom: int
    bars: Sequence[Bar]
    lines: Sequence[tuple[float, int]]
    ticks: Sequence[tuple[float, int]]


_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 720, 220, 76, 12, 190
_TICKS = 5
_GAP = 0.2
_WIDEST = 56
"""Of a column: a campaign that was over within a minute is a column, not a wall."""


def columns(series: Series, events: Sequence[str]) -> Chart:
    """A column a bucket, the events in it stacked in their order, the first at the bottom."""
    top = _round_up(series.highest)
    step = (_WIDTH - _LEFT) / max(len(series.buckets), 1)
    width = min(step * (1 - _GAP), _WIDEST)
    bars = []
    for place, bucket in enumerate(series.buckets):
        y = float(_BOTTOM)
        for event in events:
            height = (_BOTTOM - _TOP) * bucket.counts[event] / top
            if height:
                y -= height
                bars.append(Bar(event, _LEFT + (place + 0.5) * step - width / 2, y, width, height))
    lines = [(_BOTTOM - (_BOTTOM - _TOP) * part / 4, top * part // 4) for part in range(5) if top * part % 4 == 0]
    every = max(1, -(-len(series.buckets) // _TICKS))
    ticks = [(_LEFT + (place + 0.5) * step, place) for place in range(0, len(series.buckets), every)]
    return Chart(_WIDTH, _HEIGHT, _LEFT, _BOTTOM, bars, lines, ticks)


def _round_up(highest: int) -> int:
    """The end of the axis: 1, 2, 4, 8, 10, 20, 40 … at or above the highest column."""
    scale = 1
    while True:
        for step in (1, 2, 4, 8):
            if step * scale >= highest:
                return step * scale
        scale *= 10


@dataclass(frozen=True)
class Step:
    """A step of the funnel; `share` of the first step and `of_before` of the one above, in percent."""

    key: str
    number: int
    share: float
    of_before: float


def funnel(steps: Sequence[tuple[str, int]]) -> list[Step]:
    """Each step with what is left of those before it."""
    found = []
    for place, (key, number) in enumerate(steps):
        before = steps[place - 1][1] if place else number
        found.append(Step(key, number, _percent(number, steps[0][1]), _percent(number, before)))
    return found


def _percent(number: int, of: int) -> float:
    return 100 * number / of if of else 0.0
