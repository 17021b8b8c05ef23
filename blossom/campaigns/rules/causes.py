"""Why texts failed or were not sent, in a merchant's words, and what to do about each. Pure.

The codes are messaging's: of the provider's closed table (`mitto.errors.FAULTS`), of receipts, and of dispatches that
could not be sent as such. What a network says in a word of its own stands beside ours, for support.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blossom.messaging.rules import retrying
from blossom.messaging.rules.states import SkipReason
from blossom.platform.languages import SOURCE, joined, noted


@dataclass(frozen=True)
class Words:
    """What happened, and what to do about it; both for `t`."""

    happened: str
    advice: str


_BY_ITSELF = noted("Nothing: send them again, and they will most likely arrive.")
_OPERATOR = noted("Tell whoever runs Blossom for you, then send them again.")

_CAUSES: dict[str, Words] = {
    "expired": Words(
        noted("The phone was off or out of reach for too long."),
        noted("Send them again: tomorrow it may be on."),
    ),
    "not_delivered": Words(
        noted("The network could not deliver it."),
        noted("If it happens again, the number is most likely no longer in use."),
    ),
    "invalid_number": Words(
        noted("Mitto can't text this phone number."),
        noted("Correct the number in the contact, then send it again by choosing it."),
    ),
    "blocked_content": Words(
        noted("Mitto blocked the wording of this text."),
        noted("Change the wording, and send a new campaign to these people."),
    ),
    "sender_refused": Words(
        noted("Mitto doesn't allow your sender name."),
        noted("Choose another sender name in the settings, then send them again by choosing them."),
    ),
    "message_refused": Words(
        noted("Mitto refused this text without saying why."),
        noted("Check the number and the wording."),
    ),
    "batch_refused": Words(noted("Mitto refused these texts together."), noted("Check the wording.")),
    "batch_too_large": Words(noted("Mitto refused these texts together."), noted("Check the wording.")),
    "insufficient_credit": Words(
        noted("Your credits ran out."),
        noted("Top up your credits, then send them again."),
    ),
    "payment_required": Words(noted("The account at Mitto has no credit left."), _OPERATOR),
    "unauthorized": Words(noted("Mitto did not accept the account's key."), _OPERATOR),
    "forbidden": Words(noted("The account at Mitto may not send."), _OPERATOR),
    "wrong_address": Words(noted("Mitto was asked at a wrong address."), _OPERATOR),
    "not_found": Words(noted("Mitto does not know the account."), _OPERATOR),
    "could_not_connect": Words(noted("Mitto could not be reached."), _BY_ITSELF),
    "rate_limited": Words(noted("Mitto asked us to send more slowly."), _BY_ITSELF),
    "provider_busy": Words(noted("Mitto was out of service."), _BY_ITSELF),
    "unsendable": Words(
        noted("Something in this campaign could not be read any more."),
        noted("Look at its audience and text, and send a new campaign."),
    ),
}
_ANY = _CAUSES["not_delivered"]
_BY_STATUS = {"expired": _CAUSES["expired"]}


def words(error: str | None, delivery_status: str | None) -> Words:
    """What a cause is called. One that nobody has heard of is a network's: it did not deliver."""
    return _CAUSES.get(error or "") or _BY_STATUS.get((delivery_status or "").lower(), _ANY)


_FROM_STATUS = frozenset({"expired", "not_delivered"})
"""Our words for what a receipt said: beside its own word they say the same twice."""


def codes(error: str | None, delivery_status: str | None) -> str:
    """What support asks for: the network's own word, and our code where it says more."""
    own = "" if delivery_status and error in _FROM_STATUS else error
    return " · ".join(filter(None, (delivery_status, own)))


def passes(error: str | None, delivery_status: str | None) -> bool:
    """Whether it may be another one tomorrow, so that *retry failed* sends such texts again."""
    return retrying.failed_for_now(error, delivery_status)


_STOPPED = {
    "cannot_send": noted(
        "When its hour had come, it could not be sent as it was. Duplicate it, and see what is wrong."
    ),
    "insufficient_credit": noted("Credits are missing. Top up, then go on."),
    "nothing_accepted": noted("Mitto accepted none of the texts. See the causes below."),
    "too_many_recipients": noted("The audience is too large for one campaign. Split it by a segment."),
}


def stopped(code: str | None, text: str, locale: str) -> str:
    """Why a campaign failed, or stopped, for `t`. `text` was written down with `code` then, in English and with its
    numbers; to readers of other languages we say the same by its code."""
    if locale == SOURCE or code is None:
        return text
    if code in _STOPPED:
        return _STOPPED[code]
    known = _CAUSES.get(code)
    return joined(known.happened, known.advice) if known else text


SKIPPED: Mapping[str, str] = {
    SkipReason.NOT_OPTED_IN.value: noted("Have not agreed to texts"),
    SkipReason.OPTED_OUT.value: noted("Opted out"),
    SkipReason.CAPPED.value: noted("Have had enough texts lately"),
    SkipReason.NO_PHONE.value: noted("Have no phone number"),
    SkipReason.EXPIRED.value: noted("Could not be reached in time"),
    SkipReason.MISSING_VALUE.value: noted("Lack a value that the text needs"),
    SkipReason.UNREADABLE.value: noted("Have a number that can't be read any more"),
}


def skipped(reason: str | None) -> str:
    """Who gets no text for this reason, for `t`."""
    return SKIPPED.get(reason or "", noted("For another reason"))
