"""Of whom Shopify is told first: shops in turn, people before lists, an opt-out before all. And what a turn costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from blossom.consent import service as consent
from blossom.consent.models import ConsentPush
from blossom.consent.rules import Deed, Keyword, Source, Urgency
from blossom.contacts import service as contacts
from blossom.contacts.rules import Person, normalise_phone
from blossom.customers import rules, service
from blossom.customers.service import pushing, turns
from blossom.platform import clock, db, stopping
from blossom.platform.db import session, transaction
from blossom.shops import service as shop_service
from tests.customers.conftest import OTHER_PHONE, PHONE, Shop
from tests.personas import Personas
from tests.shops.conftest import OURS

THEIRS = "theirs.myshopify.com"
LONG_AGO = "2026-01-01T00:00:00Z"
LOOK = "CustomerByPhone"


@pytest.fixture
def theirs(shop: Shop) -> int:
    """Another shop with the app in it."""
    shop.shopify.open_shop(THEIRS, country="GR", timezone="Europe/Athens")
    shop.shopify.install(THEIRS)
    return shop_service.install(THEIRS, shop.shopify.id_token(THEIRS)).shop_id


def list_brings(shop_id: int, number: int, deed: Deed = Deed.OPT_IN, source: Source = Source.IMPORT) -> list[bytes]:
    """So many phones of a list, in the order in which they are due."""
    hashes = [f"{source} {deed} {n:05d}".encode() for n in range(number)]
    with transaction():
        consent.apply(shop_id, [consent.Step(each, deed, source) for each in hashes])
        set_due = "UPDATE consent_pushes SET next_try_at = next_try_at + id * interval '1 microsecond' - interval '1 s'"
        session.execute(text(f"{set_due} WHERE shop_id = :shop"), {"shop": shop_id})
    return hashes


def stops(shop: Shop, shop_id: int, domain: str, phone: str) -> None:
    """A customer who is subscribed at Shopify texts STOP to the shop."""
    shop.shopify.add_customers(domain, {"phone": phone, "consent": {"state": "SUBSCRIBED", "updated_at": LONG_AGO}})
    with transaction():
        person = Person(phone=normalise_phone(phone, "GR"), zone="Europe/Athens")
        (saved,) = contacts.save_people(shop_id, [person], given=())
        consent.record_keyword(shop_id, saved.phone_hash, Keyword.STOP, contact_id=saved.contact_id)


def there(shop: Shop, domain: str) -> list[str]:
    return [each["consent"]["state"] for each in shop.shopify.shop(domain)["customers"].values()]


def run(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A worker's job that is told to stop after so many phones."""
    left = iter(range(most))
    with monkeypatch.context() as stopped:
        stopped.setattr(stopping, "requested", lambda: next(left, None) is None)
        service.run_pushes()


def take(most: int) -> list[tuple[int, bytes]]:
    """Whose turn it is, one after the other: shop and phone."""
    taken = []
    for _ in range(most):
        with transaction():
            session.execute(text("SET LOCAL lock_timeout = '5s'"))
            row = turns.take()
        if row is None:
            break
        taken.append((row.shop_id, row.phone_hash))
    return taken


def pushes() -> dict[bytes, Any]:
    with transaction():
        rows = session.execute(select(ConsentPush.phone_hash, ConsentPush.next_try_at, ConsentPush.tries))
        return {row.phone_hash: row for row in rows}


