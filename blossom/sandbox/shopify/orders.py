"""What shoppers buy: checkouts, orders, fulfillments and refunds, as the documents that their webhooks carry.

Each function wants the lock held. Amounts given are hundredths of the shop's currency; documents have decimals.
Since 2026-04 a checkout has no `id` and an order no `checkout_id`: tokens connect them (facts/shopify.md, “Webhooks”).
"""

from __future__ import annotations

import secrets
from typing import Any

from blossom.sandbox.shopify import payloads, people
from blossom.sandbox.shopify.customers import Customer
from blossom.sandbox.shopify.state import Shop, State

Document = dict[str, Any]

_FIRST_NUMBER = 1001
_FIELDS = ("email", "phone", "first_name", "last_name", "locale", "country", "items", "codes", "landing_site", "sms")


def begin_checkout(state: State, shop: Shop, given: Document, token: str | None = None) -> Document:
    """A checkout of `given`: `email`, `phone`, names, `locale`, `country` of the shopper; `items` of `title`, `price`,
    `quantity`; `codes` of `code`, `amount`; `landing_site` (a path, with its UTM parameters); `sms`, the shopper's yes
    to marketing. With the `token` of one it is changed. ValueError for what can't be read."""
    unknown = sorted(set(given) - set(_FIELDS))
    if unknown:
        raise ValueError(f"a checkout has no {', '.join(unknown)}")
    now = payloads.time(state.now(), shop.timezone)
    before = shop.checkouts.get(token or "")
    if token is not None and (before is None or before["completed_at"] is not None):
        raise ValueError(f"{shop.domain} has no open checkout {token}")
    token = token or secrets.token_hex(16)
    items = [_item(state, each) for each in given.get("items", [])]
    subtotal = sum(each["price"] * each.get("quantity", 1) for each in given.get("items", []))
    off = min(subtotal, sum(each["amount"] for each in given.get("codes", [])))
    document = {
        "token": token,
        "cart_token": before["cart_token"] if before else secrets.token_hex(16),
        "email": given.get("email"),
        "phone": given.get("phone"),
        "created_at": before["created_at"] if before else now,
        "updated_at": now,
        "completed_at": None,
        "currency": shop.currency,
        "customer_locale": given.get("locale", shop.locale),
        "landing_site": given.get("landing_site", "/"),
        "line_items": items,
        "subtotal_price": payloads.money(subtotal - off),
        "total_discounts": payloads.money(off),
        "total_price": payloads.money(subtotal - off),
        "discount_codes": [
            {"code": each["code"], "amount": payloads.money(each["amount"]), "type": "fixed_amount"}
            for each in given.get("codes", [])
        ],
        "buyer_accepts_sms_marketing": bool(given.get("sms")),
        "sms_marketing_phone": given.get("phone") if given.get("sms") else None,
        "shipping_address": {
            "first_name": given.get("first_name"),
            "last_name": given.get("last_name"),
            "phone": given.get("phone"),
            "country_code": given.get("country", shop.country),
        },
        "abandoned_checkout_url": f"{state.storefront_url(shop)}/checkouts/{token}/recover",
        "source_name": "web",
    }
    shop.checkouts[token] = document
    _tell(state, shop, "checkouts/update" if before else "checkouts/create", document)
    return document


