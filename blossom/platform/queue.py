"""Jobs by name. Redis is a nudge, the row is the truth: losing a job here delays work, never loses it.

`enqueue` collects; `platform.db` flushes after the commit, or drops on rollback. A domain's `jobs.py` registers
its functions with `@job("domain.verb")`; a service names a job by string and imports nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import redis
import structlog
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import str_to_date

from blossom.platform import clock, logs

log = structlog.get_logger()

QUEUES = ("send", "receipts", "default", "prepare", "slow", "questions", "shopify", "sync")
"""`send`: lanes. `receipts`: what must show within seconds. `default`: short jobs. `prepare`: the snapshots that a shop
waits for after its click. `slow`: long work that nobody waits for. `questions`: what asks the provider and is as slow
as the provider is. `shopify`: the same of Shopify, so that neither keeps what the other is asked about waiting. `sync`:
what asks Shopify for minutes, so that it keeps neither somebody's opt-out from Shopify nor what asks nobody waiting.

Each worker process listens to one of these: with two, a worker dying right after dequeue would lose the job.
"""

_MARKER_SECONDS = 60
"""A marker whose job was lost is forgotten after this time at the latest, and the job is enqueued again; at once when
nothing waits in its queue."""

_jobs: dict[str, Callable[..., Any]] = {}
_connection: redis.Redis | None = None
_waiting: ContextVar[list[JobCall] | None] = ContextVar("waiting_jobs", default=None)
"""Of this thread's (or task's) transaction; a thread has one transaction at a time."""


@dataclass(frozen=True)
class JobCall:
    """One call of a job, waiting for its transaction's commit."""

    name: str
    queue: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    at_most: int | None = None
    unless_waiting: bool = False
    timeout_seconds: int = 600


def init(url: str) -> None:
    """Name the Redis to use. Connects on first use; short time-outs, so that a dead Redis costs a moment only.

    One that hangs costs the time-out at each use: a click on Send uses it twice, a batch once.
    """
    global _connection
    _connection = redis.Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=2.0, retry_on_timeout=False)


def connection() -> redis.Redis:
    if _connection is None:
        raise RuntimeError("queue.init(url) has not been called")
    return _connection


