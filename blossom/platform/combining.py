"""Calls of many threads done as one: what costs much once and little more for many (a statement, a round trip, an
fsync) is shared by whoever comes meanwhile. There is no thread and no waiting of its own: a call that comes alone is
done at once, by its own thread; those that come while it is at work are done together by the first of them, next.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class WaitedTooLong(Exception):
    """Those before it took too long. The call may yet be done, so it must be one that can be repeated."""


class _Call(Generic[T, R]):
    """One thread's call. `taken`: it stands in a group. `leads`: its thread is to do the next group."""

    __slots__ = ("fault", "item", "leads", "result", "taken", "wake")

    def __init__(self, item: T) -> None:
        self.item = item
        self.result: Any = None
        self.fault: BaseException | None = None
        self.leads = self.taken = False
        self.wake = threading.Lock()  # held until there is news; half the price of an Event
        self.wake.acquire()

    def outcome(self) -> R:
        if self.fault is not None:
            raise self.fault  # the same object in each thread of a group: only its traceback tells of several
        result: R = self.result
        return result


class Combiner(Generic[T, R]):
    """`call(item)` gives what `work([..., item, ...])` says of it, in whatever company it was done.

    `work` gets one or more items and returns a result for each, in their order. When it raises one of `faults_of_one`
    for several, each is done again alone, so that nobody fails for another's item: `work` must have undone what it
    did. Any other fault is everybody's of that group.
    `at_once`: groups that may be at work side by side. `most`: items in a group.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        *,
        faults_of_one: tuple[type[BaseException], ...] = (),
        at_once: int = 1,
        most: int = 100,
        patience_seconds: float = 15.0,
    ) -> None:
        self._work = work
        self._faults_of_one = faults_of_one
        self._free = at_once
        self._most = most
        self._patience = patience_seconds
        self._waiting: deque[_Call[T, R]] = deque()
        self._mutex = threading.Lock()

    def call(self, item: T) -> R:
        """What `work` says of `item`, or raises. `WaitedTooLong` when it isn't known in time."""
        call = _Call[T, R](item)
        with self._mutex:
            if self._free:
                self._free -= 1
                call.leads = True
            else:
                self._waiting.append(call)
        if not call.leads and not call.wake.acquire(timeout=self._patience):
            self._give_up(call)
        if call.leads:
            self._lead(call)
        return call.outcome()

    def _give_up(self, call: _Call[T, R]) -> None:
        with self._mutex:
            if call.leads:  # told so in this very moment: the others count on it
                return
            if not call.taken:
                self._waiting.remove(call)
        raise WaitedTooLong

    def _lead(self, call: _Call[T, R]) -> None:
        """Do a group's work, and leave the lead to the next one who waits, if anybody does."""
        group = [call]
        with self._mutex:
            while self._waiting and len(group) < self._most:
                group.append(self._waiting.popleft())
                group[-1].taken = True
        try:
            self._do(group)
        except BaseException as fault:
            for each in group:
                each.fault = each.fault or fault
        finally:
            self._pass_on()
            for each in group[1:]:
                each.wake.release()

    def _pass_on(self) -> None:
        with self._mutex:
            if not self._waiting:
                self._free += 1
                return
            following = self._waiting.popleft()
            following.leads = True
        following.wake.release()

    def _do(self, group: Sequence[_Call[T, R]]) -> None:
        try:
            results = self._work([each.item for each in group])
        except self._faults_of_one:
            if len(group) == 1:
                raise
            for each in group:
                self._do_alone(each)
        else:
            for each, result in zip(group, results, strict=True):
                each.result = result

    def _do_alone(self, call: _Call[T, R]) -> None:
        try:
            (call.result,) = self._work([call.item])
        except self._faults_of_one as fault:
            call.fault = fault
