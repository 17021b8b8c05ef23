"""What Shopify's webhooks carry, as JSON documents. Source: facts/shopify.md, “Webhooks”.

Customers come without tags and consent (since 2025-01). Fields of a person that the app is not approved for are null.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from blossom.sandbox.shopify.customers import Customer


def time(at: datetime | None, zone: str) -> str | None:
    """ISO 8601, to the second, by the shop's clock as Shopify writes it: who compares such texts compares no times."""
    return None if at is None else at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")


def customer(person: Customer, currency: str, zone: str, approved: Collection[str]) -> dict[str, Any]:
    """Of `customers/create` and `customers/update`."""
    named, mailed, called = (each in approved for each in ("name", "email", "phone"))
    return {
        "id": person.id,
        "created_at": time(person.created_at, zone),
        "updated_at": time(person.updated_at, zone),
        "first_name": person.first_name if named else None,
        "last_name": person.last_name if named else None,
        "orders_count": person.orders,
        "state": "disabled",
        "total_spent": money(person.amount_spent),
        "last_order_id": None,
        "note": None,
        "verified_email": True,
        "multipass_identifier": None,
        "tax_exempt": False,
        "email": person.email if mailed else None,
        "phone": person.phone if called else None,
        "currency": currency,
        "addresses": [],
        "tax_exemptions": [],
        "admin_graphql_api_id": person.gid,
        "default_address": {"id": person.id, "customer_id": person.id, "country_code": person.country, "default": True}
        if person.country and "address" in approved
        else None,
    }


def consent(person: Customer, zone: str, approved: Collection[str]) -> dict[str, Any]:
    """Of `customers_marketing_consent/update`."""
    return {
        "customer_id": person.id,
        "phone": person.phone if "phone" in approved else None,
        "sms_marketing_consent": {
            "state": person.consent.state.lower(),
            "opt_in_level": person.consent.level.lower(),
            "consent_updated_at": time(person.consent.updated_at, zone),
            "consent_collected_from": person.consent.collected_from,
        },
    }


def deleted(person: Customer) -> dict[str, Any]:
    """Of `customers/delete`."""
    return {
        "id": person.id,
        "phone": None,
        "addresses": [],
        "tax_exemptions": [],
        "email_marketing_consent": None,
        "sms_marketing_consent": None,
        "admin_graphql_api_id": person.gid,
    }


def merged(kept: Customer, gone: Customer) -> dict[str, Any]:
    """Of `customers/merge`."""
    return {
        "admin_graphql_api_customer_kept_id": kept.gid,
        "admin_graphql_api_customer_deleted_id": gone.gid,
        "admin_graphql_api_job_id": None,
        "status": "completed",
        "errors": [],
    }


def compliance(shop_id: int, domain: str, person: Customer | None, orders: list[int], topic: str) -> dict[str, Any]:
    """Of `customers/data_request`, `customers/redact` and `shop/redact` (which names nobody)."""
    document: dict[str, Any] = {"shop_id": shop_id, "shop_domain": domain}
    if person is None:
        return document
    document["customer"] = {"id": person.id, "email": person.email, "phone": person.phone}
    if topic == "customers/data_request":
        return {**document, "orders_requested": orders, "data_request": {"id": person.id + 1}}
    return {**document, "orders_to_redact": orders}


def shop(id: int, domain: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Of `app/uninstalled`."""
    return {"id": id, "domain": domain, "myshopify_domain": domain, **fields}


def money(hundredths: int) -> str:
    """As a decimal: `12.30`."""
    return f"{hundredths // 100}.{hundredths % 100:02}"
