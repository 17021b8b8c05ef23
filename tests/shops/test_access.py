"""A good token for whoever asks: renewed in time, once, whatever happens on the way. Shopify's log is the judge."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from blossom.platform import clock, db
from blossom.platform.db import session, transaction
from blossom.shopify import oauth
from blossom.shopify.errors import ShopifyError
from blossom.shopify.oauth import Tokens
from blossom.shops import queries, service
from blossom.shops.service import access, claiming
from tests.shops.conftest import EXCHANGE, OURS, Connected


def let_expire(connected: Connected, seconds: float = 3601) -> None:
    """Time passes, at Shopify and here: the stand-in's clock goes forward, our token's end comes nearer."""
    connected.shopify.advance(seconds)
    with transaction():
        session.execute(
            text("UPDATE installations SET access_expires_at = access_expires_at - make_interval(secs => :seconds)"),
            {"seconds": seconds},
        )


def name_of_shop(shop_id: int) -> str:
    return str(service.client(shop_id).run("shop")["shop"]["name"])


def refuses(shop_id: int) -> str:
    with pytest.raises(ShopifyError) as caught:
        service.client(shop_id)
    return caught.value.code


def test_a_good_token_is_taken_as_it_is(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    assert name_of_shop(shop_id) == "Ours of Athens"
    assert connected.calls("refresh_token") == 0


def test_tokens_lie_sealed_in_the_database(connected: Connected) -> None:
    connected.install()
    token = connected.token()
    assert token is not None
    with transaction():
        row = session.execute(text("SELECT installations::text FROM installations")).scalar_one()
        sealed = session.execute(text("SELECT access_token_sealed FROM installations")).scalar_one()
    assert token not in row
    assert token.encode() not in bytes(sealed)


def test_an_expired_token_is_renewed_and_the_next_one_is_kept(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    before = connected.token()
    let_expire(connected)
    assert name_of_shop(shop_id) == "Ours of Athens"
    assert name_of_shop(shop_id) == "Ours of Athens"
    assert connected.token() != before
    assert connected.calls("refresh_token") == 1


def test_a_token_is_renewed_before_its_end(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected, 3600 - access.MARGIN.total_seconds() + 1)
    service.client(shop_id)
    assert connected.calls("refresh_token") == 1


def test_twenty_who_ask_at_once_make_one_refresh(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    barrier = threading.Barrier(20)

    def ask() -> str:
        barrier.wait()
        return name_of_shop(shop_id)

    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(db.for_thread(ask)) for _ in range(20)]
        assert {each.result(60) for each in waiting} == {"Ours of Athens"}
    assert connected.calls("refresh_token") == 1
    assert connected.calls("Shop") == 20
    assert [call["status"] for call in connected.shopify.calls()] == [200] * 22, "and none had a stale token"


def test_twenty_whose_token_shopify_refused_make_one_refresh(connected: Connected) -> None:
    """Shopify ended the token early: all meet a 401, and one of them renews it."""
    shop_id = connected.install().shop_id
    clients = [service.client(shop_id) for _ in range(20)]
    connected.shopify.advance(3601)
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(db.for_thread(client.run), "shop") for client in clients]
        assert all(each.result(60)["shop"] for each in waiting)
    assert connected.calls("refresh_token") == 1


def test_no_connection_is_held_while_shopify_takes_its_time(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    held: list[int] = []
    refresh = oauth.refresh

    def watched(shop: str, refresh_token: str) -> Tokens:
        held.append(db.engine().pool.checkedout())  # type: ignore[attr-defined]  # the QueuePool of this engine
        return refresh(shop, refresh_token)

    monkeypatch.setattr(oauth, "refresh", watched)
    service.client(shop_id)
    assert held == [0]


def test_access_is_not_asked_for_with_a_transaction_open(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    client = service.client(shop_id)
    with transaction():
        queries.get_shop(shop_id)
        with pytest.raises(RuntimeError, match="transaction open"):
            service.client(shop_id)
        with pytest.raises(RuntimeError, match="transaction open"):
            client.run("shop")
    assert connected.calls("Shop") == 0


def test_while_one_renews_the_others_go_on_with_the_token_as_long_as_it_lasts(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected, 3400)
    with transaction():
        assert claiming.claim(shop_id, _generation(shop_id)) is not None
    assert name_of_shop(shop_id) == "Ours of Athens"
    assert connected.calls("refresh_token") == 0


def test_who_waits_for_another_in_vain_can_come_again(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    monkeypatch.setattr(access, "_PATIENCE", 0.0)
    with transaction():
        assert claiming.claim(shop_id, _generation(shop_id)) is not None
    assert refuses(shop_id) == "access_busy"


def test_tokens_that_were_replaced_meanwhile_are_not_claimed(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    with transaction():
        assert claiming.claim(shop_id, _generation(shop_id) - 1) is None


def test_a_claim_whose_holder_died_before_the_call_ends_by_itself(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    with transaction():
        assert claiming.claim(shop_id, _generation(shop_id)) is not None
    with clock.frozen_at(clock.now() + claiming.lease() + timedelta(seconds=1)):
        service.client(shop_id)
    assert connected.calls("refresh_token") == 1


def test_a_death_between_shopifys_answer_and_our_record_loses_nothing(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pair that came is gone; the refresh token in the row was used, and is good until its replacement is."""
    shop_id = connected.install().shop_id
    let_expire(connected)
    with monkeypatch.context() as dying:
        dying.setattr(claiming, "until_recorded", _die)
        with pytest.raises(_KilledError):
            service.client(shop_id)
    assert connected.calls("refresh_token") == 1
    with clock.frozen_at(clock.now() + claiming.lease() + timedelta(seconds=1)):
        assert name_of_shop(shop_id) == "Ours of Athens"
    assert connected.calls("refresh_token") == 2


