"""Transactions: what a block or a request did is kept whole or not at all, and its jobs with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from blossom.platform import config, db, queue
from blossom.platform.db import session, transaction
from blossom.platform.periodic import PeriodicTurn
from tests.conftest import Services, config_for


def write(name: str) -> None:
    session.execute(text("INSERT INTO periodic_turns (name, due_at) VALUES (:name, '2026-01-01Z')"), {"name": name})


def written() -> set[str]:
    """What another connection sees."""
    with db.engine().connect() as other:
        return set(other.execute(text("SELECT name FROM periodic_turns")).scalars())


def waiting() -> list[str]:
    return [str(job.args[0]) for job in queue.rq_queue("default").jobs]


def connections_out() -> int:
    return cast(QueuePool, db.engine().pool).checkedout()


# Blocks


def test_a_block_that_ends_well_is_committed(committed_app: Flask) -> None:
    with transaction():
        write("kept")
        assert written() == set()
    assert written() == {"kept"}


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_block_that_ends_badly_is_undone_whatever_the_reason(
    committed_app: Flask, fault: type[BaseException]
) -> None:
    with pytest.raises(fault):
        _write_and_raise(fault("no"))
    assert written() == set()
    with transaction():
        write("the next one")
    assert waiting() == [], "its jobs are gone, too"


def _write_and_raise(fault: BaseException) -> None:
    with transaction():
        write("lost")
        queue.enqueue("test.lost")
        raise fault


def test_after_a_block_its_connection_is_back_in_the_pool(committed_app: Flask) -> None:
    with transaction():
        write("kept")
        assert connections_out() == 1
    assert connections_out() == 0
    with pytest.raises(ValueError, match="no"):
        _write_and_raise(ValueError("no"))
    assert connections_out() == 0


def test_a_block_reads_anew_what_an_earlier_one_has_read(committed_app: Flask) -> None:
    with transaction():
        write("turn")
    with transaction():
        turn = session.get_one(PeriodicTurn, "turn")  # held, or else Python would forget it by itself
        before = turn.due_at
    with db.engine().begin() as other:
        other.execute(text("UPDATE periodic_turns SET due_at = due_at + interval '1 day'"))
    with transaction():
        assert session.get_one(PeriodicTurn, "turn").due_at == before + timedelta(days=1)


def test_a_block_inside_a_block_is_refused_and_undoes_both(committed_app: Flask) -> None:
    with pytest.raises(RuntimeError, match="don't nest"):
        _nest()
    assert written() == set()
    with transaction():
        write("the next one works")
    assert written() == {"the next one works"}


def _nest() -> None:
    with transaction():
        write("outer")
        with transaction():
            write("inner")


def test_a_refused_inner_block_leaves_the_outer_one_open_to_who_catches_it(committed_app: Flask) -> None:
    with transaction():
        write("outer")
        with pytest.raises(RuntimeError), transaction():
            pass
        write("still outer")
        assert written() == set()
    assert written() == {"outer", "still outer"}


def test_each_thread_has_a_block_of_its_own(committed_app: Flask) -> None:
    def elsewhere() -> None:
        with committed_app.app_context(), transaction():
            write("theirs")

    with pytest.raises(ValueError, match="no"), transaction():
        _write_beside(elsewhere)
    assert written() == {"theirs"}


def _write_beside(elsewhere: Callable[[], None]) -> None:
    write("ours")
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    raise ValueError("no")


# Jobs


def test_jobs_leave_once_their_transaction_is_committed(committed_app: Flask) -> None:
    with transaction():
        queue.enqueue("test.job", number=1)
        assert waiting() == []
    assert waiting() == ["test.job"]


def test_a_job_finds_the_row_that_it_is_about(committed_app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handed over after the commit, not before."""
    seen: list[set[str]] = []
    monkeypatch.setattr(queue, "_hand_over", lambda call: seen.append(written()))
    with transaction():
        write("the row")
        queue.enqueue("test.job")
    assert seen == [{"the row"}]


def test_releasing_a_savepoint_sends_no_job(committed_app: Flask) -> None:
    with transaction():
        with session.begin_nested():
            queue.enqueue("test.job")
        assert waiting() == []
    assert waiting() == ["test.job"]


