"""What the page on credits shows, put together from ledger, dispatches and campaigns."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from blossom.campaigns import queries as campaigns
from blossom.credits import rules
from blossom.credits.rules import Month
from blossom.messaging import queries as messaging
from blossom.platform import clock
from blossom.platform.errors import NotFound
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.rules import Balance, EntryKind, PriceList, Reservation

HELD_SHOWN = 20
"""Reservations on the page; of a shop few are open at a time."""

LINES_SHOWN = 50
"""Of a month's statement, a page at a time: a busy shop has a line for each of hundreds of campaigns."""


@dataclass(frozen=True)
class Purpose:
    """What credits went to: a campaign, or (`words`) something else."""

    campaign_id: int | None
    words: str


@dataclass(frozen=True)
class Held:
    """Credits that are kept for texts that are still to leave."""

    purpose: Purpose | None
    reservation: Reservation


@dataclass(frozen=True)
class Line:
    """A row of the statement: all of one kind that one purpose moved, or one payment. `at`: the last of it."""

    kind: EntryKind
    purpose: Purpose | None
    amount: int
    at: datetime
    note: str | None


@dataclass(frozen=True)
class Statement:
    """What moved the balance in a month, the latest first, a page of it. `opening` + Σ all lines = `closing`.

    `is_first`: the page begins with the latest; `before`: where the next page begins, None at the month's beginning.
    `later`, `earlier`: the neighbouring months, None where there is nothing to see.
    """

    month: Month
    opening: int
    closing: int
    lines: Sequence[Line]
    is_first: bool
    before: int | None
    earlier: Month | None
    later: Month | None


@dataclass(frozen=True)
class Wallet:
    """All of the page but the calculator's answer. `prices` None: nobody has set any yet."""

    shop: Shop
    balance: Balance
    held: Sequence[Held]
    prices: PriceList | None
    statement: Statement


def wallet_of(shop_id: int, month: Month | None, before: int | None = None) -> Wallet:
    """`month` None: this one; of its statement what stands after the line `before`. Raises `NotFound` for a month that
    is still to come, and without such a shop."""
    shop = shops.get_shop(shop_id)
    now = clock.now()
    this = Month.of(now, shop.timezone)
    asked = month or this
    if asked > this:
        raise NotFound("month")
    return Wallet(
        shop, wallet.balance_if_any(shop_id), _held(shop_id), prices(shop_id), _statement(shop, asked, this, before)
    )


def prices(shop_id: int) -> PriceList | None:
    """What texts cost the shop now; None without a price list."""
    return wallet.price_list_if_any(shop_id, clock.now())


def _held(shop_id: int) -> list[Held]:
    open_ones = wallet.open_reservations(shop_id, HELD_SHOWN)
    owners = messaging.dispatches_holding(shop_id, [each.id for each in open_ones])
    purposes = _purposes(shop_id, owners.values())
    return [Held(purposes.get(owners.get(each.id, 0)), each) for each in open_ones]


def _statement(shop: Shop, month: Month, this: Month, before: int | None) -> Statement:
    begin, end = month.begins_at(shop.timezone), month.next().begins_at(shop.timezone)
    found, in_all = wallet.moved(shop.id, begin, end, before_id=before, limit=LINES_SHOWN + 1)
    moved = found[:LINES_SHOWN]
    purposes = _purposes(shop.id, {each.dispatch_id for each in moved if each.dispatch_id is not None})
    closing = wallet.balance_at(shop.id, end)
    first = wallet.first_entry_at(shop.id)
    return Statement(
        month=month,
        opening=closing - in_all,
        closing=closing,
        lines=[
            Line(each.kind, purposes.get(each.dispatch_id or 0), each.amount, each.last_at, each.note) for each in moved
        ],
        is_first=before is None,
        before=moved[-1].last_id if len(found) > LINES_SHOWN else None,
        earlier=month.before() if first is not None and first < begin else None,
        later=month.next() if month < this else None,
    )


def _purposes(shop_id: int, dispatch_ids: Collection[int]) -> Mapping[int, Purpose]:
    """By dispatch. One that is gone, or whose campaign is, is missing."""
    named = campaigns.of_dispatches(shop_id, dispatch_ids)
    found = {dispatch_id: Purpose(campaign.id, campaign.name) for dispatch_id, campaign in named.items()}
    kinds = messaging.kinds_of(shop_id, [each for each in dispatch_ids if each not in found])
    return found | {
        dispatch_id: Purpose(None, rules.PURPOSES[kind])
        for dispatch_id, kind in kinds.items()
        if kind in rules.PURPOSES
    }
