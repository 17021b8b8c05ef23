"""The clock: every host lives by the database's, whatever its own says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine
from structlog.testing import capture_logs

from blossom import worker
from blossom.platform import clock, db, queue

REAL = clock._host_time
LITTLE = timedelta(seconds=1)
SetHost = Callable[[timedelta], None]


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    clock.forget()
    yield
    clock.forget()


@pytest.fixture
def host_is(monkeypatch: pytest.MonkeyPatch) -> SetHost:
    """Let this host's clock be ahead by so much. (The database's is the machine's.)"""

    def be_ahead(by: timedelta) -> None:
        monkeypatch.setattr(clock, "_host_time", lambda: REAL() + by)

    return be_ahead


@pytest.fixture
def a_minute_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(clock, "_follow_at", 0.0)


@pytest.fixture
def engine(committed_app: Flask) -> Engine:
    return db.engine()


def wrong_by() -> timedelta:
    return abs(clock.now() - REAL())


@pytest.mark.parametrize("ahead", [timedelta(seconds=20), timedelta(hours=1), timedelta(hours=-3)])
def test_a_host_whose_clock_is_wrong_lives_by_the_database_s(
    engine: Engine, host_is: SetHost, ahead: timedelta
) -> None:
    host_is(ahead)
    assert wrong_by() > 10 * LITTLE
    with capture_logs():
        assert clock.follow(engine)
    assert wrong_by() < LITTLE


def test_it_follows_a_clock_that_is_set_but_asks_once_a_minute(
    engine: Engine, host_is: SetHost, a_minute_later: Callable[[], None]
) -> None:
    assert clock.follow(engine)
    host_is(timedelta(seconds=30))
    assert clock.follow(engine)
    assert wrong_by() > 20 * LITTLE, "not asked again yet"
    a_minute_later()
    with capture_logs():
        assert clock.follow(engine)
    assert wrong_by() < LITTLE


@pytest.mark.parametrize(
    ("ahead", "level"), [(1, None), (-4, None), (6, "warning"), (-30, "warning"), (61, "error"), (-7200, "error")]
)
def test_a_host_that_is_far_off_is_told_of(engine: Engine, host_is: SetHost, ahead: int, level: str | None) -> None:
    host_is(timedelta(seconds=ahead))
    with capture_logs() as told:
        clock.follow(engine)
    assert [(entry["log_level"], round(entry["seconds"])) for entry in told] == ([(level, -ahead)] if level else [])


def test_without_a_database_the_last_measurement_holds(
    engine: Engine, host_is: SetHost, a_minute_later: Callable[[], None]
) -> None:
    nowhere = create_engine("postgresql+psycopg://127.0.0.1:1/none")
    with capture_logs() as told:
        assert not clock.follow(nowhere)
        a_minute_later()
        host_is(timedelta(hours=1))
        assert clock.follow(engine)
        a_minute_later()
        assert clock.follow(nowhere)
    assert [entry["event"] for entry in told].count("clock.not_measured") == 2
    assert wrong_by() < LITTLE


def test_a_frozen_clock_stands_still_whatever_was_measured(engine: Engine, host_is: SetHost) -> None:
    moment = datetime(2026, 11, 20, 12, tzinfo=UTC)
    host_is(timedelta(hours=1))
    with capture_logs(), clock.frozen_at(moment):
        clock.follow(engine)
        assert clock.now() == moment
    assert wrong_by() < LITTLE


# How it is measured


class Host:
    """A host and a database 100 s ahead, with round trips that take as long as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, trips: list[tuple[float, float]]) -> None:
        self.passed, self.trips = 0.0, iter(trips)
        monkeypatch.setattr(clock, "_host_time", lambda: datetime(2026, 1, 1, tzinfo=UTC) + self.elapsed)
        monkeypatch.setattr("time.monotonic", lambda: self.passed)

    @property
    def elapsed(self) -> timedelta:
        return timedelta(seconds=self.passed)

    def ask(self) -> datetime:
        there, back = next(self.trips)
        self.passed += there
        told = datetime(2026, 1, 1, tzinfo=UTC) + self.elapsed + timedelta(seconds=100)
        self.passed += back
        return told


def test_half_the_round_trip_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    offset, margin = clock.measure(Host(monkeypatch, [(2, 2)] * 3).ask)
    assert (offset, margin) == (timedelta(seconds=100), timedelta(seconds=2))


def test_of_several_round_trips_the_quickest_counts_and_is_wrong_by_no_more_than_its_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offset, margin = clock.measure(Host(monkeypatch, [(4, 0), (0.5, 0), (0, 9)]).ask)
    assert margin == timedelta(seconds=0.25)
    assert abs(offset - timedelta(seconds=100)) == timedelta(seconds=0.25)


def test_a_measurement_that_says_nothing_is_not_believed(
    engine: Engine, host_is: SetHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host_is(timedelta(hours=1))
    monkeypatch.setattr(clock, "measure", lambda _: (timedelta(hours=-1), timedelta(seconds=6)))
    with capture_logs() as told:
        assert not clock.follow(engine)
    assert [entry["event"] for entry in told] == ["clock.not_measured"]
    assert wrong_by() > timedelta(minutes=50)


# Who follows


def test_a_worker_follows_before_each_job_with_nothing_open(
    committed_app: Flask, host_is: SetHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[timedelta] = []
    monkeypatch.setattr(worker, "_app", lambda: committed_app)
    monkeypatch.setitem(queue.registered(), "test.look", lambda: seen.append(wrong_by()))
    host_is(timedelta(seconds=20))
    with capture_logs():
        worker.perform("test.look", {})
    assert seen[0] < LITTLE
    assert db.engine().pool.checkedout() == 0  # type: ignore[attr-defined]  # QueuePool's


def test_a_server_follows_in_the_background(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Engine] = []

    def follow(engine: Engine) -> bool:
        asked.append(engine)
        return True

    monkeypatch.setattr(clock, "follow", follow)
    monkeypatch.setattr("blossom.platform.stopping.wait", lambda _: len(asked) == 3)
    clock.follow_in_background(db.engine())
    for thread in [thread for thread in threading.enumerate() if thread.name == "clock"]:
        thread.join(10)
    assert asked == [db.engine()] * 3
