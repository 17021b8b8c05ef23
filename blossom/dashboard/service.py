"""What a merchant changes on these pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from blossom.audit import service as audit
from blossom.consent import queries as consents
from blossom.consent import rules as consent_rules
from blossom.consent import service as consent_service
from blossom.consent.rules import Settings
from blossom.customers import queries as customers
from blossom.customers import service as customers_service
from blossom.message_templates.rules import language, opt_out
from blossom.message_templates.rules.catalogue import Trigger
from blossom.platform.errors import InvalidInput
from blossom.shops import queries as shops
from blossom.shops import rules as shop_rules
from blossom.shops import service as shops_service
from blossom.shops.models import Shop


def import_again(shop_id: int, *, actor: str) -> None:
    """Ask for another import of Shopify's customers; with one under way, nothing is asked for twice."""
    if not customers.has_open_import(shop_id):
        import_id = customers_service.ask_import(shop_id)
        audit.record(
            shop_id, "customers.import_asked", actor=actor, subject_type="customer_import", subject_id=import_id
        )


def save_settings(shop_id: int, changes: Mapping[str, Any], *, actor: str) -> Shop:
    """Change the shop's settings, all or none, and write down who changed which. Raises as `shops.update_settings`."""
    shop = shops.get_shop(shop_id)
    if fault := _fault_of_line(str(changes.get("opt_out_text", "")), shop.stop_keywords):
        raise InvalidInput({"opt_out_text": fault} | shop_rules.settings_faults(changes))
    changed = sorted(name for name, value in changes.items() if getattr(shop, name) != value)
    shop = shops_service.update_settings(shop_id, **changes)
    if changed:
        audit.record(shop_id, "shops.settings_changed", actor=actor, details={"settings": changed})
    return shop


def _fault_of_line(line: str, stop_keywords: Sequence[str]) -> str | None:
    """What would make each text that the opt-out line is added to one that can't be sent, or tells nobody how to opt
    out."""
    compiled, problems = language.examine(line, Trigger.CAMPAIGN) if line.strip() else (None, [])
    if problems:
        return f"can't be added to a text: {problems[0].message} {problems[0].actionable or ''}".strip()
    if compiled and compiled.unprovided:
        return "must say what stands in for a value that some people lack"
    if line.strip() and not opt_out.names_a_way_out(line, stop_keywords):
        return (
            "must say how to opt out: by a word that does, such as “Reply STOP to opt out”, or by {{ opt_out_link }}; "
            "a word of your own counts once it stands among your opt-out words in the consent settings"
        )
    return None


def save_consent_settings(
    shop_id: int, changes: Mapping[str, Any], stop_keywords: Sequence[str], *, actor: str
) -> Settings:
    """Change how the shop asks for consent, and the words by which people opt out: all or nothing, written down by
    name. Raises `InvalidInput` naming each fault of either."""
    shop, before = shops.get_shop(shop_id), consents.settings(shop_id)
    faults = consent_rules.settings_faults(replace(before, **changes), stop_keywords)
    faults |= shop_rules.settings_faults({"stop_keywords": list(stop_keywords)})
    line = shop.opt_out_text
    if opt_out.names_a_way_out(line, shop.stop_keywords) and not opt_out.names_a_way_out(line, stop_keywords):
        faults.setdefault("stop_keywords", f"must keep the word that your texts tell people to send: “{line}”")
    if faults:
        raise InvalidInput(faults)
    changed = sorted(name for name, value in changes.items() if _differs(getattr(before, name), value))
    if list(shop.stop_keywords) != list(stop_keywords):
        changed.append("stop_keywords")
        shops_service.update_settings(shop_id, stop_keywords=list(stop_keywords))
    settings = consent_service.update_settings(shop_id, **changes)
    if changed:
        audit.record(shop_id, "consent.settings_changed", actor=actor, details={"settings": changed})
    return settings


def _differs(before: Any, after: Any) -> bool:
    return list(before) != after if isinstance(after, list) else bool(before != after)
