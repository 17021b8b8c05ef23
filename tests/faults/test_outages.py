"""Valkey and Postgres go away in the middle of a campaign, hang, crash and come back: everything is sent, once.

A whole installation (web, workers, clock) over servers of its own lives through all of it; nobody starts any process
of it again by hand. The stand-in posts its receipts to that web process, and its log is the judge.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import requests
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from blossom.messaging import service
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.platform import clock, config, db
from blossom.sandbox.mitto.process import StandIn
from blossom.shops import service as shops
from blossom.shops.models import Shop
from tests.factories.campaigns import create_campaign
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.faults.crowds import subscribe
from tests.faults.judge import hear_of_all
from tests.faults.judge import judge as hold_against_log
from tests.faults.processes import Forks, Process, until
from tests.faults.servers import OwnServers, a_free_port, app_over, own_servers
from tests.inbound.conftest import SECRET
from tests.messaging.conftest import CREDITS, Outbox, mitto, mitto_process

__all__ = ["mitto", "mitto_process"]

pytestmark = pytest.mark.faults

BATCH = 25
CALLS = 2 * config.Config.lane_threads  # of two lanes, at once
CALL_SECONDS = 3.0
LEASE_SECONDS = 50  # more than one call with all its tries may take

_numbers = count(1)


@dataclass
class Sending:
    """A shop and its campaign to all of its people."""

    outbox: Outbox
    campaign_id: int
    key: str
    phones: list[str]

    @property
    def shop(self) -> Shop:
        return self.outbox.shop

    def dispatch(self) -> Dispatch:
        with db.transaction() as session:
            return session.query(Dispatch).filter_by(shop_id=self.shop.id).one()

    def sent(self) -> int:
        progress = self.outbox.progress(self.dispatch())
        return progress.sent + progress.delivered


@dataclass
class Installation:
    """Blossom's processes over servers of their own."""

    servers: OwnServers
    mitto: StandIn
    url: str
    processes: list[Process] = field(default_factory=list)

    def campaign(self, people: int) -> Sending:
        name = f"shop{next(_numbers)}"
        with db.transaction():
            shop = create_shop(domain=f"{name}.myshopify.com", name=name, sender=name)
            create_wallet(shop.id, CREDITS)
            campaign_id = create_campaign(shop).id
            _, key = shops.create_api_key(shop.id, "test", ("campaigns:read", "campaigns:send"))
        return Sending(Outbox(shop, self.mitto), campaign_id, key, subscribe(shop, people))

    def ask(self, method: str, path: str, sending: Sending) -> requests.Response:
        headers = {"Authorization": f"Bearer {sending.key}"}
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=30)

    def enqueue(self, sending: Sending) -> bool:
        """Click on Send. Whether it was taken; wholly, or not at all."""
        answer = self.ask("POST", f"/api/campaigns/{sending.campaign_id}/enqueue", sending)
        said = answer.json()
        if answer.status_code == 200:
            assert said["status"] == "sending"
            return True
        assert (answer.status_code, said["code"], answer.headers["Retry-After"]) == (503, "unavailable", "5")
        return False

    def output(self) -> str:
        return "\n".join(each.output()[-3_000:] for each in self.processes)


@pytest.fixture(scope="module")
def servers() -> Iterator[OwnServers]:
    with own_servers() as made:
        yield made


@pytest.fixture(scope="module")
def installed(servers: OwnServers, mitto_process: StandIn, forks: Forks) -> Iterator[Installation]:
    with app_over(servers, "installation"):
        config.use(replace(config.current(), mitto_api_url=mitto_process.url, mitto_batch_size=BATCH))
        port = a_free_port()
        made = Installation(servers, mitto_process, f"http://127.0.0.1:{port}")
        settings = {
            "BLOSSOM_LANES": "2",
            "BLOSSOM_LANE_SECONDS": "4",
            "BLOSSOM_ATTEMPT_LEASE_SECONDS": str(LEASE_SECONDS),
            "MITTO_TIMEOUT_SECONDS": str(CALL_SECONDS),
            "MITTO_TEXTS_PER_SECOND": "1000",  # so that each batch asks Valkey
            "MITTO_HMAC_SECRET": SECRET,
        }
        try:
            for command in (("web", "--port", str(port)), ("worker",), ("clock",)):
                made.processes.append(Process(*command, forks=forks, **settings))
            until(lambda: answers(f"{made.url}/healthz"), "the web process answers")
            yield made
        finally:
            for process in made.processes:
                process.end()


@pytest.fixture
def installation(installed: Installation, mitto: StandIn) -> Iterator[Installation]:
    installed.servers.all_run()
    receipts = {"url": f"{installed.url}/webhooks/mitto/dlr", "proof": {"hmac_secret": SECRET}, "array_size": 10}
    mitto.configure(receipts={**receipts, "tries": 100, "retry_seconds": 0.5})
    yield installed
    assert [each.name for each in installed.processes if not each.runs()] == [], installed.output()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.RequestException:
        return False


def rows(statement: str, **values: object) -> list[tuple[Any, ...]]:
    with db.transaction() as session:
        return [tuple(row) for row in session.execute(text(statement), values)]


def attempts(state: str) -> list[tuple[Any, ...]]:
    return rows("SELECT id FROM attempts WHERE state = :state ORDER BY id", state=state)


