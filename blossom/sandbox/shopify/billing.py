"""Charges of the app's that a merchant approves or declines. Source: shopify.dev, AppPurchaseOneTime, AppSubscription.

A charge waits for two days. What became of it is told by a webhook and stays so; only a subscription ends later, when
another one takes its place. Nobody is charged anything: a shop of the stand-in has no money. Each function wants the
lock held.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from blossom.sandbox.shopify import payloads

if TYPE_CHECKING:
    from blossom.sandbox.shopify.state import Shop, State

LIFE = timedelta(days=2)
INTERVALS = ("EVERY_30_DAYS", "ANNUAL")
_FIELDS = ("name", "amount", "currency", "return_url", "test", "interval", "trial_days", "capped_amount", "terms")


@dataclass
class Charge:
    """`amount`: hundredths of `currency`. With an `interval` it is a subscription, which may have `trial_days` and
    charge by use up to `capped_amount` an interval, by `terms`; else it is paid once. `key` proves `confirmation_url`.
    """

    id: int
    name: str
    amount: int
    return_url: str
    created_at: datetime
    key: str
    confirmation_url: str
    currency: str = "USD"
    test: bool = False
    interval: str | None = None
    trial_days: int = 0
    capped_amount: int | None = None
    terms: str = ""
    status: str = "PENDING"  # ACTIVE, DECLINED, EXPIRED; a subscription: CANCELLED, too

    @property
    def gid(self) -> str:
        """Its id in GraphQL."""
        return f"gid://shopify/{'AppSubscription' if self.interval else 'AppPurchaseOneTime'}/{self.id}"


def create(state: State, shop: Shop, given: dict[str, Any]) -> Charge:
    """What `appPurchaseOneTimeCreate`, or with an `interval` `appSubscriptionCreate`, does. ValueError for what they
    refuse."""
    if unknown := sorted(set(given) - set(_FIELDS)):
        raise ValueError(f"a charge has no {', '.join(unknown)}")
    if shop.installation is None:
        raise ValueError("the app is not installed in this shop")
    least = 0 if given.get("capped_amount") else 50  # hundredths; what is charged by use alone may begin at nothing
    if not isinstance(given.get("amount"), int) or given["amount"] < least:
        raise ValueError("Price must be greater than or equal to 0.50")
    if not str(given.get("name", "")).strip():
        raise ValueError("Name can't be blank")
    if urlsplit(str(given.get("return_url", ""))).scheme not in ("http", "https"):
        raise ValueError("Return url is not valid")
    if given.get("interval") not in (None, *INTERVALS):
        raise ValueError(f"interval is one of {', '.join(INTERVALS)}, or none")
    of_subscriptions = {"trial_days", "capped_amount", "terms"} & set(given)
    if of_subscriptions and given.get("interval") is None:
        raise ValueError(f"what is paid once has no {', '.join(sorted(of_subscriptions))}")
    if (cap := given.get("capped_amount")) is not None and not (
        isinstance(cap, int) and cap > 0 and given.get("terms")
    ):
        raise ValueError("a capped amount is hundredths, and has terms")
    if not re.fullmatch("[A-Z]{3}", given.get("currency", "USD")):
        raise ValueError("currency is a code of three letters")
    id, key = state.next_id(), secrets.token_hex(16)
    where = f"{state.admin_url}/store/{shop.handle}/charges/{state.app.handle}/{id}/confirm?signature={key}"
    charge = Charge(id=id, key=key, created_at=state.now(), confirmation_url=where, **given)
    shop.charges[id] = charge
    return charge


def as_it_stands(state: State, shop: Shop, charge: Charge) -> Charge:
    """The charge, which has expired if nobody has looked at it for two days."""
    if charge.status == "PENDING" and state.now() - charge.created_at > LIFE:
        _become(state, shop, charge, "EXPIRED")
    return charge


def decide(state: State, shop: Shop, charge: Charge, *, approved: bool) -> None:
    """The merchant's word. A new subscription takes the place of the one before. ValueError if it is decided."""
    if as_it_stands(state, shop, charge).status != "PENDING":
        raise ValueError(f"this charge is {charge.status.lower()} already")
    if approved and charge.interval:
        for other in shop.charges.values():
            if other.interval and other.status == "ACTIVE":
                _become(state, shop, other, "CANCELLED")
    _become(state, shop, charge, "ACTIVE" if approved else "DECLINED")


def _become(state: State, shop: Shop, charge: Charge, status: str) -> None:
    charge.status = status
    kind = "app_subscription" if charge.interval else "app_purchase_one_time"
    topic = "app_subscriptions/update" if charge.interval else "app_purchases_one_time/update"
    document = {
        "admin_graphql_api_id": charge.gid,
        "name": charge.name,
        "status": status,
        "admin_graphql_api_shop_id": f"gid://shopify/Shop/{shop.id}",
        "created_at": payloads.time(charge.created_at, shop.timezone),
        "updated_at": payloads.time(state.now(), shop.timezone),
    }
    if charge.interval:
        document["currency"] = charge.currency
        document["capped_amount"] = None if charge.capped_amount is None else payloads.money(charge.capped_amount)
    state.deliveries.emit(shop, topic, {kind: document})
