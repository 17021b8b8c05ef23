"""The clock: each turn is had once, however many clocks there are, and the rows follow the table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from blossom.platform import clock, db, periodic, queue, stopping
from blossom.platform.db import session, transaction
from blossom.platform.periodic import Periodic

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SWEEP = Periodic("test.sweep", timedelta(seconds=5))
COUNT = Periodic("test.count", timedelta(minutes=3), queue="slow", kwargs={"deep": True})
TABLE = (SWEEP, COUNT)


@pytest.fixture(autouse=True)
def _not_asked_to_stop() -> Iterator[None]:
    stopping.forget()
    yield
    stopping.forget()


def rows() -> dict[str, datetime]:
    found = session.execute(text("SELECT name, due_at FROM periodic_turns")).all()
    return {row.name: row.due_at for row in found}


def waiting(name: str = "default") -> list[tuple[str, dict[str, object]]]:
    return [(job.args[0], job.args[1]) for job in queue.rq_queue(name).jobs]


def reconcile_at(moment: datetime, table: tuple[Periodic, ...] = TABLE) -> None:
    with clock.frozen_at(moment):
        periodic.reconcile(table)


# The table and the rows


def test_new_jobs_are_due_at_once_and_dropped_ones_go(app: Flask) -> None:
    reconcile_at(NOW)
    assert rows() == {"test.sweep": NOW, "test.count": NOW}
    reconcile_at(NOW + timedelta(hours=1), (COUNT, Periodic("test.new", timedelta(days=1))))
    assert rows() == {"test.count": NOW, "test.new": NOW + timedelta(hours=1)}


def test_a_job_that_was_there_keeps_its_turn(app: Flask) -> None:
    reconcile_at(NOW)
    periodic.tick(TABLE, NOW)
    before = rows()
    reconcile_at(NOW + timedelta(seconds=1))
    assert rows() == before


# Turns


def test_a_job_that_is_due_is_enqueued_and_due_again_after_its_time(app: Flask) -> None:
    reconcile_at(NOW)
    assert periodic.tick(TABLE, NOW) == ["test.sweep", "test.count"]
    queue.flush()
    assert waiting() == [("test.sweep", {})]
    assert waiting("slow") == [("test.count", {"deep": True})]
    assert rows() == {"test.sweep": NOW + SWEEP.every, "test.count": NOW + COUNT.every}


def test_before_its_time_it_is_left_alone(app: Flask) -> None:
    reconcile_at(NOW)
    periodic.tick(TABLE, NOW)
    assert periodic.tick(TABLE, NOW + timedelta(seconds=4.9)) == []
    assert periodic.tick(TABLE, NOW + timedelta(seconds=5)) == ["test.sweep"]


def test_a_clock_that_was_down_makes_up_for_nothing(app: Flask) -> None:
    reconcile_at(NOW)
    late = NOW + timedelta(hours=2)
    assert periodic.tick((SWEEP,), late) == ["test.sweep"]
    assert periodic.tick((SWEEP,), late + timedelta(seconds=1)) == []


def test_a_job_that_still_waits_is_not_enqueued_again(app: Flask) -> None:
    reconcile_at(NOW)
    for second in range(0, 60, 5):
        assert "test.sweep" in periodic.tick(TABLE, NOW + timedelta(seconds=second))
        queue.flush()
    assert waiting() == [("test.sweep", {})]


def test_a_turn_that_is_not_committed_is_still_to_be_had(committed_app: Flask) -> None:
    with transaction():
        reconcile_at(NOW)
    with pytest.raises(ZeroDivisionError), transaction():
        _tick_and_fail()
    assert waiting() == []
    with transaction():
        assert periodic.tick((SWEEP,), NOW) == ["test.sweep"]
    assert waiting() == [("test.sweep", {})]


def _tick_and_fail() -> None:
    periodic.tick((SWEEP,), NOW)
    raise ZeroDivisionError


@pytest.mark.parametrize("ahead", [timedelta(seconds=20), timedelta(hours=1)])
def test_a_turn_that_a_clock_of_wrong_time_took_stops_nothing(app: Flask, ahead: timedelta) -> None:
    reconcile_at(NOW)
    assert periodic.tick((SWEEP,), NOW + ahead) == ["test.sweep"]  # and dies
    assert periodic.tick((SWEEP,), NOW) == ["test.sweep"]
    assert rows()["test.sweep"] == NOW + SWEEP.every


def test_clocks_that_differ_by_a_little_have_each_turn_once(app: Flask) -> None:
    reconcile_at(NOW)
    assert periodic.tick((SWEEP,), NOW + timedelta(seconds=1)) == ["test.sweep"]
    assert periodic.tick((SWEEP,), NOW) == []


# Several clocks


def test_of_many_clocks_ticking_at_once_one_has_each_turn(committed_app: Flask) -> None:
    clocks, turns = 4, 25
    with transaction():
        reconcile_at(NOW)
    had: list[list[tuple[int, str]]] = [[] for _ in range(clocks)]
    together = threading.Barrier(clocks)

    def one_clock(number: int) -> None:
        with committed_app.app_context():
            for turn in range(turns):
                together.wait(timeout=30)
                with transaction():
                    taken = periodic.tick(TABLE, NOW + turn * COUNT.every)
                had[number] += [(turn, name) for name in taken]

    threads = [threading.Thread(target=one_clock, args=(number,)) for number in range(clocks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    expected = [(turn, name) for turn in range(turns) for name in ("test.count", "test.sweep")]
    assert sorted(entry for one in had for entry in one) == expected


def test_the_second_clock_waits_for_the_first_and_then_finds_the_turn_taken(committed_app: Flask) -> None:
    """The conditional UPDATE, seen from inside: the other has ticked, and not committed yet."""
    with transaction():
        reconcile_at(NOW)
    taken: list[list[str]] = []

    def other_clock() -> None:
        with committed_app.app_context(), transaction():
            taken.append(periodic.tick((SWEEP,), NOW))

    with transaction():
        assert periodic.tick((SWEEP,), NOW) == ["test.sweep"]
        thread = threading.Thread(target=other_clock)
        thread.start()
        _wait_until_somebody_waits_for_a_lock()
        assert taken == []
    thread.join(timeout=30)
    assert taken == [[]]


def _wait_until_somebody_waits_for_a_lock() -> None:
    waiting_for_a_lock = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(3000):
        with db.engine().connect() as connection:
            if connection.execute(waiting_for_a_lock).scalar():
                return
        stopping.wait(0.01)
    raise AssertionError("nobody came to the lock")


# The process


def ticking(app: Flask, table: tuple[Periodic, ...], until: threading.Event) -> None:
    """Run a clock in this thread until the event is set."""
    stop = threading.Thread(target=lambda: (until.wait(30), stopping.request()))
    stop.start()
    with app.app_context():
        periodic.run(table, seconds=0.01)
    stop.join()


def test_a_clock_adds_its_rows_ticks_and_stops_when_asked(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough = threading.Event()
    ticks: list[list[str]] = []
    tick = periodic.tick

    def counted(table: tuple[Periodic, ...]) -> list[str]:
        ticks.append(tick(table))
        if len(ticks) == 3:
            enough.set()
        return ticks[-1]

    monkeypatch.setattr(periodic, "tick", counted)
    ticking(committed_app, TABLE, enough)
    assert ticks[0] == ["test.sweep", "test.count"]
    assert ticks[1:3] == [[], []]
    assert waiting() == [("test.sweep", {})]


def test_a_clock_on_a_host_of_wrong_time_puts_nothing_off_beyond_the_database_s(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.forget()
    enough, tick = threading.Event(), periodic.tick

    def one_tick(table: tuple[Periodic, ...]) -> list[str]:
        taken = tick(table)
        enough.set()
        return taken

    monkeypatch.setattr(periodic, "tick", one_tick)
    with monkeypatch.context() as wrong, capture_logs():
        wrong.setattr(clock, "_host_time", lambda: datetime.now(UTC) + timedelta(hours=1))
        ticking(committed_app, TABLE, enough)
    clock.forget()
    with transaction():
        late = session.scalars(text("SELECT name FROM periodic_turns WHERE due_at > clock_timestamp() + '4 min'")).all()
    assert late == []
    assert set(rows()) == {"test.sweep", "test.count"}


def test_a_clock_that_does_not_know_the_time_takes_no_turn(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, tries = threading.Event(), 0

    def unknown(_: object) -> bool:
        nonlocal tries
        tries += 1
        if tries == 3:
            enough.set()
        return False

    monkeypatch.setattr(clock, "follow", unknown)
    ticking(committed_app, TABLE, enough)
    assert rows() == {}


def test_a_clock_waits_for_its_database_and_then_begins_from_the_start(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try's rows were rolled back with it, so they must be added by the second."""
    enough, tries = threading.Event(), 0
    tick = periodic.tick

    def away_at_first(table: tuple[Periodic, ...]) -> list[str]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OperationalError("tick", {}, ConnectionError())
        taken = tick(table)
        enough.set()
        return taken

    monkeypatch.setattr(periodic, "tick", away_at_first)
    with capture_logs() as entries:
        ticking(committed_app, TABLE, enough)
    assert [entry["event"] for entry in entries] == ["clock.no_database"]
    assert set(rows()) == {"test.sweep", "test.count"}
    assert waiting() == [("test.sweep", {})]


def test_a_row_that_an_older_clock_removed_is_there_again_within_a_minute(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    enough, ticks = threading.Event(), 0
    now, tick = [1000.0], periodic.tick

    def removed_in_between(table: tuple[Periodic, ...]) -> list[str]:
        nonlocal ticks
        ticks += 1
        taken = tick(table)
        if ticks == 2:
            session.execute(text("DELETE FROM periodic_turns WHERE name = 'test.count'"))
            now[0] += 61
        if ticks == 3:
            enough.set()
        return taken

    monkeypatch.setattr(periodic, "tick", removed_in_between)
    monkeypatch.setattr(periodic, "time", SimpleNamespace(monotonic=lambda: now[0]))  # its own, not everybody's
    ticking(committed_app, TABLE, enough)
    assert ticks >= 3
    assert set(rows()) == {"test.sweep", "test.count"}