def job(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the job `name`. Names are unique."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        known = _jobs.setdefault(name, function)
        if known is not function and known.__module__ != function.__module__:
            raise RuntimeError(f"two jobs are called {name}")
        _jobs[name] = function
        return function

    return register


def registered() -> dict[str, Callable[..., Any]]:
    return _jobs


NO_LIMIT = -1
"""For a job that ends by itself, and that must not be cut off in the middle of a call."""


def enqueue(
    name: str,
    /,
    *,
    queue: str = "default",
    at_most: int | None = None,
    unless_waiting: bool = False,
    timeout_seconds: int = 600,
    **kwargs: Any,
) -> None:
    """Ask for job `name` once the current transaction has committed.

    `at_most`: skip it when that many jobs wait in the queue already (for nudges that carry no argument).
    `unless_waiting`: skip it when a call of this job with these arguments waits there already, so that a stuck queue
    doesn't fill up, and a thousand looks at a page ask for one.
    `kwargs` must be JSON: `TypeError` if not, here and not after the commit. A Redis that can't be reached is logged
    and forgiven: the sweeper finds the row.
    """
    if queue not in QUEUES:
        raise ValueError(f"no such queue: {queue}")
    json.dumps(kwargs)
    _collected().append(JobCall(name, queue, kwargs, at_most, unless_waiting, timeout_seconds))


def _collected() -> list[JobCall]:
    calls = _waiting.get()
    if calls is None:
        calls = []
        _waiting.set(calls)
    return calls


def is_reachable() -> bool:
    """Whether Redis answers."""
    try:
        return bool(connection().ping())
    except redis.RedisError:
        return False


def drop() -> None:
    """Forget what the transaction asked for: it was rolled back."""
    _waiting.set(None)


def flush() -> None:
    """Hand what the committed transaction asked for to RQ. Never raises for Redis."""
    waiting = _collected()
    _waiting.set(None)
    seen: set[str] = set()
    for call in waiting:
        key = f"{call.name}{sorted(call.kwargs.items())}"
        if key in seen:  # the same nudge twice in one transaction is one nudge
            continue
        seen.add(key)
        try:
            _hand_over(call)
        except redis.RedisError as error:
            log.warning("queue.unreachable", job=call.name, error=type(error).__name__)
            return


def _hand_over(call: JobCall) -> None:
    target = rq_queue(call.queue)
    if call.at_most is not None and target.count >= call.at_most:
        return
    if call.unless_waiting and _waits_already(call, target):
        return
    target.enqueue(
        "blossom.worker.perform",
        args=(call.name, call.kwargs, logs.request_id()),
        job_timeout=call.timeout_seconds,
        result_ttl=0,
        failure_ttl=86_400,
        description=call.name,
    )


def _waits_already(call: JobCall, target: Queue) -> bool:
    """Whether such a call waits in this queue; if not, one is about to. A marker in an empty queue was left behind: its
    job was taken up while Redis could not be told, or lost with it."""
    marked_before = not connection().set(_marker(call.name, call.kwargs), 1, nx=True, ex=_MARKER_SECONDS)
    return marked_before and target.count > 0


def taken_up(name: str, kwargs: Mapping[str, Any] | None = None) -> None:
    """A worker has begun the job `name` with these arguments: the next such call may wait again. Never raises for
    Redis."""
    with contextlib.suppress(redis.RedisError):
        connection().delete(_marker(name, kwargs or {}))


def _marker(name: str, kwargs: Mapping[str, Any]) -> str:
    if not kwargs:
        return f"waiting:{name}"
    said = json.dumps(kwargs, sort_keys=True).encode()
    return f"waiting:{name}:{hashlib.sha256(said).hexdigest()[:16]}"


@contextlib.contextmanager
def busy(name: str, worker: str, over: redis.Redis) -> Iterator[None]:
    """Let `depths` count this worker of the queue as active while the block runs and the process lives: RQ's own note
    outlives a killed worker by its job's time-out."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            _say_busy(name, worker, over)

    _say_busy(name, worker, over)
    heart = threading.Thread(target=beat, name="busy", daemon=True)
    heart.start()
    try:
        yield
    finally:
        ended.set()
        heart.join(BEAT_SECONDS)
        with contextlib.suppress(redis.RedisError):
            over.zrem(_busy_key(name), worker)


BEAT_SECONDS = 5.0
_SILENT_SECONDS = 20.0
"""A worker that has not been heard of for so long is dead, or as good as that."""


def _say_busy(name: str, worker: str, over: redis.Redis) -> None:
    now = clock.now().timestamp()
    with contextlib.suppress(redis.RedisError), over.pipeline(transaction=False) as said:
        said.zadd(_busy_key(name), {worker: now + _SILENT_SECONDS})
        said.zremrangebyscore(_busy_key(name), "-inf", now - _SILENT_SECONDS)
        said.execute()


def _busy_key(name: str) -> str:
    return f"blossom:busy:{name}"


@dataclass(frozen=True)
class QueueDepth:
    """A queue of jobs as Redis has it. `active`: workers that are in one now, and live. `failed`: jobs of the last day
    that broke; rows say what they left undone."""

    name: str
    waiting: int
    active: int
    failed: int
    oldest_at: datetime | None  # when the job that is next was put there


def depths() -> list[QueueDepth]:
    """Each queue, in the order of `QUEUES`, in two trips to Redis. Raises `redis.RedisError`."""
    over, queues = connection(), [rq_queue(name) for name in QUEUES]
    asked = over.pipeline(transaction=False)
    for queue in queues:
        asked.llen(queue.key)
        asked.zcount(_busy_key(queue.name), clock.now().timestamp(), "+inf")
        asked.zcard(FailedJobRegistry(queue=queue).key)
        asked.lindex(queue.key, 0)
    answers = asked.execute()
    found = [answers[begin : begin + 4] for begin in range(0, len(answers), 4)]
    times = over.pipeline(transaction=False)
    for *_, first in found:
        times.hget(Job.key_for(first.decode() if first else ""), "enqueued_at")
    return [
        QueueDepth(queue.name, waiting, active, failed, str_to_date(at) if first and at else None)
        for queue, (waiting, active, failed, first), at in zip(queues, found, times.execute(), strict=True)
    ]


def rq_queue(name: str, over: redis.Redis | None = None) -> Queue:
    """RQ's queue of that name, over this process's connection or another one."""
    return Queue(name, connection=over or connection(), serializer=JSONSerializer)


def blocking_connection(url: str) -> redis.Redis:
    """A connection for a worker, which waits in a call for its next job; RQ bounds that wait itself."""
    return redis.Redis.from_url(url, socket_connect_timeout=5.0, health_check_interval=15)
