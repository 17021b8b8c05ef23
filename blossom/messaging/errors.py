"""What messaging refuses, in words that a merchant can act on."""

from __future__ import annotations

from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted


class InvalidDispatchState(BlossomError):
    """The dispatch is in a state from which this can't be done."""

    def __init__(self, action: str, state: str) -> None:
        super().__init__(
            noted("A dispatch that is %(state)s can't be %(action)s.", state=state, action=action),
            code="invalid_status",
            status=409,
            details={"state": state},
            actionable=noted("Reload to see how it stands now."),
        )


class CallsStillOpen(BlossomError):
    """The dispatch has ended, but some of its texts are with a worker still: they end by themselves, soon."""

    def __init__(self, texts: int) -> None:
        super().__init__(
            noted("It can't be sent again yet: %(texts)s of its texts are being handed over to Mitto.", texts=texts),
            code="invalid_status",
            status=409,
            details={"in_flight": texts},
            actionable=noted("Try again in a minute or two."),
        )


BEING_ASKED_ABOUT = "being_asked_about"
"""Why unconfirmed messages are not sent again: Mitto is being asked whose a receipt is that may be theirs."""


class NothingToRetry(BlossomError):
    """No message of the dispatch may be sent again."""

    def __init__(self, left_out: dict[str, int]) -> None:
        super().__init__(
            noted("There is nothing to send again."),
            code="nothing_to_retry",
            status=409,
            details={"left_out": left_out},
            actionable=(
                noted(
                    "Mitto is being asked whether they had the text: try again in a minute, and send to whom "
                    "is left; or don't wait (`evenAskedAbout`), and some may get it twice."
                )
                if BEING_ASKED_ABOUT in left_out
                else noted(
                    "Delivered and opted-out people are never texted again; choose failed messages by their ids."
                )
            ),
        )


class NothingToChoose(BlossomError):
    """The dispatch tests no such text, or nobody waits for a winner."""

    def __init__(self) -> None:
        super().__init__(
            noted("There is no winner to be chosen: this campaign has no such text, or nobody waits for one."),
            code="nothing_to_choose",
            status=409,
            actionable=noted("Choose one of its texts while people wait for the winner."),
        )


class NotStored(Exception):
    """Receipts could not be stored now, or nobody knows whether they were. Bringing them again is harmless."""
