"""When a planned campaign is due. Moments are aware and UTC; wall times are naive. `now` is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from blossom.campaigns.errors import InvalidSchedule
from blossom.platform.languages import noted

FIRST_ZONE_AHEAD = timedelta(hours=14)
"""How long before UTC a wall time comes first on earth (Kiribati, UTC+14)."""
FURTHEST_AHEAD = timedelta(days=366)


class ScheduleKind(StrEnum):
    AT = "at"  # one moment for all
    LOCAL = "local"  # the same wall time for each recipient, in their own zone


@dataclass(frozen=True)
class Schedule:
    """`due_at` is when the clock enqueues the campaign. One of `scheduled_at` (AT) and `local_at` (LOCAL) is set."""

    kind: ScheduleKind
    due_at: datetime
    scheduled_at: datetime | None = None
    local_at: datetime | None = None


def at_moment(moment: datetime, shop_zone: str, now: datetime) -> Schedule:
    """One moment for all. A naive `moment` is a wall time of the shop. Raises `InvalidSchedule`."""
    _check_range(moment, now)
    scheduled_at = moment.astimezone(UTC) if moment.tzinfo else moment_on(moment, shop_zone)
    if scheduled_at <= now:
        raise InvalidSchedule(noted("This time has passed."), "schedule_in_past")
    return Schedule(ScheduleKind.AT, due_at=scheduled_at, scheduled_at=scheduled_at)


def at_local_time(wall: datetime, shop_zone: str, now: datetime) -> Schedule:
    """The wall time in each recipient's own zone. Raises `InvalidSchedule`.

    It must be to come in the shop's zone. Where it has passed further east, people get the text at once (or in their
    morning, by quiet hours). Due when the wall time comes first anywhere, so that nobody's is missed.
    """
    if wall.tzinfo is not None:
        raise InvalidSchedule(noted("A local time has no zone or offset."), "invalid_schedule")
    _check_range(wall, now)
    if moment_on(wall, shop_zone) <= now:
        raise InvalidSchedule(noted("This time has passed where the shop is."), "schedule_in_past")
    due_at = max(now, wall.replace(tzinfo=UTC) - FIRST_ZONE_AHEAD)
    return Schedule(ScheduleKind.LOCAL, due_at=due_at, local_at=wall)


def moment_on(wall: datetime, zone: str) -> datetime:
    """A naive wall time on the clocks of `zone`, in UTC.

    A time that clocks skip in spring is read as the moment that much after the gap's beginning (02:30 of a gap
    02:00–03:00 becomes 03:30); one that comes twice in autumn is the first of both.
    """
    return wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


def _check_range(moment: datetime, now: datetime) -> None:
    """Refuse what lies a year ahead, before any sum with zones could leave the calendar."""
    if moment.replace(tzinfo=UTC) > now + FURTHEST_AHEAD:
        raise InvalidSchedule(noted("A campaign can be planned a year ahead at most."), "schedule_too_far")
    if moment.replace(tzinfo=UTC) < now - FURTHEST_AHEAD:
        raise InvalidSchedule(noted("This time has passed."), "schedule_in_past")
