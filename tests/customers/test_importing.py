"""The first import, by a bulk operation of the stand-in's: what it brings, and what stops it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from blossom.consent import service as consent
from blossom.consent.rules import Source, State
from blossom.contacts import service as contacts
from blossom.customers import jobs, rules, service
from blossom.customers.models import CustomerGone, CustomerImport
from blossom.customers.rules import ImportState, Progress
from blossom.customers.service import importing
from blossom.platform import crypto, queue
from blossom.platform.db import session, transaction
from blossom.shopify.client import ShopifyClient
from tests.customers.conftest import OTHER_PHONE, PHONE, Shop
from tests.faults.processes import Process, until
from tests.shops.conftest import OURS

SUBSCRIBED = {"state": "SUBSCRIBED", "updated_at": "2026-01-01T00:00:00+00:00"}
CROWD = 2_500
BEGUN = "BulkOperationRunQuery"


class KilledError(BaseException):
    """As a SIGKILL: nothing of ours runs after it but what undoes the transaction."""


def die_after(chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the next chunk after so many."""
    store, left = importing._store, iter(range(chunks, -1, -1))

    def store_or_die(*given: Any) -> None:
        store(*given)
        if next(left) == 0:
            raise KilledError

    monkeypatch.setattr(importing, "_store", store_or_die)


def adds_up(progress: Progress) -> bool:
    kinds = (progress.created, progress.updated, progress.unchanged, progress.older)
    return progress.lines_read == sum(kinds) + progress.without_phone + progress.refused


def test_installing_asks_for_the_import_and_customers_become_contacts_with_their_consent(shop: Shop) -> None:
    eleni = shop.add(first_name="Eleni", phone=PHONE, consent=SUBSCRIBED)
    nikos = shop.add(first_name="Nikos", phone=OTHER_PHONE)
    shop.add(first_name="Maria", email="maria@example.com")
    shop.add(first_name="Cat", phone="+30123456")
    assert [(str(job.description), job.args[1]) for job in queue.rq_queue("sync").jobs] == [
        ("customers.ask_import", {"shop_id": shop.id})
    ]
    jobs.ask_import(shop.id)
    done = shop.finish()
    assert (done.state, done.fault, done.lines_total) == (ImportState.COMPLETED, None, 4)
    assert shop.contacts() == {PHONE: eleni, OTHER_PHONE: nikos}
    assert (shop.state(PHONE), shop.state(OTHER_PHONE)) == (State.OPTED_IN, State.NEVER_SUBSCRIBED)
    assert (done.created, done.without_phone, done.refused) == (2, 1, 1)
    assert list(done.refused_by_code.values()) == [1]
    assert adds_up(done)


def test_an_import_whose_job_was_lost_at_install_is_asked_for_by_the_next_turn_and_once(shop: Shop) -> None:
    queue.connection().flushdb()
    assert (service.ask_for_owed(), service.ask_for_owed()) == (1, 0)
    shop.finish()
    assert service.ask_for_owed() == 0


def test_a_shop_has_one_import_at_a_time(shop: Shop) -> None:
    shop.ask()
    shop.ask()
    first = shop.finish()
    shop.ask()
    assert shop.finish().import_id > first.import_id
    assert shop.connected.calls(BEGUN) == 2


def test_who_opted_out_here_is_not_opted_in_by_what_shopify_says(shop: Shop) -> None:
    shop.add(phone=PHONE, consent={"state": "SUBSCRIBED"})
    with transaction():
        consent.opt_out(shop.id, crypto.for_shop(shop.id).lookup(PHONE), source=Source.KEYWORD)
    shop.ask()
    shop.finish()
    assert shop.state() is State.OPTED_OUT


def test_a_second_import_of_the_same_customers_changes_nothing(shop: Shop) -> None:
    shop.add(phone=PHONE, consent=SUBSCRIBED)
    for _ in range(2):
        shop.ask()
        done = shop.finish()
    assert (done.created, done.unchanged) == (0, 1)


