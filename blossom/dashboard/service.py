"""What a merchant changes on these pages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from blossom.audit import service as audit
from blossom.consent import queries as consents
from blossom.consent import rules as consent_rules
from blossom.consent import service as consent_service
from blossom.consent.rules import Settings
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import normalise_phone
from blossom.customers import queries as customers
from blossom.customers import service as customers_service
from blossom.dashboard import rules
from blossom.message_templates.rules import language, opt_out
from blossom.message_templates.rules.catalogue import Trigger
from blossom.platform.access import SHOP_SCOPES, Principal
from blossom.platform.db import lock_for_transaction
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import joined, noted
from blossom.shops import queries as shops
from blossom.shops import rules as shop_rules
from blossom.shops import service as shops_service
from blossom.shops.models import ApiKey, Shop


def import_again(shop_id: int, *, actor: str) -> None:
    """Ask for another import of Shopify's customers; with one under way, nothing is asked for twice."""
    if not customers.has_open_import(shop_id):
        import_id = customers_service.ask_import(shop_id)
        audit.record(
            shop_id, "customers.import_asked", actor=actor, subject_type="customer_import", subject_id=import_id
        )


def save_settings(shop_id: int, changes: Mapping[str, Any], numbers: Sequence[str], *, actor: str) -> Shop:
    """Change the shop's settings, all or none, and write down who changed which. `numbers`: the shop's own, as they
    were typed. Raises as `shops.update_settings`."""
    shop = shops.get_shop(shop_id)
    faults: dict[str, str] = {}
    if fault := _fault_of_line(str(changes.get("opt_out_text", "")), shop.stop_keywords):
        faults["opt_out_text"] = fault
    phones, fault = _read_numbers(numbers, str(changes.get("default_country", shop.default_country)))
    if fault:
        faults["trial_numbers"] = fault
    if faults:
        raise InvalidInput(faults | shop_rules.settings_faults(changes))
    changed = sorted(name for name, value in changes.items() if getattr(shop, name) != value)
    shop = shops_service.update_settings(shop_id, **changes)
    if phones != shops.trial_numbers(shop_id):
        shops_service.set_trial_numbers(shop_id, phones)
        changed.append("trial_numbers")
    if changed:
        audit.record(shop_id, "shops.settings_changed", actor=actor, details={"settings": changed})
    return shop


def _read_numbers(typed: Sequence[str], country: str) -> tuple[list[str], str | None]:
    """Each number once, in E.164; or what is wrong with them."""
    if len(typed) > rules.MOST_NUMBERS:
        return [], noted("may be %(most)s at most", most=rules.MOST_NUMBERS)
    phones, wrong = [], []
    for each in typed:
        try:
            phones.append(normalise_phone(each, country).e164)
        except PhoneRefused:
            wrong.append(each[:30])
    if len(wrong) > 1:
        return [], noted("hold some that can't be texted: %(numbers)s", numbers=", ".join(wrong))
    if wrong:
        return [], noted("hold “%(number)s”, which is no number that can be texted", number=wrong[0])
    return list(dict.fromkeys(phones)), None


def _fault_of_line(line: str, stop_keywords: Sequence[str]) -> str | None:
    """What would make each text that the opt-out line is added to one that can't be sent, or tells nobody how to opt
    out."""
    compiled, problems = language.examine(line, Trigger.CAMPAIGN) if line.strip() else (None, [])
    if problems:
        fault = joined(*filter(None, (problems[0].message, problems[0].actionable)))
        return noted("can't be added to a text: %(fault)s", fault=fault)
    if compiled and compiled.unprovided:
        return noted("must say what stands in for a value that some people lack")
    if line.strip() and not opt_out.names_a_way_out(line, stop_keywords):
        return noted(
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
        kept = noted("must keep the word that your texts tell people to send: “%(line)s”", line=line)
        faults.setdefault("stop_keywords", kept)
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


def create_api_key(caller: Principal, name: str, scopes: Collection[str]) -> tuple[ApiKey, str]:
    """A key for programs of the shop's, with no right that `caller` lacks, and its plain text, which is kept nowhere.
    Raises `InvalidInput`."""
    wanted = set(scopes)
    faults: dict[str, str] = {}
    if wanted - (SHOP_SCOPES & caller.scopes):
        faults["scopes"] = noted("hold one that you can't give")
    lock_for_transaction("dashboard.api_keys", caller.shop_id % 2**31)  # of two at once the second counts the first's
    if len([key for key in shops.api_keys(caller.shop_id) if key.revoked_at is None]) >= rules.MOST_KEYS:
        faults["name"] = noted("is for a key too many: %(most)s can be in use; revoke one first", most=rules.MOST_KEYS)
    if faults:
        raise InvalidInput(faults)
    key, plain = shops_service.create_api_key(caller.shop_id, name, wanted)
    details = {"scopes": sorted(wanted)}
    audit.record(
        caller.shop_id,
        "shops.api_key_created",
        actor=caller.actor,
        subject_type="api_key",
        subject_id=key.id,
        details=details,
    )
    return key, plain


def revoke_api_key(shop_id: int, key_id: int, *, actor: str) -> ApiKey:
    """End a key, for good; one that has ended stays as it is. Raises `NotFound`."""
    ended = shops.api_key(shop_id, key_id).revoked_at is not None
    key = shops_service.revoke_api_key(shop_id, key_id)
    if not ended:
        audit.record(shop_id, "shops.api_key_revoked", actor=actor, subject_type="api_key", subject_id=key_id)
    return key
