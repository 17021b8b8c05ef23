"""What a merchant should look at first: the worst of it on top, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blossom.platform.languages import noted

FAILED_SHARE = 0.05
"""From this share of a campaign's texts on, failures are worth a look: some numbers are always dead."""

DAYS_OF_CREDIT = 7
"""Credit is low when it would not last so long at the pace of the last 30 days."""

MANY = 100
"""Unread texts are counted up to here (`replies.queries.COUNTED`)."""


@dataclass(frozen=True)
class Troubled:
    """A campaign that something is the matter with. `number`: of texts; `tried`: how many there were."""

    campaign_id: int
    name: str
    number: int = 0
    tried: int = 0
    why: str = ""


@dataclass(frozen=True)
class Facts:
    """All that `alerts` looks at. `spent`: credits of the last 30 days. `refused_sender`: the shop's sender, if Mitto
    refused it lately; None: it did not. `unread`: texts from people that nobody has read; `MANY` stands for more."""

    failed: Sequence[Troubled]
    out_of_credit: Sequence[Troubled]
    with_failures: Sequence[Troubled]
    unconfirmed: Sequence[Troubled]
    refused_sender: str | None
    credits: int
    spent: int
    has_sent: bool
    unread: int = 0


@dataclass(frozen=True)
class Alert:
    """`words` and `label` are for `t`. `address`: where something can be done about it."""

    kind: str
    words: str
    why: str
    label: str
    address: str
    is_bad: bool = True


def alerts(facts: Facts) -> list[Alert]:
    """What needs attention, the worst first."""
    found = [_of(each, "failed", noted("“%(name)s” could not be sent.", name=each.name)) for each in facts.failed]
    found += [
        _of(each, "out_of_credit", noted("“%(name)s” has stopped: credits are missing.", name=each.name), "/wallet")
        for each in facts.out_of_credit
    ]
    if facts.refused_sender is not None:
        words = noted("Mitto doesn't allow your sender name “%(sender)s”.", sender=facts.refused_sender)
        why = noted("Texts under this name fail. Choose another one, or ask Mitto to register it.")
        found.append(Alert("sender", words, why, noted("Change the sender"), "/settings"))
    for each in facts.unconfirmed:
        words = noted("Texts of “%(name)s” whose outcome nobody knows: %(number)s.", number=each.number, name=each.name)
        why = noted("Mitto's answer was lost. They are not sent again by themselves: some may have arrived.")
        found.append(_of(each, "unconfirmed", words, why=why, is_bad=False))
    for each in facts.with_failures:
        if each.tried and each.number >= FAILED_SHARE * each.tried:
            words = noted(
                "%(number)s of %(tried)s texts of “%(name)s” failed.",
                number=each.number,
                tried=each.tried,
                name=each.name,
            )
            found.append(_of(each, "failures", words, why=noted("See why, and send again what can be."), is_bad=False))
    if facts.unread:
        found.append(_unread(facts.unread))
    if low := _credit(facts):
        found.append(low)
    return found


def _of(
    campaign: Troubled, kind: str, words: str, address: str | None = None, *, why: str = "", is_bad: bool = True
) -> Alert:
    label = noted("Top up") if address else noted("Have a look")
    return Alert(kind, words, why or campaign.why, label, address or f"/campaigns/{campaign.campaign_id}", is_bad)


def _unread(number: int) -> Alert:
    words = noted("Unread replies: %(number)s.", number=number)
    if number >= MANY:
        words = noted("Unread replies: %(number)s or more.", number=MANY)
    why = noted("Customers answered your texts with more than STOP.")
    return Alert("replies", words, why, noted("Read them"), "/replies?show=unread", is_bad=False)


def _credit(facts: Facts) -> Alert | None:
    if not facts.has_sent:
        return None  # the first steps speak of it
    if facts.credits <= 0:
        words = noted("You have no credits left.")
        why = noted("Nothing can be sent until you top up.")
        return Alert("no_credit", words, why, noted("Top up"), "/wallet")
    if facts.credits < facts.spent * DAYS_OF_CREDIT / 30:
        words = noted("Your credits run low: %(credits)s are left.", credits=facts.credits)
        why = noted("At your pace of the last 30 days they last less than a week.")
        return Alert("low_credit", words, why, noted("Top up"), "/wallet", is_bad=False)
    return None