def place(state: State, shop: Shop, token: str, *, paid: bool = True) -> Document:
    """Make an order of a checkout. The shopper becomes a customer, or is known by phone or e-mail."""
    checkout = shop.checkouts.get(token)
    if checkout is None or checkout["completed_at"] is not None:
        raise ValueError(f"{shop.domain} has no open checkout {token}")
    now = payloads.time(state.now(), shop.timezone)
    person = _shopper(state, shop, checkout)
    number = _FIRST_NUMBER + len(shop.orders)
    id = state.next_id()
    copied = ("email", "phone", "currency", "customer_locale", "landing_site", "line_items", "discount_codes")
    order = {
        "id": id,
        "admin_graphql_api_id": f"gid://shopify/Order/{id}",
        "name": f"#{number}",
        "order_number": number,
        "checkout_token": token,
        "cart_token": checkout["cart_token"],
        **{name: checkout[name] for name in copied},
        "subtotal_price": checkout["subtotal_price"],
        "total_discounts": checkout["total_discounts"],
        "total_price": checkout["total_price"],
        "shipping_address": checkout["shipping_address"],
        "customer": _about(person),
        "created_at": now,
        "processed_at": now,
        "updated_at": now,
        "cancelled_at": None,
        "cancel_reason": None,
        "financial_status": "pending",
        "fulfillment_status": None,
        "fulfillments": [],
        "refunds": [],
        "referring_site": None,
        "source_name": "web",
        "test": shop.development,
    }
    shop.orders[id] = order
    checkout["completed_at"] = checkout["updated_at"] = now
    if person is not None:
        person.orders += 1
        person.amount_spent += hundredths(order["total_price"])
        person.updated_at = state.now()
    _tell(state, shop, "checkouts/update", checkout)
    _tell(state, shop, "orders/create", order)
    if paid:
        pay(state, shop, order)
    return order


def pay(state: State, shop: Shop, order: Document) -> Document:
    """The money has come. ValueError if it had before, or nobody waits for it any more."""
    if order["financial_status"] != "pending":
        raise ValueError(f"{order['name']} is {order['financial_status']}")
    _change(state, shop, order, financial_status="paid")
    _tell(state, shop, "orders/paid", order)
    return order


def fulfil(state: State, shop: Shop, order: Document, given: Document) -> Document:
    """Send all of it; `given` may have `tracking_number`, `tracking_url`, `tracking_company`. The fulfillment.

    ValueError if it was sent before, or is cancelled."""
    _require_open(order)
    now = payloads.time(state.now(), shop.timezone)
    number, url = given.get("tracking_number"), given.get("tracking_url")
    fulfillment = {
        "id": state.next_id(),
        "order_id": order["id"],
        "name": f"{order['name']}.1",
        "status": "success",
        "shipment_status": None,
        "created_at": now,
        "updated_at": now,
        "email": order["email"],
        "tracking_company": given.get("tracking_company"),
        "tracking_number": number,
        "tracking_numbers": [number] if number else [],
        "tracking_url": url,
        "tracking_urls": [url] if url else [],
        "line_items": order["line_items"],
    }
    _change(state, shop, order, fulfillment_status="fulfilled", fulfillments=[fulfillment])
    _tell(state, shop, "fulfillments/create", fulfillment)
    _tell(state, shop, "orders/fulfilled", order)
    return fulfillment


def ship(state: State, shop: Shop, order: Document, shipment_status: str) -> Document:
    """Its parcel is somewhere else (`in_transit`, `out_for_delivery`, `delivered`, …). The fulfillment."""
    if not order["fulfillments"]:
        raise ValueError(f"{order['name']} has not been sent")
    fulfillment: Document = order["fulfillments"][0]
    _change(state, shop, fulfillment, shipment_status=shipment_status)
    _tell(state, shop, "fulfillments/update", fulfillment)
    return fulfillment


def cancel(state: State, shop: Shop, order: Document) -> Document:
    """It is not wanted any more. What was paid stays paid until it is refunded. ValueError once it was sent."""
    _require_open(order)
    status = "voided" if order["financial_status"] == "pending" else order["financial_status"]
    now = payloads.time(state.now(), shop.timezone)
    _change(state, shop, order, cancelled_at=now, cancel_reason="customer", financial_status=status)
    _tell(state, shop, "orders/cancelled", order)
    return order


