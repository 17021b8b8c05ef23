"""Why something can't be done to a campaign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from blossom.platform.errors import BlossomError


class InvalidStatus(BlossomError):
    """The campaign is in a state from which this can't be done. `done` completes "can't be …"."""

    def __init__(self, done: str, status: str, allowed: Iterable[str]) -> None:
        super().__init__(
            f"A campaign that is {status} can't be {done}.",
            code="invalid_status",
            status=409,
            details={"status": status, "allowed": sorted(allowed)},
            actionable="Reload the campaign to see how it stands now.",
        )


class CannotSend(BlossomError):
    """The campaign is not fit to be sent; nothing was changed. `reasons`: each with code, message and actionable."""

    def __init__(self, reasons: list[dict[str, Any]]) -> None:
        super().__init__(
            "This campaign can't be sent yet: " + " ".join(str(reason["message"]) for reason in reasons),
            code="cannot_send",
            status=422,
            details={"reasons": reasons},
            actionable=" ".join(str(reason["actionable"]) for reason in reasons if reason.get("actionable")) or None,
        )


class InvalidSchedule(BlossomError):
    """A time at which nothing can be planned."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(
            message, code=code, status=422, actionable="Choose a time from now on, within a year, in ISO 8601."
        )


class NothingSent(BlossomError):
    """The campaign has no messages yet, so there is nothing to retry or to ask about."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing of this campaign has been sent.",
            code="nothing_sent",
            status=409,
            actionable="Send the campaign first.",
        )


class ChangedMeanwhile(BlossomError):
    """The campaign was changed since the caller read it."""

    def __init__(self, version: int) -> None:
        super().__init__(
            "Somebody changed this campaign meanwhile.",
            code="changed_meanwhile",
            status=409,
            details={"version": version},
            actionable="Reload it, and make your change again.",
        )


class TooManyQuestions(BlossomError):
    """The provider can't be asked now: the account's rate is used up, by texts or by other questions."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            "The provider is being asked, or sent to, as fast as it allows.",
            code="too_many_questions",
            status=429,
            details={"retry_after_seconds": retry_after_seconds},
            actionable="Wait as long as Retry-After says. Receipts come by themselves meanwhile.",
        )


class TooManyTests(BlossomError):
    """The shop's test texts of a day are used up. `left`: how many numbers could still be texted now."""

    def __init__(self, most: int, left: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"Test texts go to {most} numbers a day; {left} are left.",
            code="too_many_tests",
            status=429,
            details={"most_a_day": most, "left": left, "retry_after_seconds": retry_after_seconds},
            actionable="Try it on fewer numbers, or again when Retry-After says.",
        )


class BeingCounted(BlossomError):
    """The campaign's figures are being counted for the first time."""

    def __init__(self) -> None:
        super().__init__(
            "The figures of this campaign are being counted.",
            code="being_counted",
            status=409,
            actionable="Try again in a few seconds.",
        )