@pytest.mark.parametrize("stand_in", [CROWD], indirect=True)
def test_after_a_death_between_chunks_the_next_worker_goes_on_where_it_stood(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        die_after(1, dying)
        shop.ask()
        with pytest.raises(KilledError):
            shop.finish()
    assert shop.progress().lines_read == importing.CHUNK_LINES
    done = shop.finish()
    assert (done.state, done.lines_read, done.created) == (ImportState.COMPLETED, CROWD, 2_250)
    assert (done.unchanged, done.without_phone) == (0, 250)
    assert adds_up(done)
    assert shop.connected.calls(BEGUN) == 1


@pytest.mark.parametrize("stand_in", [CROWD], indirect=True)
def test_a_file_that_is_gone_is_made_anew_and_read_from_its_first_line(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        die_after(1, dying)
        shop.ask()
        with pytest.raises(KilledError):
            shop.finish()
    shop.shopify.advance(8 * 86_400)
    again = shop.step()
    assert (again.state, again.lines_read) == (ImportState.ASKED, 0)
    done = shop.finish()
    assert (done.state, done.created, done.unchanged) == (ImportState.COMPLETED, 1_350, 900)
    assert adds_up(done)
    assert shop.connected.calls(BEGUN) == 2


@pytest.mark.parametrize("stand_in", [CROWD], indirect=True)
def test_a_turn_that_has_lasted_long_enough_leaves_the_rest_to_the_next(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "AT_A_TIME_SECONDS", 0.01)
    shop.ask()
    done = shop.finish()
    assert (done.state, done.lines_read, done.created) == (ImportState.COMPLETED, CROWD, 2_250)
    assert shop.connected.calls("download") == 3


@pytest.mark.parametrize("stand_in", [CROWD], indirect=True)
def test_over_a_slow_line_a_turn_goes_on_behind_what_was_done_and_keeps_it_in_hand(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as brief:
        brief.setattr(importing, "AT_A_TIME_SECONDS", 0.01)
        shop.ask()
        until(lambda: shop.step().lines_read, "the first chunk", 60)
    monkeypatch.setattr(importing, "LINES_PASSED_IN_HAND", 100)
    elapsed, download = [0.0], ShopifyClient.download

    def slowly(client: ShopifyClient, url: str) -> Iterator[bytes]:
        """Up to where we stood, a hundred lines take longer than a turn, and nearly as long as nobody takes over."""
        for number, line in enumerate(download(client, url)):
            if number % 100 == 50 and number < importing.CHUNK_LINES:
                elapsed[0] += importing.AT_A_TIME_SECONDS + 1
                later = CustomerImport.in_hand_until - (rules.IN_HAND - timedelta(seconds=10))
                with transaction():
                    session.execute(update(CustomerImport).values(in_hand_until=later))
                assert service.run_imports() == 0, "another worker has nothing to do"
            yield line

    monkeypatch.setattr(importing, "time", SimpleNamespace(monotonic=lambda: elapsed[0]))
    monkeypatch.setattr(ShopifyClient, "download", slowly)
    done = shop.step()
    assert (done.state, done.lines_read) == (ImportState.COMPLETED, CROWD)


@pytest.mark.parametrize("stand_in", [20_000], indirect=True)
def test_a_process_that_is_killed_is_followed_by_another(shop: Shop) -> None:
    command = ("shop", "sync", OURS)
    first = Process(*command, forks=None, **shop.connected.environment())
    try:
        shop.ask()
        until(lambda: shop.progress().lines_read, "the first chunk")
    finally:
        first.end()  # by SIGKILL
    stood = shop.progress()
    assert stood.is_open
    done = shop.finish()
    assert (done.state, done.lines_read) == (ImportState.COMPLETED, 20_000)
    assert (done.created, done.unchanged) == (18_000, 0)
    assert shop.connected.calls(BEGUN) == 1


@pytest.mark.parametrize("stand_in", [CROWD], indirect=True)
def test_a_worker_that_was_thought_dead_writes_nothing_more(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chunk_of = rules.chunk_of
    others: list[int] = []

    def chunk_while_another_comes(lines: Any, read: Any) -> Any:
        chunk = chunk_of(lines, read)
        if not others:
            others.append(1)
            with monkeypatch.context() as dying:
                die_after(1, dying)
                with pytest.raises(KilledError):
                    shop.step()
        return chunk

    monkeypatch.setattr(rules, "chunk_of", chunk_while_another_comes)
    shop.ask()
    done = shop.finish()
    assert others == [1]
    assert (done.state, done.lines_read, done.created) == (ImportState.COMPLETED, CROWD, 2_250)
    assert "customers.import_taken_over" in caplog.text


def test_an_export_whose_answer_got_lost_is_found_again(shop: Shop) -> None:
    shop.shopify.behave_bulk(seconds=1.0)
    shop.shopify.fail({"kind": "timeout", "area": "graphql", "operation": BEGUN, "next": 1, "done": True})
    shop.add(phone=PHONE)
    shop.ask()
    assert shop.step().fault == "outcome_unknown"
    assert shop.finish().state is ImportState.COMPLETED
    assert shop.connected.calls(BEGUN) == 1


def test_an_export_that_failed_is_begun_again_and_not_for_ever(shop: Shop) -> None:
    shop.shopify.behave_bulk(fail="INTERNAL_SERVER_ERROR", next=2)
    shop.ask()
    assert shop.finish().state is ImportState.COMPLETED
    shop.shopify.behave_bulk(fail="INTERNAL_SERVER_ERROR", next=100)
    shop.ask()
    done = shop.finish()
    assert (done.state, done.fault) == (ImportState.FAILED, "export_failed")


def test_what_the_app_may_not_see_ends_the_import_and_says_so(shop: Shop) -> None:
    shop.shopify.configure(protected_data=[])
    shop.ask()
    done = shop.finish()
    assert (done.state, done.fault) == (ImportState.FAILED, "access_denied")


def test_redacted_phones_are_told_from_customers_without_any(shop: Shop) -> None:
    shop.shopify.configure(protected_data=["customers", "name"])
    shop.add(first_name="Eleni", phone=PHONE)
    shop.ask()
    assert shop.finish().nobody_is_seen


def test_a_customer_who_went_meanwhile_is_not_brought_back(shop: Shop) -> None:
    gone = shop.add(phone=PHONE)
    shop.ask()
    with transaction():
        service.note_gone(shop.id, gone)
        contacts.remove_customer(shop.id, gone)
    done = shop.finish()
    assert shop.contacts() == {}
    assert (done.created, done.older) == (0, 1)
    with transaction():
        assert session.scalars(select(CustomerGone)).all() == []


def test_shopify_s_word_that_the_export_has_ended_makes_the_next_look_come_at_once(shop: Shop) -> None:
    shop.shopify.behave_bulk(seconds=0.2)
    shop.ask()
    shop.step()
    operation = _operation()
    with transaction():
        assert not service.export_ended(shop.id, "gid://shopify/BulkOperation/0")
        assert service.export_ended(shop.id, operation)
    assert "customers.run_imports" in [str(job.description) for job in queue.rq_queue("sync").jobs]


def _operation() -> str:
    with transaction():
        query = select(CustomerImport.operation).where(CustomerImport.finished_at.is_(None))
        return str(session.scalars(query).one())