def is_delivered(sending: Sending) -> Callable[[], bool]:
    def delivered() -> bool:
        progress = sending.outbox.progress(sending.dispatch())
        return progress.state is DispatchState.COMPLETED and progress.delivered == len(sending.phones)

    return delivered


def judge(*sendings: Sending) -> None:
    """Everybody of each campaign was texted, once; it is shown, confirmed and paid so."""
    for each in sendings:
        verdict = hold_against_log(each.outbox, each.dispatch(), each.phones)
        assert verdict.states == dict.fromkeys(each.phones, MessageState.DELIVERED)
        assert verdict.taken == Counter(each.phones)


# --- a lane alone ---------------------------------------------------------------------------------------------------


def test_postgres_is_away_for_longer_than_a_lane_waits_with_what_it_knows(servers: OwnServers, mitto: StandIn) -> None:
    """What was in the air is shown as unconfirmed, and receipts tell the rest."""
    with app_over(servers, "lone") as app:
        own = replace(config.current(), mitto_api_url=mitto.url, mitto_batch_size=BATCH)
        config.use(replace(own, attempt_lease_seconds=2))
        with db.transaction():
            shop = create_shop()
            create_wallet(shop.id, CREDITS)
        outbox, phones = Outbox(shop, mitto), subscribe(shop, 3 * BATCH)
        dispatch = outbox.start()
        mitto.configure(latency=1.0)
        faults: list[BaseException] = []

        def lane() -> None:
            with app.app_context():
                try:
                    service.run_lane(seconds=30, worker="test")
                except OperationalError as fault:
                    faults.append(fault)

        running = threading.Thread(target=lane)
        running.start()
        until(lambda: mitto.summary()["texts"] == BATCH, "Mitto has the first batch")
        servers.postgres.kill()
        running.join(60)
        assert not running.is_alive()
        assert faults, "it has waited, and given up"
        servers.postgres.start()
        assert service.sweep(clock.now() + timedelta(seconds=3))["lost"] == 1
        mitto.configure(latency=0.0)
        outbox.run()

        verdict = hold_against_log(outbox, dispatch, phones)
        in_the_air = {each["destination"] for each in mitto.log()[:BATCH]}
        assert verdict.among(MessageState.UNCONFIRMED) == in_the_air
        assert verdict.among(MessageState.SENT) == set(phones) - in_the_air
        hear_of_all(outbox)
        assert hold_against_log(outbox, dispatch, phones).states == dict.fromkeys(phones, MessageState.DELIVERED)


# --- Valkey ---------------------------------------------------------------------------------------------------------


def test_valkey_hangs_and_then_is_gone_for_twenty_seconds(installation: Installation) -> None:
    valkey = installation.servers.valkey
    installation.mitto.configure(latency=0.25)
    running = installation.campaign(people=1_000)
    assert installation.enqueue(running)
    until(lambda: running.sent() > 50, "it is being sent")

    valkey.hang()
    while_hanging = installation.campaign(people=60)
    assert installation.enqueue(while_hanging), "the row is the truth, Redis is a nudge"  # 4 s: two of its time-outs
    valkey.wake()

    until(lambda: running.sent() > 100, "it goes on")
    valkey.kill()
    killed = time.monotonic()
    while_gone = installation.campaign(people=60)
    assert installation.enqueue(while_gone)
    assert installation.ask("GET", f"/api/campaigns/{running.campaign_id}/progress", running).status_code == 200
    time.sleep(max(0.0, 20 - (time.monotonic() - killed)))
    valkey.start()
    back = time.monotonic()

    for each in (running, while_hanging, while_gone):
        until(is_delivered(each), f"all of {each.shop.name}'s are sent\n{installation.output()}")
    judge(running, while_hanging, while_gone)
    assert time.monotonic() - back < 30, "nobody waited for a minute to look again"


# --- Postgres -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "kill", "kill_a_session"])
def test_postgres_is_restarted_while_two_lanes_are_in_calls(installation: Installation, how: str) -> None:
    """In good order, by a crash with a recovery, and by the crash of a single session, which ends all of them."""
    postgres = installation.servers.postgres
    installation.mitto.configure(latency=1.0)
    running, late = installation.campaign(people=400), installation.campaign(people=30)
    assert installation.enqueue(running)
    taken = installation.mitto.summary
    until(
        lambda: len(attempts("calling")) == CALLS and taken()["texts"] == running.sent() + CALLS * BATCH,
        "all threads of both lanes are in their calls",
    )
    in_the_air = attempts("calling")

    getattr(postgres, how)()
    if how != "kill_a_session":
        assert not installation.enqueue(late), "it says that it can't"
        time.sleep(2.5)  # the answers come meanwhile, and nobody can write them down
        postgres.start()
    until(lambda: answers(f"{installation.url}/readyz"), "all is back")
    assert rows("SELECT id FROM dispatches WHERE shop_id = :shop_id", shop_id=late.shop.id) == []
    assert installation.enqueue(late)

    until(lambda: set(in_the_air) <= set(attempts("recorded")), "what was in the air is written down")
    installation.mitto.configure(latency=0.0)
    for each in (running, late):
        until(is_delivered(each), f"all of {each.shop.name}'s are sent\n{installation.output()}")
    judge(running, late)