_KILLED_BEFORE_IT_RECORDS = """
import os, signal, sys
from blossom.app import create_app
from blossom.shops import service
from blossom.shops.service import claiming

claiming.until_recorded = lambda write: os.kill(os.getpid(), signal.SIGKILL)
with create_app().app_context():
    service.client(int(sys.argv[1]))
"""


def test_a_process_killed_between_shopifys_answer_and_its_record_loses_nothing(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_BEFORE_IT_RECORDS, str(shop_id)], env=connected.environment(), timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert connected.calls("refresh_token") == 1
    with clock.frozen_at(clock.now() + claiming.lease() + timedelta(seconds=1)):
        assert name_of_shop(shop_id) == "Ours of Athens"
    assert connected.calls("refresh_token") == 2


def test_where_shopify_keeps_no_used_token_a_merchants_visit_mends_it(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected.shopify.configure(refresh_retries=False)
    shop_id = connected.install().shop_id
    let_expire(connected)
    with monkeypatch.context() as dying:
        dying.setattr(claiming, "until_recorded", _die)
        with pytest.raises(_KilledError):
            service.client(shop_id)
    with clock.frozen_at(clock.now() + claiming.lease() + timedelta(seconds=1)):
        assert refuses(shop_id) == "access_lost"
        assert refuses(shop_id) == "access_lost"
    assert connected.calls("refresh_token") == 2, "a token that was refused is not tried again and again"
    assert not connected.installation().has_access
    connected.install()
    assert connected.installation().has_access
    assert name_of_shop(shop_id) == "Ours of Athens"


def test_an_installation_that_ended_unheard_is_mended_by_the_next_visit(connected: Connected) -> None:
    """The app was taken out and put in again, and the webhook that told of it never came: both tokens are dead."""
    shop_id = connected.install().shop_id
    connected.shopify.behave_webhooks(lost=1.0)
    connected.shopify.uninstall(OURS)
    connected.shopify.install(OURS)
    with pytest.raises(ShopifyError) as caught:
        name_of_shop(shop_id)
    assert caught.value.code == "access_lost"
    assert not connected.installation().has_access, "or a visit would find nothing to mend"
    connected.install()
    assert name_of_shop(shop_id) == "Ours of Athens"


def test_a_dead_token_that_came_without_another_is_mended_by_the_next_visit(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    with transaction():
        found = queries.installation(shop_id)
        assert found is not None
        found.refresh_token = found.access_expires_at = found.refresh_expires_at = None
    connected.shopify.behave_webhooks(lost=1.0)
    connected.shopify.uninstall(OURS)
    connected.shopify.install(OURS)
    with pytest.raises(ShopifyError) as caught:
        name_of_shop(shop_id)
    assert caught.value.code == "access_lost"
    assert not connected.installation().has_access, "or a visit would find nothing to mend"
    connected.install()
    assert name_of_shop(shop_id) == "Ours of Athens"


@pytest.mark.parametrize("kind", ["503", "timeout", "429", "garbage"])
def test_after_a_refresh_that_failed_nobody_tries_for_a_moment(connected: Connected, kind: str) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    connected.shopify.fail({"kind": kind, "area": "oauth", "next": 1})
    failed = connected.calls("refresh_token")
    with pytest.raises(ShopifyError):
        service.client(shop_id)
    assert connected.installation().claimed_until is not None
    with clock.frozen_at(clock.now() + claiming.COOL_DOWN + timedelta(seconds=1)):
        service.client(shop_id)
    assert connected.calls("refresh_token") == failed + 2


def test_a_refresh_that_failed_does_not_matter_while_the_token_lasts(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected, 3400)
    connected.shopify.fail({"kind": "503", "area": "oauth", "next": 1})
    assert name_of_shop(shop_id) == "Ours of Athens"
    assert connected.calls("refresh_token") == 1


def test_a_refusal_of_our_own_credentials_costs_no_shop_its_access(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    connected.shopify.configure(secret="another")
    assert refuses(shop_id) == "app_refused"
    connected.shopify.configure(secret="the-secret")
    with clock.frozen_at(clock.now() + claiming.COOL_DOWN + timedelta(seconds=1)):
        service.client(shop_id)


def test_an_uninstall_that_comes_during_a_refresh_stands(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    shop_id = connected.install().shop_id
    let_expire(connected)
    refresh = oauth.refresh

    def meanwhile(shop: str, refresh_token: str) -> Tokens:
        tokens = refresh(shop, refresh_token)
        with transaction():
            service.uninstall(shop_id)
        return tokens

    monkeypatch.setattr(oauth, "refresh", meanwhile)
    assert refuses(shop_id) == "not_installed"
    assert connected.token() is None


def test_to_read_is_no_news_beside_to_write(connected: Connected) -> None:
    """Tokens come with `write_customers` alone, a webhook may name both: nothing is renewed for that."""
    shop_id = connected.install().shop_id
    held = connected.installation().scopes
    for named in ({*held, "read_customers"}, {*held} - {"read_customers"}):
        with transaction():
            assert not service.note_scopes(shop_id, named, changed_at=clock.now())
    service.client(shop_id)
    assert connected.calls("refresh_token") == 0
    assert connected.installation().scopes == held


def test_scopes_that_are_granted_during_a_refresh_stand(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    connected.shopify.install(OURS, ["read_customers"])
    shop_id = connected.install().shop_id
    let_expire(connected)
    granted, refresh = ["read_customers", "write_customers"], oauth.refresh

    def meanwhile(shop: str, refresh_token: str) -> Tokens:
        tokens = refresh(shop, refresh_token)
        connected.shopify.install(OURS, granted)
        with transaction():
            service.note_scopes(shop_id, granted, changed_at=clock.now())
        return tokens

    with monkeypatch.context() as moment:
        moment.setattr(oauth, "refresh", meanwhile)
        service.client(shop_id)
    assert connected.installation().scopes == granted
    client = service.client(shop_id)
    client.run("customer_create", phone="+306912345678", marketingState="SUBSCRIBED")
    assert connected.calls("refresh_token") == 2, "the token of before has the scopes of before"


def test_another_shops_token_is_never_given(connected: Connected) -> None:
    connected.install()
    with transaction():
        theirs = service.create_shop(domain="theirs.myshopify.com", name="Theirs", sender="Theirs").id
    assert refuses(theirs) == "not_installed"
    assert refuses(10**9) == "not_installed"


# The daily job


def _generation(shop_id: int) -> int:
    found = queries.installation(shop_id)
    assert found is not None
    return found.generation


def test_access_that_nobody_uses_is_kept_alive(connected: Connected) -> None:
    connected.install()
    assert service.renew_expiring() == 0
    with clock.frozen_at(clock.now() + timedelta(days=77)):
        connected.shopify.advance(77 * 86_400)
        assert service.renew_expiring() == 1
        assert service.renew_expiring() == 0
    assert connected.calls("refresh_token") == 1


def test_the_daily_job_tries_lost_access_once_more_and_goes_on_after_a_failure(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    with transaction():
        found = queries.installation(shop_id)
        assert found is not None
        found.access_lost_at = clock.now()
    connected.shopify.fail({"kind": "503", "area": "oauth", "next": 1})
    assert service.renew_expiring() == 0
    with clock.frozen_at(clock.now() + claiming.COOL_DOWN + timedelta(seconds=1)):
        assert service.renew_expiring() == 1
    assert connected.installation().has_access


def test_shops_that_left_are_not_renewed(connected: Connected) -> None:
    shop_id = connected.install().shop_id
    with transaction():
        service.uninstall(shop_id)
    with clock.frozen_at(clock.now() + timedelta(days=80)):
        assert service.renew_expiring() == 0
    assert connected.calls("refresh_token") == 0
    assert connected.calls(EXCHANGE) == 1


class _KilledError(BaseException):
    """What a kill looks like to the code that it ends: nothing after it runs."""


def _die(_: object) -> None:
    raise _KilledError
