"""Token buckets: how long each caller is told to wait. Nobody waits here; the buckets' arithmetic is what is tried.

With Redis, its own clock runs on between two calls, so waits are compared within a margin of the time that passed.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from structlog.testing import capture_logs

from blossom.platform import config, queue, throttle
from blossom.platform.throttle import Bucket, Throttle
from tests.conftest import Services

_names = itertools.count()


@pytest.fixture(autouse=True)
def own_redis(services: Services) -> Iterator[redis.Redis]:
    queue.init(services.redis_url)
    queue.connection().flushdb()
    yield queue.connection()
    queue.init(services.redis_url)
    queue.connection().flushdb()


def bucket(rate: float = 100) -> Bucket:
    return Bucket(f"test:{next(_names)}", rate)


class Stopwatch:
    """How long a stretch took: by so much may a bucket have filled meanwhile."""

    def __enter__(self) -> Stopwatch:
        self._from = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._from + 0.002  # Redis' clock is read to a tenth of a millisecond


# With Redis


def test_a_second_s_worth_goes_at_once_and_the_next_has_to_wait() -> None:
    one = bucket(rate=100)
    with Stopwatch() as passed:
        first, second, third = (Throttle().take([one], 100) for _ in range(3))
    assert first == 0
    assert 1 - passed.seconds <= second <= 1
    assert 2 - passed.seconds <= third <= 2


def test_a_batch_larger_than_the_bucket_goes_into_debt_and_waits_for_it() -> None:
    with Stopwatch() as passed:
        wait = Throttle().take([bucket(rate=100)], 500)
    assert 4 - passed.seconds <= wait <= 4


def test_waits_keep_the_rate_over_many_calls() -> None:
    """The last of a row of calls may begin when all that went before are paid for: rate kept, nothing lost."""
    one, calls, amount = bucket(rate=1000), 50, 200
    with Stopwatch() as passed:
        waits = [Throttle().take([one], amount) for _ in range(calls)]
    total = calls * amount / one.rate
    assert total - 1 - passed.seconds <= waits[-1] <= total - 1
    assert waits == sorted(waits)


def test_callers_at_once_share_the_rate_and_queue_up() -> None:
    one, threads, each = bucket(rate=100), 8, 10
    waits: list[float] = []
    ready = threading.Barrier(threads)

    def caller() -> None:
        ready.wait(timeout=30)
        waits.extend(Throttle().take([one], 50) for _ in range(each))

    with Stopwatch() as passed:
        running = [threading.Thread(target=caller) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    assert len(waits) == threads * each
    for place, wait in enumerate(sorted(waits), start=1):
        expected = max(0.0, place * 0.5 - 1)
        assert expected - passed.seconds <= wait <= expected, f"the {place}th in the queue"


def test_a_bucket_fills_again_with_time(own_redis: redis.Redis) -> None:
    one = bucket(rate=100)
    Throttle().take([one], 300)
    _let_time_pass(own_redis, one, seconds=1.5)
    with Stopwatch() as passed:
        wait = Throttle().take([one], 0)
    assert 0.5 - passed.seconds - 0.1 <= wait <= 0.5


def test_a_bucket_never_holds_more_than_a_second_s_worth(own_redis: redis.Redis) -> None:
    one = bucket(rate=100)
    Throttle().take([one], 1)
    _let_time_pass(own_redis, one, seconds=3600)
    with Stopwatch() as passed:
        wait = Throttle().take([one], 200)
    assert 1 - passed.seconds <= wait <= 1


def test_a_redis_whose_clock_went_back_takes_nothing_away(own_redis: redis.Redis) -> None:
    one = bucket(rate=100)
    Throttle().take([one], 50)
    _let_time_pass(own_redis, one, seconds=-3600)
    assert Throttle().take([one], 50) == 0


def _let_time_pass(connection: redis.Redis, one: Bucket, seconds: float) -> None:
    """Make the bucket's last use so much earlier."""
    key = f"throttle:{one.name}"
    at = float(connection.hget(key, "at") or 0)
    connection.hset(key, "at", str(at - seconds))


def test_what_was_not_used_is_given_back() -> None:
    one, all_of_it = bucket(rate=100), Throttle()
    all_of_it.take([one], 100)
    all_of_it.put_back([one], 100)
    assert all_of_it.take([one], 100) == 0