def test_jobs_are_dropped_when_the_commit_itself_fails(committed_app: Flask) -> None:
    with transaction():
        session.execute(text("CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)"))
    with pytest.raises(IntegrityError), transaction():
        _fail_at_commit()
    with transaction():
        write("the next one")
    assert waiting() == []


def _fail_at_commit() -> None:
    session.execute(text("INSERT INTO late VALUES (1), (1)"))
    queue.enqueue("test.job")


def test_jobs_of_an_undone_block_do_not_leave_with_the_next(committed_app: Flask) -> None:
    with pytest.raises(ValueError, match="no"):
        _write_and_raise(ValueError("no"))
    with transaction():
        queue.enqueue("test.next")
    assert waiting() == ["test.next"]


# Requests


@pytest.mark.parametrize("status", [200, 201, 204, 302, 304, 399])
def test_a_request_that_went_well_is_committed(committed_app: Flask, status: int) -> None:
    write("kept")
    queue.enqueue("test.job")
    db.end_request(status)
    assert written() == {"kept"}
    assert waiting() == ["test.job"]


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 503])
def test_a_request_that_did_not_is_undone(committed_app: Flask, status: int) -> None:
    write("lost")
    queue.enqueue("test.job")
    db.end_request(status)
    assert written() == set()
    assert waiting() == []
    db.end_request(200)
    assert waiting() == []


def test_a_request_whose_commit_fails_sends_no_job(committed_app: Flask) -> None:
    with transaction():
        session.execute(text("CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)"))
    _fail_at_commit()
    with pytest.raises(IntegrityError):
        db.end_request(200)
    session.rollback()
    db.end_request(200)
    assert waiting() == []


def test_requests_commit_or_undo_by_what_they_answer(services: Services, committed_app: Flask) -> None:
    with committed_app.app_context():
        name = db.engine().url.database
    app = _app_with_views(services, str(name))
    client = app.test_client()
    assert client.post("/writes/200").status_code == 200
    assert client.post("/writes/422").status_code == 422
    assert client.post("/breaks").status_code == 500
    assert written() == {"200"}
    with app.app_context():
        assert connections_out() == 0
        db.engine().dispose()


def _app_with_views(services: Services, database: str) -> Flask:
    from blossom.app import create_app

    app = create_app(config_for(services, database))

    def writes(status: int) -> Any:
        write(str(status))
        return "", status

    def breaks() -> Any:
        write("broken")
        raise ZeroDivisionError

    app.add_url_rule("/writes/<int:status>", view_func=writes, methods=["POST"])
    app.add_url_rule("/breaks", view_func=breaks, methods=["POST"])
    return app


# The rest


def test_counts_the_rows_that_a_statement_changed(app: Flask) -> None:
    write("one")
    write("two")
    assert db.rows_changed(text("UPDATE periodic_turns SET due_at = due_at + interval '1 day'")) == 2
    assert db.rows_changed(text("DELETE FROM periodic_turns WHERE name = :name"), {"name": "one"}) == 1
    assert db.rows_changed(text("DELETE FROM periodic_turns WHERE name = :name"), {"name": "one"}) == 0


def test_a_named_lock_is_held_until_the_transaction_ends(committed_app: Flask) -> None:
    def try_it(name: str, number: int) -> bool:
        with db.engine().connect() as other:
            return bool(
                other.execute(
                    text("SELECT pg_try_advisory_xact_lock(hashtext(:name), :number)"), {"name": name, "number": number}
                ).scalar()
            )

    with transaction():
        db.lock_for_transaction("import", 1)
        assert not try_it("import", 1)
        assert try_it("import", 2)
        assert try_it("export", 1)
    assert try_it("import", 1)


def test_errors_tell_no_parameters(app: Flask) -> None:
    write("Ελένη")
    with pytest.raises(IntegrityError) as caught, session.begin_nested():
        write("Ελένη")
    _, _, ours = str(caught.value).partition("[SQL:")
    assert "INSERT INTO periodic_turns" in ours
    assert "Ελένη" not in ours, "what Postgres itself quotes before that is left out of logs (test_logs)"


def test_a_database_that_is_away_fails_quickly_and_leaves_nothing_open(services: Services) -> None:
    from blossom.app import create_app

    settings = config.current()
    app = create_app(config_for(services, "nowhere"))
    try:
        with app.app_context():
            with pytest.raises(OperationalError), transaction():
                write("nothing")
            assert connections_out() == 0
    finally:
        config.use(settings)
