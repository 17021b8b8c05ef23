"""Why something can't be done to a campaign."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from blossom.platform.errors import BlossomError
from blossom.platform.languages import joined, noted

_STATES = {
    "draft": noted("draft"),
    "scheduled": noted("scheduled"),
    "sending": noted("sending"),
    "paused": noted("paused"),
    "completed": noted("completed"),
    "failed": noted("failed"),
    "cancelled": noted("cancelled"),
}
_DONE = {
    "changed": noted("changed"),
    "deleted": noted("deleted"),
    "scheduled": noted("scheduled"),
    "taken off its schedule": noted("taken off its schedule"),
    "sent": noted("sent"),
    "paused": noted("paused"),
    "resumed": noted("resumed"),
    "cancelled": noted("cancelled"),
    "retried": noted("retried"),
    "given a winner": noted("given a winner"),
}
"""The words of `rules.states`, for translation."""


class InvalidStatus(BlossomError):
    """The campaign is in a state from which this can't be done. `done` completes "can't be …"."""

    def __init__(self, done: str, status: str, allowed: Iterable[str]) -> None:
        super().__init__(
            noted(
                "A campaign that is %(status)s can't be %(done)s.",
                status=_STATES.get(status, status),
                done=_DONE.get(done, done),
            ),
            code="invalid_status",
            status=409,
            details={"status": status, "allowed": sorted(allowed)},
            actionable=noted("Reload the campaign to see how it stands now."),
        )


class CannotSend(BlossomError):
    """The campaign is not fit to be sent; nothing was changed. `reasons`: each with code, message and actionable."""

    def __init__(self, reasons: list[dict[str, Any]]) -> None:
        super().__init__(
            joined(noted("This campaign can't be sent yet:"), *(reason["message"] for reason in reasons)),
            code="cannot_send",
            status=422,
            details={"reasons": reasons},
            actionable=joined(*(reason["actionable"] for reason in reasons if reason.get("actionable"))) or None,
        )


class InvalidSchedule(BlossomError):
    """A time at which nothing can be planned."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(
            message, code=code, status=422, actionable=noted("Choose a time from now on, within a year, in ISO 8601.")
        )


class NothingSent(BlossomError):
    """The campaign has no messages yet, so there is nothing to retry or to ask about."""

    def __init__(self) -> None:
        super().__init__(
            noted("Nothing of this campaign has been sent."),
            code="nothing_sent",
            status=409,
            actionable=noted("Send the campaign first."),
        )


class ChangedMeanwhile(BlossomError):
    """The campaign was changed since the caller read it."""

    def __init__(self, version: int) -> None:
        super().__init__(
            noted("Somebody changed this campaign meanwhile."),
            code="changed_meanwhile",
            status=409,
            details={"version": version},
            actionable=noted("Reload it, and make your change again."),
        )


class TooManyQuestions(BlossomError):
    """The provider can't be asked now: the account's rate is used up, by texts or by other questions."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            noted("The provider is being asked, or sent to, as fast as it allows."),
            code="too_many_questions",
            status=429,
            details={"retry_after_seconds": retry_after_seconds},
            actionable=noted("Wait as long as Retry-After says. Receipts come by themselves meanwhile."),
        )


class TooManyTests(BlossomError):
    """The shop's test texts of a day are used up. `left`: how many numbers could still be texted now."""

    def __init__(self, most: int, left: int, retry_after_seconds: int) -> None:
        super().__init__(
            noted("Test texts go to %(most)s numbers a day; still free: %(left)s.", most=most, left=left),
            code="too_many_tests",
            status=429,
            details={"most_a_day": most, "left": left, "retry_after_seconds": retry_after_seconds},
            actionable=noted("Try it on fewer numbers, or again when Retry-After says."),
        )


class NothingToSendAgain(BlossomError):
    """What a page says where messaging's `NothingToRetry` speaks of calls of the API. `being_asked_about`: Mitto is
    being asked whether they had the text."""

    def __init__(self, *, being_asked_about: bool) -> None:
        super().__init__(
            noted("There is nothing to send again."),
            code="nothing_to_retry",
            status=409,
            actionable=(
                noted("Mitto is being asked whether they had the text: try again in a minute, or choose not to wait.")
                if being_asked_about
                else noted("Whoever got it, or has opted out, is never texted again.")
            ),
        )


class BeingCounted(BlossomError):
    """The campaign's figures are being counted for the first time."""

    def __init__(self) -> None:
        super().__init__(
            noted("The figures of this campaign are being counted."),
            code="being_counted",
            status=409,
            actionable=noted("Try again in a few seconds."),
        )