def test_a_stop_waits_for_no_list_neither_another_shop_s_nor_its_own(
    shop: Shop, theirs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_brings(shop.id, 1_000)
    stops(shop, theirs, THEIRS, OTHER_PHONE)
    stops(shop, shop.id, OURS, PHONE)
    run(monkeypatch, 2)
    assert (there(shop, THEIRS), there(shop, OURS)) == (["UNSUBSCRIBED"], ["UNSUBSCRIBED"])


def test_shops_take_turns_each_with_what_was_due_first(shop: Shop, theirs: int) -> None:
    ours_owe, theirs_owe = list_brings(shop.id, 20), list_brings(theirs, 3)
    taken = take(30)
    first = taken[:6]
    assert [each for shop_id, each in first if shop_id == shop.id] == ours_owe[:3]
    assert [each for shop_id, each in first if shop_id == theirs] == theirs_owe
    assert [each for shop_id, each in taken if shop_id == shop.id] == ours_owe


def test_in_a_shop_people_go_before_lists_and_opt_outs_before_opt_ins(shop: Shop) -> None:
    (listed,) = list_brings(shop.id, 1)
    (called,) = list_brings(shop.id, 1, source=Source.API)
    (listed_out,) = list_brings(shop.id, 1, Deed.OPT_OUT)
    (formed,) = list_brings(shop.id, 1, source=Source.STOREFRONT)
    (noted_out,) = list_brings(shop.id, 1, Deed.OPT_OUT, Source.MERCHANT)
    (stopped,) = list_brings(shop.id, 1, Deed.OPT_OUT, Source.KEYWORD)
    assert [each for _, each in take(9)] == [noted_out, stopped, formed, listed_out, listed, called]


def test_a_phone_of_a_list_whose_owner_says_stop_goes_first_from_then_on(shop: Shop) -> None:
    *_, last = list_brings(shop.id, 20)
    with transaction():
        consent.record_keyword(shop.id, last, Keyword.STOP)
    assert take(1) == [(shop.id, last)]


def test_a_stop_goes_before_another_shop_s_turn(shop: Shop, theirs: int) -> None:
    list_brings(shop.id, 3)
    list_brings(theirs, 3)
    ((first, _),) = take(1)
    with transaction():
        consent.record_keyword(first, b"stops", Keyword.STOP)
    assert take(1) == [(first, b"stops")]


def test_who_is_changing_a_phone_is_not_waited_for(shop: Shop) -> None:
    first, second, third = list_brings(shop.id, 3)
    with db.engine().connect() as changing, changing.begin():
        held = "SELECT FROM consent_pushes WHERE phone_hash = :phone_hash FOR UPDATE"
        changing.execute(text(held), {"phone_hash": first})
        assert take(9) == [(shop.id, second), (shop.id, third)]
    assert take(9) == [(shop.id, first)]


@pytest.mark.parametrize("failing", ["throttled", "403", "503"])
def test_a_shop_for_which_shopify_fails_costs_one_call_and_one_row_however_many_wait(
    shop: Shop, theirs: int, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_brings(shop.id, 50, source=Source.STOREFRONT)
    stops(shop, theirs, THEIRS, OTHER_PHONE)
    stops(shop, shop.id, OURS, PHONE)
    before = pushes()
    if failing == "throttled":
        shop.shopify.leave_points(OURS, -5_000)
    else:
        shop.shopify.fail({"kind": failing, "area": "graphql", "operation": LOOK, "share": 1.0})
    monkeypatch.setattr(pushing, "AT_A_TIME_SECONDS", 300.0)

    now = clock.now()
    with clock.frozen_at(now):
        service.run_pushes()

        assert there(shop, OURS) == ["SUBSCRIBED"]
        if failing == "throttled":
            assert there(shop, THEIRS) == ["UNSUBSCRIBED"]
        changed = [row for each, row in pushes().items() if row != before[each]]
        assert [row.tries for row in changed] == [1, 1], "each shop's opt-out, and nothing else"
        assert all(row.next_try_at is None or row.next_try_at > now for row in changed)

        shop.shopify.fail()
        assert service.run_pushes() == 0, "it is left alone"
    shop.shopify.advance(120)
    with clock.frozen_at(now + timedelta(minutes=2)):
        service.run_pushes()
    assert there(shop, OURS) == ["UNSUBSCRIBED"]
    assert all(row.next_try_at is None for row in pushes().values())


def test_a_phone_that_shopify_fails_for_lets_its_shop_s_others_go_first(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is this phone or all of them can't be seen from one."""
    now = clock.now()
    with clock.frozen_at(now):
        stops(shop, shop.id, OURS, PHONE)
        shop.shopify.fail({"kind": "500", "area": "graphql", "operation": LOOK, "next": 3})
        run(monkeypatch, 1)
        stops(shop, shop.id, OURS, OTHER_PHONE)
    with clock.frozen_at(now + rules.pause_after(1) + timedelta(seconds=1)):
        run(monkeypatch, 1)
    assert there(shop, OURS) == ["SUBSCRIBED", "UNSUBSCRIBED"]


def test_a_shop_that_goes_on_failing_is_asked_more_and_more_seldom_and_one_success_is_enough(shop: Shop) -> None:
    with clock.frozen_at(clock.now()):
        pauses = [turns.pause(shop.id) - clock.now() for _ in range(9)]
        assert pauses[0] == timedelta(seconds=5)
        assert pauses[:5] == sorted(set(pauses))
        assert pauses[-1] == timedelta(minutes=5)
        turns.note_answer(shop.id)
        assert turns.pause(shop.id) - clock.now() == pauses[0]
        assert turns.pause(shop.id, retry_after=1_000.0) - clock.now() == timedelta(seconds=1_000)


MANY = 30_000
SHOPS, OWING = 2_000, 20


@pytest.fixture
def crowd(personas: Personas) -> int:
    """A shop that owes tens of thousands, of each urgency; twenty that owe one; two thousand that owe nothing. Most of
    them were told of some before."""
    shop_id = personas.ours.id
    session.execute(
        text("""
            INSERT INTO shops (domain, name, timezone, default_country, sender, contact_line, opt_out_text,
                stop_keywords, quiet_hours_on, quiet_from, quiet_until, created_at)
            SELECT 'shop-' || n || '.myshopify.com', name, timezone, default_country, sender, contact_line,
                opt_out_text, stop_keywords, quiet_hours_on, quiet_from, quiet_until, created_at
            FROM shops, generate_series(1, :shops) AS n WHERE id = :shop
        """),
        {"shop": shop_id, "shops": SHOPS},
    )
    access = "INSERT INTO installations (shop_id, scopes, generation, access_token_sealed)"
    session.execute(text(f"{access} SELECT id, '{{}}', 1, 'sealed' FROM shops"))
    owed = """
        INSERT INTO consent_pushes (shop_id, phone_hash, revision, urgency, owed_since, next_try_at, settled_at)
        SELECT {shop}, substring(sha256(CAST(n AS text)::bytea) FOR 16), 1, n % 4, :now,
            {due}, timestamptz '2026-01-01 00:00Z'
    """
    earlier = "CAST(:now AS timestamptz) - n * interval '1 second'"
    values = {"now": clock.now(), "shop": shop_id, "many": MANY, "owing": OWING}
    first = owed.format(shop=":shop", due=earlier) + "FROM generate_series(1, :many) AS n"
    session.execute(text(first), values)
    told = owed.format(shop="shops.id", due="NULL") + "FROM shops, generate_series(1, 5) AS n WHERE shops.id <> :shop"
    session.execute(text(told), values)
    some = "UPDATE consent_pushes SET next_try_at = :now WHERE phone_hash = {phone} AND shop_id IN ({shops})"
    phone = "substring(sha256('1'::bytea) FOR 16)"
    shops = "SELECT id FROM shops WHERE id <> :shop ORDER BY id LIMIT :owing"
    session.execute(text(some.format(phone=phone, shops=shops)), values)
    session.execute(text("ANALYZE shops, installations, consent_pushes"))
    return shop_id


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


def explain(statement: Any, **values: Any) -> list[dict[str, Any]]:
    found = session.scalars(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"), values).one()
    plan = json.loads(found) if isinstance(found, str) else found
    return list(_nodes(plan[0]["Plan"]))


def test_a_turn_costs_a_row_of_each_shop_and_urgency_that_is_owed_and_none_of_those_that_owe_nothing(
    crowd: int,
) -> None:
    now = clock.now()
    waiting = explain(turns._WAITING, now=now)
    taking = explain(turns._TAKE, shop=crowd, urgency=Urgency.LISTED, now=now, until=now + timedelta(minutes=1))

    for node in (*waiting, *taking):
        assert node["Node Type"] != "Seq Scan", node["Relation Name"]
        rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert rows <= OWING + 4, node
    for nodes in (waiting, taking):
        assert "ix_consent_pushes_by_shop" in {node.get("Index Name") for node in nodes}
