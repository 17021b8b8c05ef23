"""Event streams: a part of a page, sent again and again as it changes (server-sent events, decision 0038).

    alive      named event: nothing has changed, and somebody has looked (static/js/live.js waits for it)
    settled    named event: nothing more is to come

Where the server parks connections (`environ["blossom.park"]`, ops/gunicorn_streams.py), open streams cost no thread:
one thread of the process looks for all of them, at each topic once for all that are shown the same, and writes without
waiting. Elsewhere each stream is a generator that holds its thread, and there may be few. Whoever finds no room gets
204: their page asks by itself, and now and then for a stream again.

No stream outlives what let it in by much: it ends after `SECONDS`, and the page opens the next with a new token.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import structlog
from flask import Flask, Response, current_app, request

from blossom.platform import htmx, languages, stopping
from blossom.platform.errors import NotFound

log = structlog.get_logger()

PARK = "blossom.park"
"""In `environ`, of a server that can: `park(begin)` makes what is returned for a body. Once the headers have gone, it
calls `begin` with the `Line`."""

SECONDS = 60.0
"""As long as a session's token lives. A stream ends up to a quarter sooner, so that those that began together don't
come back together."""

TICK_SECONDS = 0.7
SLOWEST_TICK_SECONDS = 2.5
"""What stands still is looked at less and less often, down to this."""
ALIVE_SECONDS = 3.0
SHARE = 4
"""Of its time, the thread that looks takes one part in so many: many topics are looked at less often, and pages stay
quick."""

MOST = 1_000
"""Parked streams of a process."""
MOST_OF_A_SHOP = 300
MOST_BY_THREADS = 16
"""Streams of a process whose server does not park them."""

_ROUND_SECONDS = 0.5
"""Between two goes through all streams: who is to hear that nothing changed, whose time is over, who takes more now."""
_BREATH_SECONDS = 0.05
"""Those who come at once are looked for at once."""


@dataclass(frozen=True)
class Shown:
    """What a look gave: a part of a page. `is_last`: nothing more is to come."""

    html: str
    is_last: bool

    @cached_property
    def event(self) -> str:
        return htmx.event(self.html)


@dataclass(frozen=True)
class Topic:
    """What is looked at for whoever is shown the same. `key`: theirs in common, with the shop and all rights that
    change what is shown. `look` is called outside of any request, and leaves no connection held. Raises `NotFound` when
    it is there no more."""

    shop_id: int
    key: Hashable
    look: Callable[[], Shown]


class Line(Protocol):
    """A parked connection."""

    over: bool
    """It has ended, by whoever."""

    def say(self, words: bytes, *, last: bool = False) -> bool:
        """Send it without waiting; what does not go out is kept. False: something kept before has still not gone out,
        and `words` are not taken. Empty words only try again. Whoever takes nothing for long is hung up on. `last`: end
        it when these are out."""


class Stream:
    """What is said to one client."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._ends_at = self.began + SECONDS * random.uniform(0.75, 1)  # noqa: S311  (no secret)
        self._heard_at = self.began
        self._shown: str | None = None
        self.over = False

    def words(self, shown: Shown | None, now: float) -> str:
        """What is to be said now; "" for nothing. After `over`, nothing more is. `shown` None: nobody could look."""
        said = ""
        if shown is not None and shown.html != self._shown:
            said, self._shown = shown.event, shown.html
        elif shown is not None and now - self._heard_at >= ALIVE_SECONDS:
            said = htmx.event("", "alive")
        if said:
            self._heard_at = now
        if shown is not None and shown.is_last:
            said += htmx.event("", "settled")
            self.over = True
        elif now >= self._ends_at:
            self.over = True
        return said


