"""A shop comes, is described, changes what it grants, leaves, and finds its data when it comes back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from blossom.platform import clock, crypto, db, queue
from blossom.platform.db import session, transaction
from blossom.shopify import oauth
from blossom.shopify.errors import ShopifyError
from blossom.shops import jobs, queries, rules, service
from blossom.shops.service import claiming, installing
from tests.faults.processes import until
from tests.shops.conftest import EXCHANGE, OURS, Connected


def counted(table: str) -> int:
    with transaction():
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def waiting_jobs() -> list[str]:
    return [str(job.description) for job in queue.rq_queue("shopify").jobs]


def test_a_new_shop_is_made_with_its_keys_and_its_tokens(connected: Connected) -> None:
    installed = connected.install()
    assert (installed.first, installed.again) == (True, False)
    shop, installation = connected.shop(), connected.installation()
    assert shop.id == installed.shop_id
    assert shop.uninstalled_at is None
    assert installation.has_access
    assert "read_customers" in installation.scopes
    assert installation.access_expires_at is not None
    assert abs(installation.access_expires_at - clock.now() - timedelta(hours=1)) < timedelta(seconds=30)
    assert installation.refresh_expires_at is not None
    assert installation.refresh_expires_at > clock.now() + timedelta(days=89)
    with transaction():
        cipher = crypto.for_shop(shop.id)
        assert cipher.open(cipher.seal("x", "phone"), "phone") == "x"


def test_a_shop_is_described_by_what_shopify_knows_of_it(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    assert waiting_jobs() == ["shops.describe"]
    jobs.describe(shop_id)
    shop = connected.shop()
    assert (shop.name, shop.timezone, shop.default_country) == ("Ours of Athens", "Europe/Athens", "GR")
    assert shop.sender == "OursofAthen"
    assert shop.contact_line == "owner@example.com"
    assert shop.primary_domain == "ours.storefront.test"
    assert shop.currency == "EUR"


def test_what_a_merchant_has_chosen_is_not_overwritten(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    with transaction():
        service.update_settings(shop_id, sender="Chosen", contact_line="call us")
    service.describe(shop_id)
    with transaction():
        service.update_settings(shop_id, name="Renamed here")
    service.describe(shop_id)
    shop = connected.shop()
    assert (shop.sender, shop.contact_line, shop.name) == ("Chosen", "call us", "Renamed here")


def test_where_a_shops_own_site_is_is_asked_each_day(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    service.describe(shop_id)
    with transaction():
        queries.get_shop(shop_id).primary_domain = "of-yesterday.example"
        service.update_settings(shop_id, name="Renamed here")
    service.describe_new()
    assert connected.shop().primary_domain == "of-yesterday.example"
    with transaction():
        installation = queries.installation(shop_id)
        assert installation is not None
        installation.described_at = clock.now() - installing.DESCRIBED_EVERY
    service.describe_new()
    shop = connected.shop()
    assert (shop.primary_domain, shop.name) == ("ours.storefront.test", "Renamed here")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://olive.example", "olive.example"),
        ("https://Shop.Olive.example/el", "shop.olive.example"),
        ("http://ours.storefront.test:8090", "ours.storefront.test"),
        ("", None),
        ("olive.example", None),
        ("https://localhost", None),
        ("https://[::1", None),
        ("https://-olive.example", None),
        ("https://{shop}.example", None),
    ],
)
def test_a_site_is_known_by_its_host(url: str, host: str | None) -> None:
    assert rules.site_host(url) == host


def test_a_description_that_failed_is_made_up_for(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    connected.shopify.fail({"kind": "403", "area": "graphql", "next": 2})
    jobs.describe(shop_id)
    jobs.describe_new()
    assert connected.shop().name == "ours"
    jobs.describe_new()
    assert connected.shop().name == "Ours of Athens"
    asked = connected.calls("Shop")
    jobs.describe_new()
    assert connected.calls("Shop") == asked


def test_a_zone_that_is_none_leaves_the_default(connected: Connected) -> None:
    connected.shopify.reset(
        app={"api_key": "the-app", "secret": "the-secret"}, shops=[{"domain": OURS, "timezone": "Mars/Olympus"}]
    )
    connected.shopify.install(OURS)
    service.describe(connected.install().shop_id)
    shop = connected.shop()
    assert (shop.timezone, shop.default_country) == ("UTC", "GR")


def test_ten_first_visits_at_once_make_one_shop_and_one_exchange(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [connected.shopify.id_token(OURS) for _ in range(10)]
    begun: list[int] = []
    place_for, exchange = installing._place_for, oauth.exchange

    def begin(domain: str) -> tuple[int, int]:
        found = place_for(domain)
        begun.append(found[0])
        return found

    def exchange_once_all_are_here(shop: str, id_token: str) -> oauth.Tokens:
        until(lambda: len(begun) == 10, "all visits have begun")
        return exchange(shop, id_token)

    monkeypatch.setattr(installing, "_place_for", begin)
    monkeypatch.setattr(oauth, "exchange", exchange_once_all_are_here)
    with ThreadPoolExecutor(10) as threads:
        waiting = [threads.submit(db.for_thread(service.install), OURS, token) for token in tokens]
        found = [each.result(60) for each in waiting]
    assert len({each.shop_id for each in found}) == 1
    assert sum(each.first for each in found) == 1
    assert counted("shops") == counted("installations") == 1
    assert connected.calls(EXCHANGE) == 1


def test_a_session_token_that_shopify_refuses_installs_nothing(connected: Connected) -> None:
    stale = connected.shopify.id_token(OURS, claims={"exp": int(time.time()) - 100})
    with pytest.raises(ShopifyError) as caught:
        service.install(OURS, stale)
    assert caught.value.code == "grant_refused"
    assert not connected.installation().has_access
    assert connected.installation().claim is None, "the next visit needn't wait"
    assert connected.install().first


def test_only_a_canonical_domain_becomes_a_shop(connected: Connected) -> None:
    for domain in ("evil.example", "OURS.myshopify.com", ""):
        with pytest.raises(ValueError, match="canonical"):
            service.install(domain, "token")
    assert counted("shops") == 0


def test_a_shop_that_leaves_loses_its_tokens_and_keeps_its_data(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    service.describe(shop_id)
    connected.shopify.uninstall(OURS)
    with transaction():
        assert service.uninstall(shop_id)
        assert not service.uninstall(shop_id)
    assert connected.token() is None
    with transaction():
        row = session.execute(text("SELECT * FROM installations")).one()
        assert row.access_token_sealed is None
        assert row.refresh_token_sealed is None
    with pytest.raises(ShopifyError, match="not installed"):
        service.client(shop_id)
    connected.shopify.install(OURS)
    back = connected.install()
    assert (back.shop_id, back.first, back.again) == (shop_id, False, True)
    shop = connected.shop()
    assert shop.uninstalled_at is None
    assert shop.name == "Ours of Athens"
    assert service.client(shop_id).run("shop")["shop"]["name"] == "Ours of Athens"


def test_an_uninstall_that_comes_late_does_not_take_a_shop_that_is_back(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    left_at = clock.now()
    connected.install()
    with transaction():
        assert not service.uninstall(shop_id, triggered_at=left_at)
    assert connected.installation().has_access
    with transaction():
        assert service.uninstall(shop_id, triggered_at=clock.now())
    assert not connected.installation().has_access


def test_an_install_during_which_the_shop_leaves_is_told_so(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop_id = connected.install().shop_id
    record = claiming.until_recorded

    def meanwhile(write: object) -> object:
        with transaction():
            service.uninstall(shop_id)
        return record(write)  # type: ignore[arg-type]

    monkeypatch.setattr(claiming, "until_recorded", meanwhile)
    with pytest.raises(ShopifyError, match="being renewed"):
        connected.install()
    assert connected.token() is None


def test_a_shop_whose_keys_were_destroyed_gets_new_ones(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    with transaction():
        service.uninstall(shop_id)
        crypto.destroy_shop_keys(shop_id)
    connected.install()
    assert service.client(shop_id).run("shop")


def test_granted_scopes_are_known_and_old_news_is_passed_over(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    now = clock.now()
    with transaction():
        assert service.note_scopes(shop_id, ["read_orders", "read_customers"], changed_at=now)
        assert not service.note_scopes(shop_id, ["read_customers", "read_orders"], changed_at=now)
        assert not service.note_scopes(shop_id, ["read_products"], changed_at=now - timedelta(seconds=1))
        assert not service.note_scopes(10**9, ["read_products"], changed_at=now)
    assert connected.installation().scopes == ["read_customers", "read_orders"]


def test_new_scopes_make_the_token_be_renewed_before_its_next_use(connected: Connected) -> None:
    connected.shopify.install(OURS, ["read_customers"])
    shop_id = connected.install().shop_id
    connected.shopify.install(OURS, ["read_customers", "write_customers"])
    with transaction():
        service.note_scopes(shop_id, ["read_customers", "write_customers"], changed_at=clock.now())
    client = service.client(shop_id)
    assert connected.calls("refresh_token") == 1
    client.run("customer_create", phone="+306912345678", marketingState="SUBSCRIBED")
    assert connected.installation().scopes == ["read_customers", "write_customers"]


# Staff


def test_a_staff_member_is_one_row_and_no_name(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    now = clock.now()
    with clock.frozen_at(now), transaction():
        first = service.note_staff(shop_id, 42).id
    with clock.frozen_at(now + timedelta(seconds=30)), transaction():
        assert service.note_staff(shop_id, 42).id == first
    with transaction():
        member = queries.staff_member(shop_id, 42)
        assert member is not None
        assert (member.first_seen_at, member.last_seen_at) == (now, now)
        assert service.rights_are_old(member)
    with clock.frozen_at(now + timedelta(minutes=2)), transaction():
        service.note_staff(shop_id, 42)
    with transaction():
        member = queries.staff_member(shop_id, 42)
        assert member is not None
        assert (member.first_seen_at, member.last_seen_at) == (now, now + timedelta(minutes=2))
    with transaction():
        columns = session.execute(
            text("SELECT column_name FROM information_schema.columns WHERE table_name = 'staff_members'")
        ).scalars()
        assert not {"name", "first_name", "last_name", "email", "email_sealed"} & set(columns)


def test_one_number_is_somebody_else_in_another_shop(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    with transaction():
        theirs = service.create_shop(domain="theirs.myshopify.com", name="Theirs", sender="Theirs").id
        assert service.note_staff(shop_id, 42).id != service.note_staff(theirs, 42).id


def test_what_a_member_may_do_is_asked_of_shopify(connected: Connected) -> None:
    staff = {"id": 77, "first_name": "Nikos", "scopes": ["read_customers"]}
    connected.shopify.reset(
        app={"api_key": "the-app", "secret": "the-secret"},
        shops=[{"domain": OURS, "staff": [{"id": 1, "first_name": "Olga", "account_owner": True}, staff]}],
    )
    connected.shopify.install(OURS)
    shop_id = connected.install().shop_id
    before = connected.token()
    service.read_rights(shop_id, OURS, connected.shopify.id_token(OURS, staff=77))
    with transaction():
        member = queries.staff_member(shop_id, 77)
        assert member is not None
        assert member.scopes == ["read_customers"]
        assert not service.rights_are_old(member)
        with clock.frozen_at(clock.now() + timedelta(hours=12)):
            assert service.rights_are_old(member)
    assert connected.token() == before, "an online token takes no offline one's place"


@pytest.mark.parametrize(
    ("name", "sender"),
    [
        ("Ours of Athens", "OursofAthen"),
        ("Καφές", "Blossom"),
        ("123 45", "Blossom"),
        ("a!", "Blossom"),
        ("", "Blossom"),
    ],
)
def test_a_shop_has_a_sender_from_its_first_moment(name: str, sender: str) -> None:
    assert rules.usual_sender(name) == sender
    assert rules.sender_fault(sender) is None
