"""When a draft is meant to go out, as its merchant typed it. Nothing is planned by it until they confirm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from blossom.campaigns.errors import InvalidSchedule
from blossom.campaigns.rules.schedule import Schedule, ScheduleKind, at_local_time, at_moment
from blossom.platform.languages import noted

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = re.compile(r"\d{2}:\d{2}(:\d{2})?")
LONGEST_TYPED = 20


class When(StrEnum):
    NOW = "now"  # as soon as it is confirmed
    AT = "at"  # one moment for all, on the shop's clocks
    LOCAL = "local"  # the same wall time for each recipient


@dataclass(frozen=True)
class Plan:
    """`day` and `time` as they were typed (`2026-11-28`, `10:00`): they may be unfinished, or have passed."""

    when: When = When.NOW
    day: str = ""
    time: str = ""

    @classmethod
    def from_json(cls, stored: dict[str, Any] | None) -> Plan:
        return cls(When(stored["when"]), stored["day"], stored["time"]) if stored else cls()

    def to_json(self) -> dict[str, Any]:
        return {"when": self.when.value, "day": self.day, "time": self.time}

    @classmethod
    def of_schedule(cls, schedule: Schedule, shop_zone: str) -> Plan:
        """As somebody would have typed it."""
        if schedule.kind is ScheduleKind.LOCAL:
            wall = schedule.local_at
        else:
            wall = schedule.scheduled_at and schedule.scheduled_at.astimezone(ZoneInfo(shop_zone))
        assert wall is not None, "one of the two is set"
        return cls(When(schedule.kind.value), f"{wall:%Y-%m-%d}", f"{wall:%H:%M}")

    def wall(self) -> datetime | None:
        """The time on somebody's clocks; None while it is unfinished."""
        if not _DAY.fullmatch(self.day) or not _TIME.fullmatch(self.time):
            return None
        try:
            return datetime.combine(date.fromisoformat(self.day), time.fromisoformat(self.time[:5]))
        except ValueError:  # the 31st of a month that has none
            return None

    def schedule(self, shop_zone: str, now: datetime) -> Schedule | None:
        """What to plan the campaign for; None: at once. Raises `InvalidSchedule`."""
        if self.when is When.NOW:
            return None
        wall = self.wall()
        if wall is None:
            raise InvalidSchedule(noted("Choose a day and a time."), "invalid_schedule")
        return (at_local_time if self.when is When.LOCAL else at_moment)(wall, shop_zone, now)