def answer(topic: Topic) -> Response:
    """A stream of `topic` in the language of who asked, or 204."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the app itself, for after the request
    room: _Room = app.extensions.setdefault("streams", _Room())
    park = request.environ.get(PARK)
    if not room.is_open_for(topic.shop_id, parked=park is not None):
        return _unstored(app.response_class(status=204))
    locale = languages.reader()
    body: Iterable[str]
    if park is not None:
        body = park(lambda line: room.broadcaster.join(topic, locale, line))
    else:
        body = _by_thread(topic, locale, room)
    response = app.response_class(body, mimetype="text/event-stream", direct_passthrough=park is not None)
    response.headers["X-Accel-Buffering"] = "no"  # a buffering proxy would hold back what is meant to be live
    return _unstored(response)


def _unstored(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store, no-transform"
    return response


class _Room:
    """The streams that are open in this process."""

    def __init__(self) -> None:
        self.broadcaster = Broadcaster()
        self._by_threads = 0
        self._lock = threading.Lock()
        self._told_at = float("-inf")

    def is_open_for(self, shop_id: int, *, parked: bool) -> bool:
        """Whether one more may be opened. Requests that ask at once may all be let in."""
        if parked:
            in_all, of_shop = self.broadcaster.open_streams(shop_id)
            is_open = in_all < MOST and of_shop < MOST_OF_A_SHOP
        else:
            is_open = self._by_threads < MOST_BY_THREADS
        if not is_open and (now := time.monotonic()) > self._told_at + 60:
            self._told_at = now
            log.warning("streams.full", shop_id=shop_id, parked=parked)
        return is_open

    @contextmanager
    def thread(self) -> Iterator[bool]:
        """Whether there was room for one more that holds a thread; it is taken until the end of the block."""
        with self._lock:
            found = self._by_threads < MOST_BY_THREADS
            self._by_threads += found
        try:
            yield found
        finally:
            with self._lock:
                self._by_threads -= found


def _by_thread(topic: Topic, locale: str, room: _Room) -> Iterator[str]:
    """Between two of the words, the thread's language may be another's."""
    stream = Stream()
    with room.thread() as found:
        while found and not stream.over:
            try:
                with languages.reading(locale):
                    shown = topic.look()
            except NotFound:  # deleted meanwhile
                return
            except Exception as fault:  # raised, the server would write down the address, and a pass may stand in it
                _note_failure(topic, fault)
                return
            yield stream.words(shown, time.monotonic()) or htmx.COMMENT
            if stopping.wait(TICK_SECONDS):
                return


def _note_failure(topic: Topic, fault: Exception) -> None:
    log.warning("streams.look_failed", shop_id=topic.shop_id, error=type(fault).__name__)


@dataclass(eq=False)
class _Channel:
    """Those who are shown the same, and what. `shown` None: nobody has looked yet, or the last look failed."""

    topic: Topic
    locale: str
    clients: dict[Stream, Line] = field(default_factory=dict)
    newest: float = float("-inf")  # when the last of them came
    shown: Shown | None = None
    looked_at: float = float("-inf")  # when the last look began
    pause: float = TICK_SECONDS
    is_failing: bool = False

    @property
    def due_at(self) -> float:
        return self.looked_at + (TICK_SECONDS if self.newest > self.looked_at else self.pause)

    def look(self) -> None:
        self.looked_at, before = time.monotonic(), self.shown
        try:
            with languages.reading(self.locale):
                self.shown = self.topic.look()
            self.is_failing = False
        except NotFound:  # deleted meanwhile
            for stream in self.clients:
                stream.over = True
        except Exception as fault:
            if not self.is_failing:
                _note_failure(self.topic, fault)
            self.shown, self.is_failing = None, True
        changed = before is None or self.shown is None or before.html != self.shown.html
        stands_still = self.is_failing or not changed
        self.pause = min(self.pause * 1.5, SLOWEST_TICK_SECONDS) if stands_still else TICK_SECONDS

    def serve(self, now: float) -> None:
        """Say to each what is new to them. Who came after the last look waits for the next: their page may know more
        than that look did."""
        for stream, line in self.clients.items():
            if not line.say(b"") or line.over:
                continue
            words = "" if stream.over else stream.words(self.shown if self.looked_at >= stream.began else None, now)
            if words or stream.over:
                line.say(words.encode(), last=stream.over)


class Broadcaster:
    """Looks and says for all parked streams of a process, in one thread, which begins with the first of them. A look
    that hangs holds up the others, and nobody is told meanwhile that they are alive: their pages ask, and hear why."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[int] = Counter()  # by shop
        self._arrived: deque[tuple[Topic, str, Stream, Line]] = deque()
        self._channels: dict[Hashable, _Channel] = {}  # only the thread's own
        self._look_at = self._round_at = float("-inf")
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def open_streams(self, shop_id: int) -> tuple[int, int]:
        """In all, and of this shop."""
        with self._lock:
            return self._open.total(), self._open[shop_id]

    def join(self, topic: Topic, locale: str, line: Line) -> None:
        """Say on `line` what there is to see, until it is over."""
        with self._lock:
            self._open[topic.shop_id] += 1
            self._arrived.append((topic, locale, Stream(), line))
            if self._thread is None:
                thread = threading.Thread(target=self._go_on, name="streams", daemon=True)
                thread.start()  # may fail where threads are scarce; then the next to come tries again
                self._thread = thread
        self._woken.set()

    def _go_on(self) -> None:
        while True:
            self._woken.clear()
            self._let_in_and_out()
            try:
                self._turn()
            except Exception:  # else all streams would stand still for good
                log.exception("streams.turn_failed")
            stopping.wait(_BREATH_SECONDS)

    def _let_in_and_out(self) -> None:
        while self._arrived:
            topic, locale, stream, line = self._arrived.popleft()
            channel = self._channels.setdefault((topic.key, locale), _Channel(topic, locale))
            channel.clients[stream], channel.newest = line, stream.began
        for key, channel in list(self._channels.items()):
            gone = [stream for stream, line in channel.clients.items() if line.over]
            for stream in gone:
                del channel.clients[stream]
            if not channel.clients:
                del self._channels[key]
            with self._lock:
                self._open[channel.topic.shop_id] -= len(gone)

    def _turn(self) -> None:
        """Wait for whatever comes next, and do it."""
        due = min(self._channels.values(), key=lambda channel: channel.due_at, default=None)
        if due is None:
            self._woken.wait()
            return
        time_to_look = max(due.due_at, self._look_at)
        self._woken.wait(max(0.0, min(self._round_at, time_to_look) - time.monotonic()))
        began = time.monotonic()
        if began >= time_to_look:
            due.look()
            ended = time.monotonic()
            self._look_at = ended + min((SHARE - 1) * (ended - began), SLOWEST_TICK_SECONDS)
            due.serve(ended)
        if began >= self._round_at:
            for channel in self._channels.values():
                channel.serve(time.monotonic())
            self._round_at = time.monotonic() + _ROUND_SECONDS
