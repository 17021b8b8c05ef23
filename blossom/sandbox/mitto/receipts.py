"""When, in what order and how often receipts are posted (`behaviour.ReceiptBehaviour`)."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from blossom.sandbox.mitto.behaviour import ReceiptBehaviour
from blossom.sandbox.mitto.ids import stranger_id
from blossom.sandbox.mitto.log import Call, fate
from blossom.sandbox.mitto.posting import Post, Poster, Reply
from blossom.sandbox.mitto.receipt_shapes import Said, largest_array, write

_TICK = 0.005  # seconds; receipts due within one are due together
_EARLY_LIMIT = 5.0  # seconds that a send waits for its receipts to be answered
_REMEMBERED = 100_000


class Due(NamedTuple):
    """A receipt to be."""

    message_id: str
    status: str
    error_code: str | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A receipt that was posted, and the status of the answer (0: none)."""

    at: float
    message_id: str
    status: str
    forged: bool
    answered: int


class Receipts:
    """Plans receipts for the texts that were taken, and posts them when they are due."""

    def __init__(self, poster: Poster, behaviour: ReceiptBehaviour, seed: int) -> None:
        self._poster = poster
        self._ticket = itertools.count()
        self.sent: deque[Sent] = deque(maxlen=_REMEMBERED)
        self.counters: Counter[str] = Counter()
        self._due: list[tuple[float, int, list[Due]]] = []
        self._held: list[Due] = []
        self._wake = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self.behave(behaviour, seed)

    def behave(self, behaviour: ReceiptBehaviour, seed: int) -> None:
        """From now on like this. What is planned already keeps its time."""
        self._behaviour = behaviour
        self._random = random.Random(seed)
        self._poster.resize(behaviour.connections)
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._run())

    @property
    def planned(self) -> int:
        """Receipts that wait for their time or for a flush."""
        return len(self._held) + sum(len(group) for _, _, group in self._due)

    def plan(self, call: Call, message_ids: list[str]) -> None:
        """Post about the texts of `call` in their time."""
        if not self._behaviour.url:
            return
        if call.held:
            self._held += self._receipts(call, message_ids)
        elif not call.unusual and call.delay[0] == call.delay[1]:
            self._push(call.taken_at + call.delay[0], self._receipts(call, message_ids))
        else:
            groups: dict[float, list[Due]] = {}
            for place, message_id in enumerate(message_ids):
                sequence = call.first_sequence + place
                due = self._receipt(call, sequence, message_id)
                groups.setdefault(call.due(sequence), []).extend(due)
            for due_at, group in groups.items():
                self._push(due_at, group)

    async def deliver_early(self, call: Call, message_ids: list[str]) -> None:
        """Post about the texts of `call` now, and come back when all of it was answered (or after some seconds)."""
        if not self._behaviour.url:
            return
        answered = asyncio.Event()
        posts = self._posts(self._receipts(call, message_ids))
        missing = len(posts)

        def one_answered(post: Post, reply: Reply) -> None:
            nonlocal missing
            missing -= 1
            if missing == 0:
                answered.set()

        for post in posts:
            post.finished = _both(post.finished, one_answered)
            self._poster.add(post)
        if posts:
            try:
                await asyncio.wait_for(answered.wait(), _EARLY_LIMIT)
            except TimeoutError:
                self.counters["early_but_late"] += 1

    def flush(self) -> int:
        """Post all that is held or planned, now and together; how many receipts that is."""
        together = self._held + [due for _, _, group in sorted(self._due) for due in group]
        self._held, self._due = [], []
        self._post(together)
        return len(together)

    def post_strangers(self, count: int) -> None:
        """Post receipts, well signed, about texts that don't exist."""
        self.counters["unknown"] += count
        for group in self._arrays([Due(stranger_id(), "Delivered", None) for _ in range(count)]):
            self._poster.add(self._body(group, forged=False))

    def clear(self) -> None:
        """Forget everything."""
        self._due, self._held = [], []
        self.sent.clear()
        self.counters.clear()
        self._poster.clear()

    def _receipts(self, call: Call, message_ids: list[str]) -> list[Due]:
        if not call.unusual and not self._behaviour.sent_first:
            return [Due(message_id, "Delivered", None) for message_id in message_ids]
        return [
            due
            for place, message_id in enumerate(message_ids)
            for due in self._receipt(call, call.first_sequence + place, message_id)
        ]

    def _receipt(self, call: Call, sequence: int, message_id: str) -> list[Due]:
        outcome = fate(call, sequence)
        final = Due(message_id, outcome.status or "Sent", outcome.error_code)
        return [Due(message_id, "Sent", None), final] if self._behaviour.sent_first else [final]

    def _push(self, due_at: float, group: list[Due]) -> None:
        heapq.heappush(self._due, (due_at, next(self._ticket), group))
        if self._due[0][2] is group:
            self._wake.set()

    async def _run(self) -> None:
        while True:
            wait = max(_TICK, self._due[0][0] - time.time()) if self._due else None
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
                await asyncio.sleep(_TICK)
            except TimeoutError:
                pass
            now = time.time()
            together: list[Due] = []
            while self._due and self._due[0][0] <= now:
                together += heapq.heappop(self._due)[2]
            self._post(together)

    def _post(self, receipts: list[Due]) -> None:
        for post in self._posts(receipts):
            self._poster.add(post)

    def _posts(self, receipts: list[Due]) -> list[Post]:
        """`receipts` lost, ordered, repeated, put into bodies, and joined by what was never said."""
        plan = self._behaviour
        receipts, forged = self._tampered(receipts)
        if plan.order == "reversed":
            receipts = receipts[::-1]
        if plan.repeats > 1:
            receipts = [receipt for receipt in receipts for _ in range(plan.repeats)]
        if plan.order == "shuffled":
            self._random.shuffle(receipts)
        posts = [self._body(group, forged=False) for group in self._arrays(receipts)]
        return posts + [self._body(group, forged=True) for group in self._arrays(forged)]

    def _tampered(self, receipts: list[Due]) -> tuple[list[Due], list[Due]]:
        plan, chance = self._behaviour, self._random.random
        if not (plan.loss_share or plan.forged_share or plan.unknown_share):
            return receipts, []
        kept, forged = [], []
        for receipt in receipts:
            if plan.loss_share and chance() < plan.loss_share:
                self.counters["lost"] += 1
            else:
                kept.append(receipt)
            if plan.forged_share and chance() < plan.forged_share:
                self.counters["forged"] += 1
                lie = "Failure" if receipt.status == "Delivered" else "Delivered"
                forged.append(Due(receipt.message_id, lie, None))
            if plan.unknown_share and chance() < plan.unknown_share:
                self.counters["unknown"] += 1
                kept.append(Due(stranger_id(), "Delivered", None))
        return kept, forged

    def _arrays(self, receipts: list[Due]) -> list[list[Due]]:
        size = largest_array(self._behaviour.shape, self._behaviour.array_size)
        return [receipts[start : start + size] for start in range(0, len(receipts), size)]

    def _body(self, receipts: list[Due], *, forged: bool) -> Post:
        plan = self._behaviour
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        written = write([Said(*receipt, at) for receipt in receipts], plan.shape)

        def remember(post: Post, reply: Reply) -> None:
            now = time.time()
            self.sent.extend(Sent(now, each.message_id, each.status, forged, reply.status) for each in receipts)
            if not forged:
                self.counters["receipts_accepted" if reply.ok else "receipts_given_up"] += len(receipts)

        return Post(
            plan.url,
            written,
            plan.proof,
            tries=plan.tries,
            retry_seconds=plan.retry_seconds,
            forged=forged,
            finished=remember,
        )


def _both(
    first: Callable[[Post, Reply], None] | None, second: Callable[[Post, Reply], None]
) -> Callable[[Post, Reply], None]:
    def both(post: Post, reply: Reply) -> None:
        if first is not None:
            first(post, reply)
        second(post, reply)

    return both
