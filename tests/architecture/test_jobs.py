"""Jobs are named by string, so that services import nothing; here each string is held against what is registered."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from blossom import schedule, worker
from blossom.platform import queue
from tests.architecture import tree
from tests.architecture.tree import Source

ENQUEUES_OWN = {name for name in inspect.signature(queue.enqueue).parameters if name not in ("name", "kwargs")}

UNNAMED = {
    ("blossom/messaging/service/dispatches.py", "dispatch.on_change"): "named by who started the dispatch (on_change=)",
    ("blossom/platform/periodic.py", "job.name"): "of the table in schedule.py",
}
"""Where the name isn't a string, and whence it comes."""

CALLED_WITH = {"on_change": {"shop_id", "dispatch_id"}}
"""Keywords that take a job's name → the arguments with which that job will be called."""


@dataclass(frozen=True)
class Named:
    """A job named somewhere, and the arguments that it will be called with (None: not to be seen there)."""

    where: str
    job: str
    arguments: frozenset[str] | None
    queue: str = "default"


def _text(source: Source, node: ast.expr) -> str | None:
    """The string that stands there, or that the constant of this module holds."""
    if isinstance(node, ast.Name):
        for statement in source.tree.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == node.id:
                return _text(source, statement.value)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def named_in(source: Source) -> Iterator[Named]:
    for call in source.calls():
        where = f"{source.path}:{call.lineno}"
        if ast.unparse(call.func) in ("queue.enqueue", "enqueue") and call.args:
            if job := _text(source, call.args[0]):
                keywords = {keyword.arg: keyword.value for keyword in call.keywords}
                on = keywords.get("queue", ast.Constant("default"))
                assert isinstance(on, ast.Constant), f"{where}: the queue is not a string"
                arguments = None if None in keywords else frozenset(map(str, keywords)) - ENQUEUES_OWN
                yield Named(where, job, arguments, str(on.value))
            else:
                assert (source.path, ast.unparse(call.args[0])) in UNNAMED, f"{where}: whence does this name come?"
        for keyword in call.keywords:
            if keyword.arg in CALLED_WITH and (job := _text(source, keyword.value)):
                yield Named(where, job, frozenset(CALLED_WITH[keyword.arg]))


def named() -> list[Named]:
    periodic = [Named("blossom/schedule.py", job.name, frozenset(job.kwargs), job.queue) for job in schedule.JOBS]
    return [*periodic, *(name for source in tree.sources() for name in named_in(source))]


def takes(function: Callable[..., Any], arguments: frozenset[str]) -> bool:
    try:
        inspect.signature(function).bind(**dict.fromkeys(arguments))
    except TypeError:
        return False
    return True


def test_every_job_named_is_registered() -> None:
    registered = queue.registered()
    assert [f"{name.where} names {name.job}" for name in named() if name.job not in registered] == []


def test_every_job_is_called_with_the_arguments_that_it_takes() -> None:
    registered = queue.registered()
    wrong = [
        f"{name.where} calls {name.job} with {sorted(name.arguments)}"
        for name in named()
        if name.arguments is not None and not takes(registered[name.job], name.arguments)
    ]
    assert wrong == []


def test_every_queue_named_has_its_workers() -> None:
    assert {name.queue for name in named()} <= set(queue.QUEUES)


def test_every_job_registered_is_named_somewhere() -> None:
    assert {job for job, function in queue.registered().items() if function.__module__.startswith("blossom.")} == {
        name.job for name in named()
    }


def test_the_worker_imports_every_domains_jobs() -> None:
    in_tree = {source.module for source in tree.sources() if re.fullmatch(r"blossom/\w+/jobs(/\w+)?\.py", source.path)}
    assert {module.__name__ for module in worker.REGISTERED} == {name for name in in_tree if name.endswith(".jobs")}
    assert {function.__module__ for function in queue.registered().values()} >= in_tree


def test_jobs_are_registered_in_jobs_and_named_for_their_domain() -> None:
    for name, function in queue.registered().items():
        if function.__module__.startswith("blossom."):
            domain = name.partition(".")[0]
            assert function.__module__.startswith(f"blossom.{domain}.jobs"), name


def test_every_periodic_job_stands_in_the_table_once_and_can_be_doubled_harmlessly() -> None:
    names = [job.name for job in schedule.JOBS]
    assert len(names) == len(set(names))
    assert all(job.every.total_seconds() > 0 for job in schedule.JOBS)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("queue.enqueue('a.b', queue='send', at_most=2, x=1)", Named("planted.py:1", "a.b", frozenset({"x"}), "send")),
        ("queue.enqueue('a.b')", Named("planted.py:1", "a.b", frozenset())),
        ("queue.enqueue('a.b', **job.kwargs)", Named("planted.py:1", "a.b", None)),
        ("Plan(on_change='a.c')", Named("planted.py:1", "a.c", frozenset({"shop_id", "dispatch_id"}))),
        ("TOLD = 'a.c'\nPlan(on_change=TOLD)", Named("planted.py:2", "a.c", frozenset({"shop_id", "dispatch_id"}))),
    ],
)  # fmt: skip
def test_a_planted_name_is_seen(text: str, seen: Named) -> None:
    assert list(named_in(Source("planted.py", text))) == [seen]


def test_a_name_from_nowhere_is_refused() -> None:
    with pytest.raises(AssertionError, match="whence does this name come"):
        list(named_in(Source("planted.py", "queue.enqueue(whatever)")))


def test_arguments_that_a_job_lacks_are_refused() -> None:
    def job(shop_id: int) -> None: ...

    assert takes(job, frozenset({"shop_id"}))
    assert not takes(job, frozenset())
    assert not takes(job, frozenset({"shop_id", "dispatch_id"}))
