"""A merchant gives programs of their own keys of the API, and takes them back."""

from __future__ import annotations

import html
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from blossom.audit.models import AuditEntry
from blossom.dashboard import rules
from blossom.dashboard import service as dashboard
from blossom.platform import clock, config, db
from blossom.platform.access import SHOP_SCOPES, Principal
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput
from blossom.shops import queries as shops
from blossom.shops import service
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, token
from tests.factories.shops import create_shop
from tests.faults.processes import until

GOOD = {"name": " Stock  robot ", "scope": ["campaigns:read", "shop:read"]}


def create(visitor: Visitor, **changes: Any) -> Any:
    return visitor.fetch("/settings/keys", method="POST", data={**GOOD, **changes})


def words(response: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.get_data(as_text=True))).split())


def test_a_new_key_is_shown_once_and_works(visitor: Visitor, ours: Shop, app: Flask) -> None:
    response = create(visitor)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    shown = re.findall(r'value="(blsm_[^"]+)"', response.get_data(as_text=True))
    holder = service.authenticate_api_key(shown[0])
    assert holder is not None
    assert (len(shown), holder.shop_id, holder.scopes) == (1, ours.id, frozenset({"campaigns:read", "shop:read"}))
    (key,) = shops.api_keys(ours.id)
    assert key.name == "Stock robot"
    page = visitor.document("/settings/keys")
    assert shown[0] not in page.get_data(as_text=True)
    assert f"Stock robot blsm_{key.prefix}_…" in words(page)
    (entry,) = session.query(AuditEntry).filter_by(action="shops.api_key_created")
    assert entry.actor.startswith("staff:")
    assert (entry.subject_id, entry.details) == (key.id, {"scopes": ["campaigns:read", "shop:read"]})


def test_every_right_of_a_merchant_s_is_offered_and_the_operator_s_is_not(visitor: Visitor, ours: Shop) -> None:
    offered = re.findall(r'name="scope" value="([^"]+)"', visitor.document("/settings/keys").get_data(as_text=True))
    assert set(offered) == SHOP_SCOPES
    assert len(offered) == len(SHOP_SCOPES)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scope": []}, "scopes"),
        ({"scope": ["operator"]}, "scopes"),
        ({"scope": ["shop:read", "fly"]}, "scopes"),
    ],
)
def test_what_can_t_be_is_told_at_its_field_and_makes_no_key(
    visitor: Visitor, ours: Shop, given: dict[str, Any], field: str
) -> None:
    response = create(visitor, **given)
    assert response.status_code == 422
    assert f'id="{field}-fault"' in response.get_data(as_text=True)
    if field == "name":
        assert response.get_data(as_text=True).count(" checked") == 2, "what was chosen stays"
    assert shops.api_keys(ours.id) == []


def test_who_runs_the_installation_gives_no_key_more_than_a_merchant_s_rights(
    visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "_current", replace(config.current(), operator_shops=(ours.domain,)))
    assert 'href="/queue"' in visitor.document("/settings/keys").get_data(as_text=True)
    assert create(visitor, scope=["operator"]).status_code == 422


def test_there_is_an_end_to_keys(visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_KEYS", 2)
    assert [create(visitor).status_code for _ in range(3)] == [200, 200, 422]
    assert "Create the key" not in words(visitor.document("/settings/keys"))
    service.revoke_api_key(ours.id, shops.api_keys(ours.id)[0].id)
    assert create(visitor).status_code == 200


def test_of_two_made_at_once_the_second_counts_the_first(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MOST_KEYS", 1)
    with db.transaction():
        caller = Principal(create_shop().id, SHOP_SCOPES, "staff:1")

    def make() -> None:
        with committed_app.app_context(), db.transaction():
            dashboard.create_api_key(caller, "Robot", ["shop:read"])

    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor(1) as pool:
        with db.transaction():
            dashboard.create_api_key(caller, "Robot", ["shop:read"])
            second = pool.submit(make)
            with db.engine().connect() as looking:
                until(lambda: second.done() or looking.execute(waiting).scalar(), "the second has come so far")
        with pytest.raises(InvalidInput):
            second.result(timeout=60)
    with db.transaction():
        assert len(shops.api_keys(caller.shop_id)) == 1


def test_revoking_is_asked_first_and_ends_the_key(visitor: Visitor, ours: Shop) -> None:
    key, plain = service.create_api_key(ours.id, "Robot", ["shop:read"])
    address = f"/settings/keys/{key.id}/revoke"
    assert "Revoke “Robot” for good?" in words(visitor.fetch(address))
    assert "It has never been used." in words(visitor.fetch(address))
    assert service.authenticate_api_key(plain)
    for _ in range(2):  # the second click finds it done
        assert visitor.fetch(address, method="POST").status_code == 200
    assert service.authenticate_api_key(plain) is None
    shown = words(visitor.document("/settings/keys"))
    assert "No program of yours has a key." in shown
    assert f"Robot (blsm_{key.prefix}_…), on " in shown
    assert session.query(AuditEntry).filter_by(action="shops.api_key_revoked").count() == 1


def test_the_list_tells_when_a_key_was_used(visitor: Visitor, ours: Shop) -> None:
    _, plain = service.create_api_key(ours.id, "Robot", ["shop:read"])
    assert "Never" in words(visitor.document("/settings/keys"))
    used = datetime(2026, 11, 20, 14, 7, tzinfo=UTC)
    ours.timezone = "Europe/Athens"
    with clock.frozen_at(used):
        service.authenticate_api_key(plain)
    assert "20 Nov 2026, 16:07 (Europe/Athens)" in words(visitor.document("/settings/keys"))


def test_who_may_only_look_sees_keys_and_makes_or_ends_none(visitor: Visitor, ours: Shop) -> None:
    key, plain = service.create_api_key(ours.id, "Robot", ["shop:read"])
    member(ours, ("read_customers",), user_id=43)
    given = token(sub="43")
    shown = visitor.fetch("/settings/keys", given).get_data(as_text=True)
    assert "Robot" in shown
    assert "/revoke" not in shown
    assert "<form" not in shown
    asked: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/settings/keys", {"data": GOOD}),
        ("GET", f"/settings/keys/{key.id}/revoke", {}),
        ("POST", f"/settings/keys/{key.id}/revoke", {}),
    ]
    for method, path, options in asked:
        assert visitor.fetch(path, given, method=method, **options).status_code == 403
    assert service.authenticate_api_key(plain)