def test_giving_back_too_much_fills_no_more_than_the_bucket() -> None:
    one, generous = bucket(rate=100), Throttle()
    generous.put_back([one], 10_000)
    with Stopwatch() as passed:
        wait = generous.take([one], 200)
    assert 1 - passed.seconds <= wait <= 1


def test_of_two_buckets_the_slower_one_decides_and_both_are_debited() -> None:
    for order in (1, -1):
        account, shop = bucket(rate=40), bucket(rate=10)
        with Stopwatch() as passed:
            wait = Throttle().take([shop, account][::order], 50)
            alone = Throttle().take([account], 40)
        assert 4 - passed.seconds <= wait <= 4
        assert 1.25 - passed.seconds <= alone <= 1.25


def test_one_shop_s_debt_is_not_another_s() -> None:
    mine, theirs = bucket(rate=10), bucket(rate=10)
    Throttle().take([mine], 100)
    assert Throttle().take([theirs], 10) == 0


def test_without_any_bucket_nobody_waits() -> None:
    assert Throttle().take([], 1000) == 0


def test_a_bucket_of_nobody_is_forgotten_by_redis(own_redis: redis.Redis) -> None:
    idle, deep = bucket(rate=100), bucket(rate=100)
    Throttle().take([idle], 1)
    Throttle().take([deep], 10_000)
    assert 0 < own_redis.ttl(f"throttle:{idle.name}") <= 61
    assert own_redis.ttl(f"throttle:{deep.name}") > 99, "not before its debt is paid"


def test_a_redis_that_has_forgotten_the_script_is_told_it_again(own_redis: redis.Redis) -> None:
    one = bucket()
    Throttle().take([one], 1)
    own_redis.script_flush()
    assert Throttle().take([one], 1) == 0


# Without Redis


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No Redis, two lanes, and a clock that a test moves: `alone[0]` in seconds."""
    monkeypatch.setattr(config, "_current", config.Config(lanes=2))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue.init(f"redis://127.0.0.1:{port}/0")
    now = [1000.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now[0])
    return now


def test_without_redis_work_goes_on_at_a_share_of_the_rate(alone: list[float]) -> None:
    one, own = bucket(rate=100), Throttle()
    assert own.take([one], 25) == 0
    assert own.take([one], 25) == pytest.approx(1)
    assert own.take([one], 50) == pytest.approx(3)


@pytest.mark.parametrize("lanes", [1, 2, 4, 5, 16])
def test_without_redis_all_lanes_of_a_host_together_keep_the_rate(
    alone: list[float], monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    monkeypatch.setattr(config, "_current", config.Config(lanes=lanes))
    one, processes = bucket(rate=100), [Throttle() for _ in range(lanes)]
    seconds = max(process.take([one], 100) for process in processes)
    burst = lanes * 100 / max(4, lanes)  # a bucket is full at first
    assert lanes * 100 - burst <= one.rate * seconds + 1e-9


def test_without_redis_a_bucket_fills_again_up_to_its_share(alone: list[float]) -> None:
    one, own = bucket(rate=100), Throttle()
    own.take([one], 75)
    alone[0] += 2
    assert own.take([one], 0) == 0
    alone[0] += 3600
    assert own.take([one], 50) == pytest.approx(1)


def test_without_redis_it_is_slower_than_with_it_never_faster(alone: list[float], services: Services) -> None:
    one, own = bucket(rate=100), Throttle()
    without = [own.take([one], 100) for _ in range(5)]
    queue.init(services.redis_url)
    together = [own.take([one], 100) for _ in range(5)]
    assert all(slow > fast for slow, fast in zip(without, together, strict=True))


def test_without_redis_tokens_are_given_back_too(alone: list[float]) -> None:
    one, own = bucket(rate=100), Throttle()
    own.take([one], 25)
    own.put_back([one], 25)
    assert own.take([one], 25) == 0


def test_that_redis_is_away_is_logged(alone: list[float]) -> None:
    with capture_logs() as entries:
        Throttle().take([bucket()], 1)
    assert [(entry["event"], entry["log_level"]) for entry in entries] == [("throttle.alone", "warning")]
