from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.orm import Session

from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput, NotFound
from blossom.shops import errors, queries, service
from blossom.shops.models import Shop
from tests.personas import Personas

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def _shop(**overrides: object) -> Shop:
    values = {"domain": "new.myshopify.com", "name": "New", "sender": "NewShop", "timezone": "Europe/Athens"}
    return service.create_shop(**{**values, "default_country": "GR", **overrides})  # type: ignore[arg-type]


def test_a_new_shop_has_its_keys_and_careful_settings(session: Session) -> None:
    shop = _shop()
    assert shop.quiet_hours_on
    assert (shop.quiet_from, shop.quiet_until) == (time(20), time(9))
    assert (shop.daily_cap, shop.weekly_cap) == (1, 3)
    cipher = crypto.for_shop(shop.id)
    assert cipher.open(cipher.seal("+306912345678", "phone"), "phone") == "+306912345678"
    assert queries.by_domain("new.myshopify.com") is shop


def test_a_shop_that_cannot_be_is_refused_with_all_that_is_wrong(app: Flask) -> None:
    with pytest.raises(InvalidInput) as refused:
        _shop(sender="no", timezone="Mars", domain="x", quiet_from=time(9), quiet_until=time(9))
    assert set(refused.value.details["fields"]) == {"sender", "timezone", "domain", "quiet_until"}


def test_a_domain_is_one_shop_and_the_transaction_lives_on(session: Session) -> None:
    _shop()
    with pytest.raises(errors.DomainTaken):
        _shop()
    assert session.execute(text("SELECT count(*) FROM shops")).scalar_one() == 1


def test_settings_change_together_or_not_at_all(personas: Personas) -> None:
    ours = personas.ours
    service.update_settings(ours.id, sender="Fresh", quiet_from=time(21))
    assert (ours.sender, ours.quiet_from) == ("Fresh", time(21))
    for bad in ({"sender": "no", "name": "Other"}, {"quiet_until": time(21), "name": "Other"}, {"domain": "x"}):
        with pytest.raises(InvalidInput):
            service.update_settings(ours.id, **bad)
        assert ours.name == "Ours"
    with pytest.raises(NotFound):
        service.update_settings(10**9, sender="Fresh")


def test_a_key_is_shown_once_and_opens_its_shop(personas: Personas) -> None:
    key, plain = service.create_api_key(personas.ours.id, "till", ["campaigns:read", "campaigns:read"])
    assert plain.startswith(f"blsm_{key.prefix}_")
    assert len(plain) >= 55
    assert plain.encode() not in key.digest
    principal = service.authenticate_api_key(plain)
    assert principal is not None
    assert (principal.shop_id, principal.scopes) == (personas.ours.id, {"campaigns:read"})
    assert principal.actor == f"api_key:{key.id}"


def test_a_key_that_is_wrong_revoked_or_of_a_shop_that_left_opens_nothing(personas: Personas) -> None:
    key, plain = service.create_api_key(personas.ours.id, "till", ["campaigns:read"])
    assert service.authenticate_api_key(plain[:-1]) is None
    assert service.authenticate_api_key("") is None
    personas.ours.uninstalled_at = NOW
    assert service.authenticate_api_key(plain) is None
    personas.ours.uninstalled_at = None
    assert service.authenticate_api_key(plain) is not None
    with clock.frozen_at(NOW):
        service.revoke_api_key(personas.ours.id, key.id)
    assert service.authenticate_api_key(plain) is None
    assert service.revoke_api_key(personas.ours.id, key.id).revoked_at == NOW


def test_a_key_has_rights_that_exist_and_a_shop_that_does(personas: Personas) -> None:
    for scopes in ([], ["campaigns:fly"]):
        with pytest.raises(InvalidInput):
            service.create_api_key(personas.ours.id, "till", scopes)
    with pytest.raises(InvalidInput):
        service.create_api_key(personas.ours.id, " ", ["campaigns:read"])
    with pytest.raises(NotFound):
        service.create_api_key(10**9, "till", ["campaigns:read"])


def test_a_key_of_theirs_is_not_ours_to_revoke(personas: Personas) -> None:
    key, plain = service.create_api_key(personas.theirs.id, "till", ["campaigns:read"])
    with pytest.raises(NotFound):
        service.revoke_api_key(personas.ours.id, key.id)
    assert service.authenticate_api_key(plain) is not None
    assert queries.api_keys(personas.ours.id) == []


def test_its_last_use_is_written_once_a_minute(session: Session, personas: Personas) -> None:
    key, plain = service.create_api_key(personas.ours.id, "till", ["campaigns:read"])
    seen = []
    for later in (timedelta(0), timedelta(seconds=59), timedelta(seconds=61)):
        with clock.frozen_at(NOW + later):
            service.authenticate_api_key(plain)
        session.refresh(key)
        seen.append(key.last_used_at)
    assert seen == [NOW, NOW, NOW + timedelta(seconds=61)]


def test_trial_numbers_are_kept_sealed_in_the_order_given_and_replaced_together(personas: Personas) -> None:
    ours, theirs = personas.ours, personas.theirs
    service.set_trial_numbers(theirs.id, ["+306955555555"])
    service.set_trial_numbers(ours.id, ["+306912345678", "+12125551000"])
    assert queries.trial_numbers(ours.id) == ["+306912345678", "+12125551000"]
    for sealed in session.execute(text("SELECT phone_sealed FROM trial_numbers")).scalars():
        assert b"5551000" not in sealed
    service.set_trial_numbers(ours.id, ["+12125551000"])
    assert queries.trial_numbers(ours.id) == ["+12125551000"]
    assert queries.trial_numbers(theirs.id) == ["+306955555555"]


def test_a_trial_number_is_forgotten_by_its_hash_in_its_shop_alone(personas: Personas) -> None:
    hers, other = "+306912345678", "+12125551000"
    for shop in (personas.ours, personas.theirs):
        service.set_trial_numbers(shop.id, [hers, other])
    service.forget_trial_numbers(personas.ours.id, {crypto.for_shop(personas.ours.id).lookup(hers)})
    assert queries.trial_numbers(personas.ours.id) == [other]
    assert queries.trial_numbers(personas.theirs.id) == [hers, other]


def test_of_a_shop_whose_keys_are_gone_nobody_s_is_known_and_nothing_breaks(personas: Personas) -> None:
    service.set_trial_numbers(personas.ours.id, ["+306912345678"])
    crypto.destroy_shop_keys(personas.ours.id)
    service.forget_trial_numbers(personas.ours.id, {b"hash"})
    assert session.execute(text("SELECT count(*) FROM trial_numbers")).scalar_one() == 1
