"""`/healthz`: this process answers. `/readyz`: what it stands on is there too (spec §13). Both for machines, as JSON.

`/readyz` is 503 when the database or Redis can't be reached, the schema is not the newest, or a job has waited longer
than `STALE_SECONDS`: then no worker takes from that queue.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
import structlog
from flask import Flask, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from blossom.platform import clock, queue
from blossom.platform.db import session

log = structlog.get_logger()

STALE_SECONDS = 300
"""A job that waits longer than this in its queue means that nobody works there."""

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def init(app: Flask) -> None:
    """Serve both routes. They ask for no key and tell nothing of any shop."""

    @app.get("/healthz")
    def healthz() -> ResponseReturnValue:
        return jsonify(ok=True)

    @app.get("/readyz")
    def readyz() -> ResponseReturnValue:
        checks = {
            "database": _checked(_database),
            "migrations": _checked(_migrations),
            "redis": _checked(_redis),
            "queues": _checked(_queues),
        }
        ok = all(check["ok"] for check in checks.values())
        response = jsonify(ok=ok, checks=checks)
        response.headers["Cache-Control"] = "no-store"
        return response, 200 if ok else 503


def _checked(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The check's findings, with its time; a server that is away is a finding, not a fault of ours."""
    started = time.monotonic()
    try:
        found = {"ok": True, **check()}
    except (SQLAlchemyError, redis.RedisError) as error:
        log.warning("health.unreachable", error=type(error).__name__)
        found = {"ok": False, "error": type(error).__name__}
    return {**found, "milliseconds": round(1000 * (time.monotonic() - started), 1)}


def _database() -> dict[str, Any]:
    session.execute(text("SELECT 1"))
    return {}


def _migrations() -> dict[str, Any]:
    """The schema's migration, read by ourselves: alembic writes two lines to the log each time that it is asked."""
    there = session.execute(text("SELECT to_regclass('alembic_version') IS NOT NULL")).scalar_one()
    current = tuple(session.scalars(text("SELECT version_num FROM alembic_version ORDER BY 1"))) if there else ()
    return {"ok": current == _newest(), "current": current, "newest": _newest()}


@functools.cache
def _newest() -> tuple[str, ...]:
    """The newest migration of this code; looked up once, since code doesn't change under a process."""
    # By the files' names, which begin with the revision: Alembic would be a sixth of the app's start.
    return (max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")),)


def _redis() -> dict[str, Any]:
    queue.connection().ping()
    return {}


def _queues() -> dict[str, Any]:
    """Each queue's length, and for how long its oldest job has waited."""
    waiting = {}
    for name in queue.QUEUES:
        jobs = queue.rq_queue(name).get_jobs(0, 1)
        since = jobs[0].enqueued_at if jobs else None
        seconds = (clock.now() - since).total_seconds() if since else 0.0
        waiting[name] = {"jobs": queue.rq_queue(name).count, "oldest_seconds": round(max(0.0, seconds), 1)}
    return {"ok": all(found["oldest_seconds"] <= STALE_SECONDS for found in waiting.values()), "queues": waiting}
