"""Making a shop, changing its settings, and its API keys."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from blossom.platform import clock, crypto
from blossom.platform.access import SCOPES, Principal
from blossom.platform.crypto import SealedValueError
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import noted
from blossom.shops import errors, queries, rules
from blossom.shops.models import ApiKey, Shop, TrialNumber

LAST_USED_EVERY = timedelta(minutes=1)
"""`last_used_at` is no log: one write a minute tells enough."""


def create_shop(
    *, domain: str, name: str, sender: str, timezone: str = "UTC", default_country: str = "US", **settings: Any
) -> Shop:
    """A new tenant with its data and lookup keys. `settings` are further columns of `Shop`.

    Raises `InvalidInput` naming every setting that can't be used, `DomainTaken`.
    """
    settings = {"daily_cap": rules.DAILY_CAP, "weekly_cap": rules.WEEKLY_CAP, **settings}
    settings |= {"name": name, "sender": sender, "timezone": timezone, "default_country": default_country}
    faults = rules.settings_faults(settings)
    if fault := rules.domain_fault(domain):
        faults["domain"] = fault
    if fault := rules.quiet_hours_fault(
        settings.get("quiet_from", rules.QUIET_FROM), settings.get("quiet_until", rules.QUIET_UNTIL)
    ):
        faults["quiet_until"] = fault
    if not faults and (fault := rules.caps_fault(settings["daily_cap"], settings["weekly_cap"])):
        faults["weekly_cap"] = fault
    if faults:
        raise InvalidInput(faults)
    shop = Shop(domain=domain, created_at=clock.now(), **settings)
    try:
        with session.begin_nested():
            session.add(shop)
    except IntegrityError:
        raise errors.DomainTaken(domain) from None
    crypto.create_shop_keys(shop.id)
    return shop


def update_settings(shop_id: int, **changes: Any) -> Shop:
    """Change settings of the shop: all that are named, or none.

    Raises `NotFound`; `InvalidInput` naming each that can't be used.
    """
    shop = queries.get_shop(shop_id)
    faults = rules.settings_faults(changes)
    if fault := rules.quiet_hours_fault(
        changes.get("quiet_from", shop.quiet_from), changes.get("quiet_until", shop.quiet_until)
    ):
        faults["quiet_until"] = fault
    caps = (changes.get("daily_cap", shop.daily_cap), changes.get("weekly_cap", shop.weekly_cap))
    if not {"daily_cap", "weekly_cap"} & faults.keys() and (fault := rules.caps_fault(*caps)):
        faults["weekly_cap"] = fault
    if faults:
        raise InvalidInput(faults)
    for name, value in changes.items():
        setattr(shop, name, value)
    session.flush()
    return shop


def set_trial_numbers(shop_id: int, phones: Sequence[str]) -> None:
    """Let these (E.164) be the shop's own numbers, in place of those that were."""
    shop = queries.get_shop(shop_id)
    session.execute(delete(TrialNumber).where(TrialNumber.shop_id == shop.id))
    for phone in phones:
        number = TrialNumber(shop_id=shop.id)
        number.phone = phone
        session.add(number)
        session.flush()  # one by one: their ids tell the order


def forget_trial_numbers(shop_id: int, phone_hashes: Collection[bytes]) -> None:
    """Let go of those whose keyed hash is among these. Flushes. A shop whose keys are gone knows nobody's any more."""
    try:
        lookup = crypto.for_shop(shop_id).lookup
    except SealedValueError:
        return
    for number in session.scalars(select(TrialNumber).where(TrialNumber.shop_id == shop_id)).all():
        if lookup(number.phone) in phone_hashes:
            session.delete(number)
    session.flush()


def note_proxy_path(shop_id: int, path: str) -> None:
    """The app proxy stands there on the shop's site: Shopify has just signed it. Links in texts begin so from now on.
    `path` is one (`storefront.rules.path_prefix`)."""
    shop = queries.get_shop(shop_id)
    if shop.proxy_path != path:
        shop.proxy_path = path
        session.flush()


def create_api_key(shop_id: int, name: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
    """A new key and its plain text, `blsm_<prefix>_<random>`, which is shown this once and not kept.

    The caller decides which scopes it lets a person give (`access.SHOP_SCOPES`, or `operator` too).
    Raises `NotFound` without such a shop, `InvalidInput` for a scope that does not exist.
    """
    wanted = sorted(set(scopes))
    faults: dict[str, str] = {}
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        faults["scopes"] = noted("has no such right: %(rights)s", rights=", ".join(unknown))
    elif not wanted:
        faults["scopes"] = noted("must name one right at least")
    if not 1 <= len(name.strip()) <= 100:
        faults["name"] = noted("must have 1 to 100 characters")
    if faults:
        raise InvalidInput(faults)
    prefix = secrets.token_hex(4)
    plain = f"blsm_{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        shop_id=queries.get_shop(shop_id).id,
        name=name.strip(),
        prefix=prefix,
        digest=_digest(plain),
        scopes=wanted,
        created_at=clock.now(),
    )
    session.add(key)
    session.flush()
    return key, plain


def revoke_api_key(shop_id: int, key_id: int) -> ApiKey:
    """End a key, now and for good. Revoking it again changes nothing. Raises `NotFound`."""
    key = queries.api_key(shop_id, key_id)
    key.revoked_at = key.revoked_at or clock.now()
    session.flush()
    return key


def authenticate_api_key(plain: str) -> Principal | None:
    """Who holds this key, or None: unknown, revoked, or of a shop that has left.

    The database compares digests of 256 random bits, so the time it takes tells nothing about a key.
    """
    key = session.scalars(
        select(ApiKey)
        .join(Shop, Shop.id == ApiKey.shop_id)
        .where(ApiKey.digest == _digest(plain), ApiKey.revoked_at.is_(None), Shop.uninstalled_at.is_(None))
    ).one_or_none()
    if key is None:
        return None
    _note_use(key)
    return Principal(shop_id=key.shop_id, scopes=frozenset(key.scopes), actor=f"api_key:{key.id}")


def _note_use(key: ApiKey) -> None:
    """Write `last_used_at` when it is old. A request that is doing so already is not waited for."""
    now = clock.now()
    if key.last_used_at and key.last_used_at > now - LAST_USED_EVERY:
        return
    free = select(ApiKey.id).where(ApiKey.id == key.id).with_for_update(skip_locked=True, key_share=True)
    session.execute(
        update(ApiKey).where(ApiKey.id.in_(free)).values(last_used_at=now).execution_options(synchronize_session=False)
    )


def _digest(plain: str) -> bytes:
    return hashlib.sha256(plain.encode()).digest()
