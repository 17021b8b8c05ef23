"""Valkey and Postgres go away in the middle of a campaign, hang, crash and come back: everything is sent, once.

A whole installation (web, workers, clock) over servers of its own lives through all of it; nobody starts any process
of it again by hand. The stand-in posts its receipts to that web process, and its log is the judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
import requests
from sqlalchemy import text

from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.platform import config, db
from blossom.sandbox.mitto.process import StandIn
from blossom.shops import service as shops
from blossom.shops.models import Shop
from tests.factories.campaigns import create_campaign
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.faults.crowds import subscribe
from tests.faults.processes import Forks, Process, until
from tests.faults.servers import OwnServers, a_free_port, app_over, own_servers
from tests.inbound.conftest import SECRET
from tests.messaging.conftest import CREDITS, Outbox, mitto, mitto_process

__all__ = ["mitto", "mitto_process"]

pytestmark = pytest.mark.faults

BATCH = 25
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
def installed(mitto_process: StandIn) -> Iterator[Installation]:
    with own_servers() as servers, app_over(servers):
        own = config.current()
        config.use(replace(own, mitto_api_url=mitto_process.url, mitto_batch_size=BATCH))
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
        forks = Forks()
        try:
            for command in (("web", "--port", str(port)), ("worker",), ("clock",)):
                made.processes.append(Process(*command, forks=forks, **settings))
            until(lambda: answers(f"{made.url}/healthz"), "the web process answers")
            yield made
        finally:
            for process in made.processes:
                process.end()
            forks.end()


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
    log = [each["destination"] for each in sendings[0].outbox.mitto.log()]
    assert sorted(log) == sorted(phone for each in sendings for phone in each.phones)
    for each in sendings:
        assert each.outbox.states(each.dispatch()) == dict.fromkeys(each.phones, MessageState.DELIVERED)
        each.outbox.check_books(each.dispatch())


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
        lambda: len(attempts("calling")) == 2 and taken()["texts"] == running.sent() + 2 * BATCH, "two in their calls"
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
