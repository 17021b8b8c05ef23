"""RQ's entry: one process, one queue. `blossom worker` starts several of them and watches over them.

Jobs run in the worker's own process (no fork a job: a lane is long, and a fork would cost more than a batch). A kill
loses nothing: what a job was doing is written in Postgres, and the sweep finds it.
"""

from __future__ import annotations

import functools
import gc
import signal
from typing import Any

import structlog
from flask import Flask
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from blossom.app import create_app
from blossom.campaigns import jobs as campaigns_jobs
from blossom.customers import jobs as customers_jobs
from blossom.inbound import jobs as inbound_jobs
from blossom.messaging import jobs as messaging_jobs
from blossom.people import jobs as people_jobs
from blossom.platform import clock, config, db, logs, queue, stopping
from blossom.shops import jobs as shops_jobs
from blossom.storefront import jobs as storefront_jobs
from blossom.uploads import jobs as uploads_jobs

log = structlog.get_logger()

HEARTBEAT_SECONDS = 30
"""RQ forgets an idle worker that was killed after about this time; one killed in a job, after the job's own time-out.
Nothing here waits for either."""

PREPARERS = 2
"""Of one `blossom worker`: a small campaign's snapshot doesn't wait for a large one's."""

REGISTERED = (
    campaigns_jobs, customers_jobs, inbound_jobs, messaging_jobs, people_jobs, shops_jobs, storefront_jobs,
    uploads_jobs,
)  # fmt: skip
"""Every domain's jobs.py: importing it names its jobs. A test compares this with the tree."""


@functools.cache
def _app() -> Flask:
    return create_app(config.Config.from_environment())


def perform(name: str, kwargs: dict[str, Any], request_id: str | None = None) -> None:
    """Run the job called `name`: what RQ is given to call. An unknown name is an error in RQ's list of failed jobs."""
    with _app().app_context():
        logs.begin(request_id, job=name)
        queue.taken_up(name, kwargs)
        clock.follow(db.engine())
        try:
            queue.registered()[name](**kwargs)
        except Exception:
            log.exception("job.failed")
            raise
        finally:
            queue.drop()


class Worker(SimpleWorker):
    """A worker that tells its job to stop: SIGTERM lets a lane end after the batch in hand."""

    max_connection_wait_time = 2.0
    """Seconds between two looks whether Redis is back; RQ's own grow to a minute, in which nothing would be sent."""

    def execute_job(self, job: Job, origin: Queue) -> None:
        with queue.busy(origin.name, self.name, self.connection):
            super().execute_job(job, origin)

    def request_stop(self, signum: int, frame: Any) -> None:
        stopping.request()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # RQ's
        # RQ would now take a second signal for "drop everything"; only SIGKILL may do that to a call in the air.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _collect_garbage_seldom() -> None:
    """A batch makes thousands of short-lived objects, which go by themselves; looking for circles among them after each
    700 was a fifth of a lane's CPU. What is there now stays, and need not be looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def get_ready() -> None:
    """Set up all that workers can share, for who forks them; opens no connection."""
    _app()


def work(queue_name: str, *, burst: bool = False) -> None:
    """Work on one queue until told to stop."""
    _collect_garbage_seldom()
    with _app().app_context():
        clock.follow(db.engine())
    settings = config.current()
    connection = queue.blocking_connection(str(settings.redis_url))
    worker = Worker(
        [queue.rq_queue(queue_name, connection)],
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=HEARTBEAT_SECONDS,
        job_monitoring_interval=5,
        maintenance_interval=15,
    )
    worker.work(burst=burst, logging_level="WARNING", with_scheduler=False)
