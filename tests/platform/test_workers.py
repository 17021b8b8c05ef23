"""Which processes `blossom worker` starts, and which queue each kind of work waits in."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from rq import SimpleWorker

from blossom import cli, schedule, supervisor, surroundings, worker
from blossom.platform import config, db, queue


@pytest.fixture
def started(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the processes that were started, none of them in truth."""
    settings = config.current()
    for name, value in (
        ("DATABASE_URL", str(settings.database_url)),
        ("REDIS_URL", str(settings.redis_url)),
        ("BLOSSOM_MASTER_KEYS", surroundings.new_master_key_text(1)),
        ("BLOSSOM_LANES", "3"),
    ):
        monkeypatch.setenv(name, value)
    names: list[str] = []

    def supervise(children: Sequence[supervisor.Child]) -> None:
        assert worker._app.cache_info().currsize == 1, "it is set up before it is forked"
        for child in children:
            assert isinstance(child, supervisor.Fork)
            name = child.name.removeprefix("worker:")
            child.run()  # here: what the fork would do
            assert names.pop() == f"here: {name}"
            names.append(name)

    monkeypatch.setattr(supervisor, "supervise", supervise)
    worker._app.cache_clear()
    monkeypatch.setattr(worker, "create_app", lambda _: app)
    monkeypatch.setattr(worker, "work", lambda name, burst=False: names.append(f"here: {name}"))
    return names


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, ["worker", *arguments])


def test_told_nothing_it_serves_every_queue_and_prepares_two_campaigns_at_once(started: list[str]) -> None:
    assert run().exit_code == 0
    others = ["receipts", "default", "prepare", "prepare", "slow", "questions", "shopify", "sync"]
    assert started == ["send"] * 3 + others


def test_one_queue_is_served_in_this_very_process(started: list[str]) -> None:
    assert run("--queue", "slow").exit_code == 0
    assert started == ["here: slow"]


def test_several_are_served_by_a_process_each(started: list[str]) -> None:
    assert run("--queue", "send", "--queue", "receipts", "--queue", "send").exit_code == 0
    assert started == ["send", "receipts", "send"]


@pytest.mark.parametrize("arguments", [["--queue", "send"] * 4, ["--burst"], ["--burst", *["--queue", "slow"] * 2]])
def test_what_contradicts_itself_is_refused(started: list[str], arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2
    assert started == []


def test_a_worker_that_is_forked_takes_no_connection_along(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes on one connection would read each other's answers."""
    worker._app.cache_clear()
    monkeypatch.setattr(config.Config, "from_environment", lambda: config.current())
    worker.get_ready()
    made = worker._app()
    worker._app.cache_clear()
    with made.app_context():
        assert db.engine().pool.checkedin() == db.engine().pool.checkedout() == 0  # type: ignore[attr-defined]  # QueuePool's
    assert queue.connection().connection_pool._available_connections == []


@pytest.mark.parametrize(
    ("name", "asking"),
    [
        ("questions", {"messaging.ask_about_orphans", "messaging.refresh_unanswered", "campaigns.refresh"}),
        ("shopify", {"inbound.ask_shopify", "customers.push_consent"}),
        (
            "sync",
            {
                "customers.run_imports",
                "customers.run_segments",
                "customers.compare",
                "shops.describe_new",
                "shops.renew_expiring",
            },
        ),
    ],
)
def test_nothing_that_asks_outside_shares_a_queue_with_other_periodic_work(name: str, asking: set[str]) -> None:
    """Mitto or Shopify taking 20 s for an answer keeps nobody but the next question of the same one waiting."""
    queues = {job.name: job.queue for job in schedule.JOBS}
    assert {queues.pop(each) for each in asking} == {name}
    assert not {name, "prepare", "send"} & set(queues.values())
    assert {name, "prepare"} <= set(queue.QUEUES)


def test_a_worker_looks_every_few_seconds_whether_redis_is_back() -> None:
    """RQ doubles its pause at each look, up to this; the next one may call it otherwise."""
    assert worker.Worker.max_connection_wait_time <= 5 < SimpleWorker.max_connection_wait_time
