"""One message's history, from the fixing of the audience to its last receipt, in the reader's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from blossom.campaigns.rules import causes
from blossom.messaging.queries import Call, History, Try, Word
from blossom.messaging.rules.states import MessageState
from blossom.platform.languages import noted, t, tn

_ENDED = {
    "recorded": noted("Mitto answered"),
    "returned": noted("Mitto could not take it for the moment; it is tried again by itself"),
    "refused": noted("Mitto refused the texts together; they were tried in smaller groups"),
    "unknown": noted("Mitto's answer was lost: nobody knows whether it was sent"),
    "lost": noted("Our worker stopped in the middle of it: nobody knows whether it was sent"),
    "given_back": noted("It was put back: paused, stopped, or not its turn yet"),
}
"""How a call ended, by the attempt's state."""


@dataclass(frozen=True)
class Happening:
    """`at` None: nobody noted when; `clock`: the same as its time of day, to the second. `heading` and `details` are in
    the reader's language; `code`: for support."""

    at: datetime | None
    heading: str
    details: Sequence[str] = ()
    code: str = ""
    clock: str = ""


def tell(history: History, clicks: Sequence[tuple[datetime, int, str]], zone: str) -> list[Happening]:
    """All that happened, in order, on the clocks of `zone`; what has no time comes last. `clicks`: as
    `links.queries.opened_by`."""
    message = history.message
    told = [Happening(history.queued_at, t("Queued"), [t("The audience was fixed.")])]
    if message.due_at > history.queued_at and message.retry_count == 0:
        told.append(Happening(message.due_at, t("Its turn"), [t("Planned, or the end of this person's quiet hours.")]))
    told += [each for call in history.calls for each in _of_call(call)]
    told += [each for earlier in history.tries for each in _of_try(earlier)]
    told += [_of_word(word) for word in history.words]
    told += [
        Happening(at, t("Opened a link"), [address, tn("%(num)s time in all", "%(num)s times in all", times)])
        for at, times, address in clicks
    ]
    told += _of_end(history)
    in_order = sorted(told, key=lambda each: (each.at is None, each.at or history.queued_at))
    return [replace(each, clock=_clock(each.at, zone)) if each.at else each for each in in_order]


def _clock(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%H:%M:%S}"


def _of_call(call: Call) -> Iterator[Happening]:
    yield Happening(call.claimed_at, t("Picked up for sending"), [t("It goes out in a batch with others.")])
    if call.called_at is not None:
        yield Happening(call.called_at, t("Handed to Mitto"))
    if call.ended_at is not None and (call.called_at is not None or call.state == "given_back"):
        yield Happening(call.ended_at, t(_ENDED.get(call.state, noted("It ended"))), code=call.code or "")


def _of_try(earlier: Try) -> Iterator[Happening]:
    if earlier.state == MessageState.FAILED:
        words = causes.words(earlier.error, earlier.delivery_status)
        yield Happening(earlier.failed_at or earlier.again_at, t("Failed"), [t(words.happened)], _codes(earlier))
    yield Happening(earlier.again_at, t("Sent again by your staff"))


def _of_word(word: Word) -> Happening:
    at = word.occurred_at or word.received_at
    return Happening(at, t("Receipt: %(status)s", status=word.status), code=word.error_code or "")


def _of_end(history: History) -> Iterator[Happening]:
    """What the message's row says beyond calls and receipts."""
    message = history.message
    last = max((call.ended_at for call in history.calls if call.ended_at), default=None)
    if message.state is MessageState.SKIPPED:
        yield Happening(last, t("Skipped"), [t(causes.skipped(message.reason))])
    elif message.state is MessageState.CANCELLED:
        yield Happening(None, t("Cancelled"), [t("It never left.")])
    elif message.state is MessageState.UNCONFIRMED:
        yield Happening(last, t("Unconfirmed"), [t("It is not sent again by itself.")])
    elif message.state is MessageState.DELIVERED:
        yield Happening(message.delivered_at, t("Delivered"), [t("The phone has it.")])
    elif message.state is MessageState.FAILED:
        words = causes.words(message.error, message.delivery_status)
        details = [t(words.happened), t(words.advice)]
        yield Happening(message.failed_at, t("Failed"), details, _codes(message))


def _codes(ended: object) -> str:
    return causes.codes(getattr(ended, "error", None), getattr(ended, "delivery_status", None))