def refund(state: State, shop: Shop, order: Document, amount: int) -> Document:
    """Money goes back. The refund. ValueError for more than is left of what was paid."""
    paid = 0 if order["financial_status"] in ("pending", "voided") else hundredths(order["total_price"])
    left = paid - sum(hundredths(money["amount"]) for each in order["refunds"] for money in each["transactions"])
    if not 0 < amount <= left:
        raise ValueError(f"a refund is of something, and of no more than is left: {payloads.money(left)}")
    document = {
        "id": state.next_id(),
        "order_id": order["id"],
        "created_at": payloads.time(state.now(), shop.timezone),
        "note": None,
        "refund_line_items": [],
        "transactions": [
            {
                "id": state.next_id(),
                "order_id": order["id"],
                "kind": "refund",
                "status": "success",
                "amount": payloads.money(amount),
                "currency": order["currency"],
            }
        ],
    }
    order["refunds"].append(document)
    _change(state, shop, order, financial_status="refunded" if amount == left else "partially_refunded")
    _tell(state, shop, "refunds/create", document)
    return document


def hundredths(money: str) -> int:
    """Of a decimal as documents have it."""
    whole, _, part = money.partition(".")
    return int(whole) * 100 + int(part)


def _item(state: State, given: Document) -> Document:
    return {
        "id": state.next_id(),
        "product_id": given.get("product_id"),
        "variant_id": given.get("variant_id"),
        "title": given["title"],
        "quantity": given.get("quantity", 1),
        "price": payloads.money(given["price"]),
    }


def _shopper(state: State, shop: Shop, checkout: Document) -> Customer | None:
    """The customer that this checkout makes or names; None for one who left neither phone nor e-mail."""
    address = checkout["shipping_address"]
    for name in ("phone", "email"):
        person = shop.reached_by(name, checkout[name]) if checkout[name] else None
        if person is not None:
            if checkout["phone"] and person.phone is None:  # known by the e-mail; nobody else has the number
                people.update(state, shop, person, {"phone": checkout["phone"]})
            if checkout["buyer_accepts_sms_marketing"] and checkout["phone"] and person.phone == checkout["phone"]:
                people.set_consent(state, shop, person, {"state": "SUBSCRIBED", "collected_from": "SHOPIFY"})
            return person
    if not checkout["phone"] and not checkout["email"]:
        return None
    given: Document = {
        "first_name": address["first_name"],
        "last_name": address["last_name"],
        "email": checkout["email"],
        "phone": checkout["phone"],
        "locale": checkout["customer_locale"],
        "country": address["country_code"],
    }
    if checkout["buyer_accepts_sms_marketing"] and checkout["phone"]:
        given["consent"] = {"state": "SUBSCRIBED", "collected_from": "SHOPIFY"}
    return people.create(state, shop, given)


def _about(person: Customer | None) -> Document | None:
    if person is None:
        return None
    return {
        "id": person.id,
        "email": person.email,
        "phone": person.phone,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "admin_graphql_api_id": person.gid,
    }


def _require_open(order: Document) -> None:
    if order["cancelled_at"] is not None or order["fulfillments"]:
        raise ValueError(f"{order['name']} is {'sent' if order['fulfillments'] else 'cancelled'} already")


def _change(state: State, shop: Shop, document: Document, **fields: Any) -> None:
    document.update(fields, updated_at=payloads.time(state.now(), shop.timezone))


def _tell(state: State, shop: Shop, topic: str, document: Document) -> None:
    state.deliveries.emit(shop, topic, _seen(document, frozenset(state.app.protected_data)))


def _seen(document: Document, approved: frozenset[str]) -> Document:
    """The document with null for what the app isn't approved for, at any depth."""
    hidden = {
        name
        for kind, names in {
            "name": ("first_name", "last_name"),
            "email": ("email",),
            "phone": ("phone", "sms_marketing_phone"),
            "address": ("shipping_address",),
        }.items()
        if kind not in approved
        for name in names
    }

    def seen(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: None if name in hidden else seen(each) for name, each in value.items()}
        return [seen(each) for each in value] if isinstance(value, list) else value

    redacted: Document = seen(document)
    return redacted
