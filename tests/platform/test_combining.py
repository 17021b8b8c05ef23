"""Calls of many threads done as one: shared when they meet, alone when not, and nobody pays for another's fault."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from blossom.platform.combining import Combiner, WaitedTooLong
from tests.faults.processes import until


class Bad(Exception):
    """What an item can be to blame for."""


class Doubling:
    """Doubles numbers; notes each group; can be held at work. 13 is bad, and with 0 everything breaks."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        self.may_go_on.wait(10)
        if 0 in items:
            raise ConnectionError
        if 13 in items:
            raise Bad
        return [2 * item for item in items]


@pytest.fixture
def work() -> Doubling:
    return Doubling()


def combiner(work: Doubling, **settings: float) -> Combiner[int, int]:
    return Combiner(work, faults_of_one=(Bad,), **settings)  # type: ignore[arg-type]  # whole numbers where they must be


def waiting(shared: Combiner[int, int], number: int) -> bool:
    return len(shared._waiting) == number


def meanwhile(pool: ThreadPoolExecutor, shared: Combiner[int, int], work: Doubling, *items: int) -> list[Future[int]]:
    """Calls of the items, the first at work and held there while the others come, in their order."""
    work.may_go_on.clear()
    first = pool.submit(shared.call, items[0])
    until(lambda: work.groups, "the first is at work")
    calls = [first]
    for number, item in enumerate(items[1:], 1):
        calls.append(pool.submit(shared.call, item))
        until(partial(waiting, shared, number), "the next one waits")
    return calls


def test_a_call_that_comes_alone_is_done_by_its_own_thread(work: Doubling) -> None:
    assert combiner(work).call(4) == 8
    assert work.groups == [[4]]


def test_those_that_come_meanwhile_are_done_together(work: Doubling) -> None:
    shared = combiner(work)
    with ThreadPoolExecutor(5) as pool:
        calls = meanwhile(pool, shared, work, 1, 2, 3, 4, 5)
        work.may_go_on.set()
        assert [call.result(10) for call in calls] == [2, 4, 6, 8, 10]
    assert work.groups == [[1], [2, 3, 4, 5]]


def test_a_group_has_a_largest_size(work: Doubling) -> None:
    shared = combiner(work, most=2)
    with ThreadPoolExecutor(6) as pool:
        calls = meanwhile(pool, shared, work, 1, 2, 3, 4, 5, 6)
        work.may_go_on.set()
        assert [call.result(10) for call in calls] == [2, 4, 6, 8, 10, 12]
    assert [len(group) for group in work.groups] == [1, 2, 2, 1]


def test_nobody_fails_for_anothers_item(work: Doubling) -> None:
    shared = combiner(work)
    with ThreadPoolExecutor(4) as pool:
        calls = meanwhile(pool, shared, work, 1, 2, 13, 4)
        work.may_go_on.set()
        assert [calls[n].result(10) for n in (0, 1, 3)] == [2, 4, 8]
        assert isinstance(calls[2].exception(10), Bad)


def test_what_is_no_items_fault_is_everybodys_and_the_next_group_is_done(work: Doubling) -> None:
    shared = combiner(work)
    with ThreadPoolExecutor(3) as pool:
        calls = meanwhile(pool, shared, work, 1, 0, 3)
        work.may_go_on.set()
        assert calls[0].result(10) == 2
        assert [type(call.exception(10)) for call in calls[1:]] == [ConnectionError, ConnectionError]
    assert shared.call(5) == 10


def test_who_waited_too_long_goes_without_and_holds_nobody_up(work: Doubling) -> None:
    shared = combiner(work, patience_seconds=0.05)
    with ThreadPoolExecutor(2) as pool:
        work.may_go_on.clear()
        first = pool.submit(shared.call, 1)
        until(lambda: work.groups, "the first is at work")
        second = pool.submit(shared.call, 2)
        assert isinstance(second.exception(10), WaitedTooLong)
        work.may_go_on.set()
        assert first.result(10) == 2
    assert shared.call(3) == 6
    assert work.groups == [[1], [3]]


def test_groups_may_be_at_work_side_by_side(work: Doubling) -> None:
    shared = combiner(work, at_once=2, most=1)
    work.may_go_on.clear()
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(shared.call, number) for number in (1, 2, 3)]
        until(lambda: len(work.groups) == 2 and len(shared._waiting) == 1, "two are at work")
        work.may_go_on.set()
        assert sorted(call.result(10) for call in calls) == [2, 4, 6]


def test_in_a_crowd_each_call_is_done_once_and_gets_its_own_answer(work: Doubling) -> None:
    shared = combiner(work, at_once=2, most=5)
    numbers = list(range(100, 1_700))
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(shared.call, numbers)) == [2 * number for number in numbers]
    assert sorted(number for group in work.groups for number in group) == numbers
    assert max(len(group) for group in work.groups) <= 5
