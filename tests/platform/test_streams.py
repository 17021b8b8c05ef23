"""Event streams: what a client hears and when, made once for all who are shown the same, with bounds."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask, Response
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from blossom.platform import languages, streams
from blossom.platform.errors import NotFound
from blossom.platform.streams import Broadcaster, Shown, Stream, Topic
from tests.faults.processes import until

AT_ONCE = 10.0


def names(said: str) -> list[str]:
    """Of the events; "" is htmx's own, which is swapped in."""
    return [(re.findall(r"^event: (.+)$", block, re.M) or [""])[0] for block in said.split("\n\n") if "data:" in block]


def parts(said: str) -> list[str]:
    """What is swapped in, each time."""
    return re.findall(r"(?:^|\n\n)data: (.+)", said)


@dataclass
class Client:
    """A line to a client. `takes`: whether it reads; what is said to it otherwise waits."""

    takes: bool = True
    over: bool = False
    heard: list[str] = field(default_factory=list)
    _waiting: str | None = None
    _is_last: bool = False

    def say(self, words: bytes, *, last: bool = False) -> bool:
        if self._waiting is not None and not self.takes:
            return False
        if self._waiting is not None:
            self._take(self._waiting)
        if words or last:
            self._waiting, self._is_last = words.decode(), last
        if self._waiting is not None and self.takes:
            self._take(self._waiting)
        return True

    def _take(self, words: str) -> None:
        self.heard.append(words)
        self._waiting, self.over = None, self.over or self._is_last

    @property
    def told(self) -> str:
        return "".join(self.heard)


@dataclass
class Sight:
    """Something to look at, that counts how often."""

    html: str = "<p>1</p>"
    is_last: bool = False
    fault: Exception | None = None
    looks: int = 0

    def look(self) -> Shown:
        self.looks += 1
        if self.fault is not None:
            raise self.fault
        return Shown(f"{self.html}{languages.reader()}", self.is_last)


def topic(sight: Sight, *, shop: int = 1, key: str = "any") -> Topic:
    return Topic(shop, key, sight.look)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TICK_SECONDS", "SLOWEST_TICK_SECONDS", "_ROUND_SECONDS", "_BREATH_SECONDS"):
        monkeypatch.setattr(streams, name, 0.01)


@pytest.fixture
def said() -> Iterator[Broadcaster]:
    """Whose thread is idle again at the end."""
    broadcaster = Broadcaster()
    yield broadcaster
    for each in list(broadcaster._channels.values()):
        for line in each.clients.values():
            line.over = True
    until(lambda: broadcaster.open_streams(1)[0] == 0, "all are gone", AT_ONCE)


class TestWhatOneHears:
    def test_a_part_again_only_when_it_has_changed(self) -> None:
        stream = Stream()
        first = Shown("<p>1</p>", is_last=False)
        assert parts(stream.words(first, stream.began)) == ["<p>1</p>"]
        assert stream.words(Shown("<p>1</p>", is_last=False), stream.began + 1) == ""
        assert parts(stream.words(Shown("<p>2</p>", is_last=False), stream.began + 2)) == ["<p>2</p>"]

    def test_that_it_lives_when_nothing_changes_for_long(self) -> None:
        stream, shown = Stream(), Shown("<p>1</p>", is_last=False)
        stream.words(shown, stream.began)
        said = [stream.words(shown, stream.began + second) for second in range(1, 8)]
        assert [names(each) for each in said] == [[], [], ["alive"], [], [], ["alive"], []]

    def test_not_that_it_lives_when_nobody_can_look(self) -> None:
        stream = Stream()
        assert [stream.words(None, stream.began + second) for second in range(9)] == [""] * 9

    def test_the_last_part_and_that_it_is_the_last(self) -> None:
        stream = Stream()
        assert names(stream.words(Shown("<p>1</p>", is_last=True), stream.began)) == ["", "settled"]
        assert stream.over

    def test_no_more_after_its_time_whatever_happens(self) -> None:
        for shown in (None, Shown("<p>1</p>", is_last=False)):
            stream = Stream()
            stream.words(shown, stream.began + streams.SECONDS * 0.74)
            assert not stream.over
            stream.words(shown, stream.began + streams.SECONDS)
            assert stream.over


@pytest.mark.usefixtures("quick")
class TestWhatAllHear:
    def test_is_made_once_for_all_who_are_shown_the_same(self, said: Broadcaster) -> None:
        sight, clients = Sight(), [Client() for _ in range(200)]
        gate = threading.Event()

        def look() -> Shown:
            assert gate.wait(AT_ONCE)
            return sight.look()

        for client in clients:
            said.join(Topic(1, "any", look), "en", client)
        gate.set()
        until(lambda: all(client.heard for client in clients), "all have heard", AT_ONCE)
        assert {client.told for client in clients} == {"data: <p>1</p>en\n\n"}
        assert sight.looks < 20, "200 clients, and as many looks as one"

    def test_is_in_the_language_of_each(self, said: Broadcaster) -> None:
        sight, english, greek = Sight(), Client(), Client()
        said.join(topic(sight), "en", english)
        said.join(topic(sight), "el", greek)
        until(lambda: english.heard and greek.heard, "both have heard", AT_ONCE)
        assert (parts(english.told)[0], parts(greek.told)[0]) == ("<p>1</p>en", "<p>1</p>el")

    def test_is_not_what_others_look_at(self, said: Broadcaster) -> None:
        ours, theirs = Client(), Client()
        said.join(topic(Sight("<p>ours</p>"), key="1"), "en", ours)
        said.join(topic(Sight("<p>theirs</p>"), key="2"), "en", theirs)
        until(lambda: ours.heard and theirs.heard, "both have heard", AT_ONCE)
        assert (parts(ours.told), parts(theirs.told)) == (["<p>ours</p>en"], ["<p>theirs</p>en"])

    def test_ends_when_nothing_more_is_to_come(self, said: Broadcaster) -> None:
        client = Client()
        said.join(topic(Sight(is_last=True)), "en", client)
        until(lambda: client.over, "it ends", AT_ONCE)
        assert names(client.told) == ["", "settled"]
        until(lambda: said.open_streams(1) == (0, 0), "its place is free", AT_ONCE)

    def test_ends_when_it_is_there_no_more(self, said: Broadcaster) -> None:
        sight, client = Sight(), Client()
        said.join(topic(sight), "en", client)
        until(lambda: client.heard, "it begins", AT_ONCE)
        sight.fault = NotFound("campaign")
        until(lambda: client.over, "it ends", AT_ONCE)
        assert "settled" not in names(client.told)

    def test_ends_with_what_let_it_in(self, said: Broadcaster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "SECONDS", 0.1)
        client = Client()
        said.join(topic(Sight()), "en", client)
        until(lambda: client.over, "it ends", AT_ONCE)

    def test_goes_on_once_the_database_is_back(self, said: Broadcaster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "ALIVE_SECONDS", 0.0)
        sight, client = Sight(), Client()
        said.join(topic(sight), "en", client)
        until(lambda: "alive" in names(client.told), "it lives", AT_ONCE)
        sight.fault = OperationalError("SELECT", {}, Exception())
        tried = sight.looks
        until(lambda: sight.looks > tried + 3, "it is away", AT_ONCE)
        silent = len(client.heard)
        until(lambda: sight.looks > tried + 9, "it is still away", AT_ONCE)
        assert len(client.heard) == silent, "it was said to live, and nobody could look"
        sight.fault, sight.html = None, "<p>2</p>"
        until(lambda: parts(client.told)[-1] == "<p>2</p>en", "it goes on", AT_ONCE)

    def test_is_for_who_takes_little_the_newest(self, said: Broadcaster) -> None:
        sight, slow, other = Sight(), Client(takes=False), Client()
        said.join(topic(sight), "en", slow)
        said.join(topic(sight), "en", other)
        for number in range(2, 30):
            sight.html = f"<p>{number}</p>"
            until(lambda: other.told.endswith(f"{sight.html}en\n\n"), "the other hears all", AT_ONCE)
        slow.takes = True
        until(lambda: len(slow.heard) > 1, "it takes it", AT_ONCE)
        assert [parts(slow.told)[0], *parts(slow.told)[1:]] == [parts(slow.told)[0], "<p>29</p>en"]

    def test_is_of_after_they_came(self, said: Broadcaster) -> None:
        """A page that shows what its reader has just done must not be told of before."""
        sight, first, second = Sight(), Client(), Client()
        looks_now, go_on = threading.Event(), threading.Event()
        go_on.set()

        def look() -> Shown:
            shown = sight.look()
            looks_now.set()
            assert go_on.wait(AT_ONCE)
            return shown

        said.join(Topic(1, "any", look), "en", first)
        until(lambda: first.heard, "it begins", AT_ONCE)
        looks_now.clear()
        go_on.clear()
        assert looks_now.wait(AT_ONCE), "it is just being looked at"
        sight.html = "<p>2</p>"
        said.join(Topic(1, "any", look), "en", second)
        go_on.set()
        until(lambda: second.heard, "the other hears too", AT_ONCE)
        assert parts(second.told) == ["<p>2</p>en"]

    def test_is_looked_at_less_often_while_it_stands_still(
        self, said: Broadcaster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "SLOWEST_TICK_SECONDS", 5.0)
        sight = Sight()
        said.join(topic(sight), "en", Client())
        until(lambda: sight.looks > 2, "it is looked at", AT_ONCE)
        channel = next(iter(said._channels.values()))
        until(lambda: channel.pause > 0.1, "more and more seldom", AT_ONCE)

    def test_takes_a_part_of_the_processs_time(self, said: Broadcaster, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many topics there are."""
        monkeypatch.setattr(streams, "SLOWEST_TICK_SECONDS", 5.0)
        looked: list[tuple[float, float]] = []

        def look() -> Shown:
            began = time.monotonic()
            until(lambda: time.monotonic() > began + 0.05, "so long it takes")
            looked.append((began, time.monotonic()))
            return Shown("<p>1</p>", is_last=False)

        for number in range(20):
            said.join(Topic(1, number, look), "en", Client())
        until(lambda: len(looked) > 6, "several looks", AT_ONCE)
        spent = sum(ended - began for began, ended in looked[:6])
        assert spent < (looked[6][0] - looked[0][0]) * 0.4

    def test_begins_with_the_next_stream_if_no_thread_was_to_be_had_for_the_first(
        self, said: Broadcaster, quick: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def scarce(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        first, second = Client(over=True), Client()  # whoever parks hangs up on one that could not begin
        with monkeypatch.context() as scarcity:
            scarcity.setattr(threading.Thread, "start", scarce)
            with pytest.raises(RuntimeError):
                said.join(topic(Sight(), key="first"), "en", first)
        said.join(topic(Sight(is_last=True), key="second"), "en", second)
        until(lambda: second.over, "the second hears all there is", AT_ONCE)
        until(lambda: said.open_streams(1) == (0, 0), "the first counts no more", AT_ONCE)


def answered(
    app: Flask, *, park: Callable[[Any], list[bytes]] | None = None, shop: int = 1, fault: Exception | None = None
) -> Response:
    environ = {streams.PARK: park} if park else {}
    with app.test_request_context(environ_overrides=environ):
        return streams.answer(topic(Sight(is_last=True, fault=fault), shop=shop))


class TestTheirNumber:
    def test_those_who_find_no_room_are_told_to_ask_by_themselves(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "MOST", 3)
        monkeypatch.setattr(streams, "MOST_OF_A_SHOP", 2)
        begun: list[Callable[[Client], None]] = []

        def park(begin: Callable[[Client], None]) -> list[bytes]:
            begun.append(begin)
            return []

        clients = [Client(takes=False) for _ in range(3)]
        for shop, client, room in ((1, clients[0], 200), (1, clients[1], 200), (1, None, 204), (2, clients[2], 200)):
            assert answered(app, park=park, shop=shop).status_code == room
            if client is not None:
                begun[-1](client)
        assert answered(app, park=park, shop=2).status_code == 204, "of all shops"
        for client in clients:
            client.over = True
        until(lambda: answered(app, park=park, shop=1).status_code == 200, "there is room again", AT_ONCE)

    def test_few_hold_a_thread_where_the_server_parks_none(self, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "MOST_BY_THREADS", 2)
        asked_at_once = [answered(app) for _ in range(3)]
        assert [each.status_code for each in asked_at_once] == [200] * 3, "none of them has begun"
        opened = [iter(each.response) for each in asked_at_once]
        assert [next(each, None) is not None for each in opened] == [True, True, False]
        assert answered(app).status_code == 204
        for each in opened:
            each.close()  # type: ignore[attr-defined]  # a generator
        assert answered(app).status_code == 200

    def test_one_that_holds_a_thread_ends_quietly_when_nobody_can_look(self, app: Flask) -> None:
        """Raised, it would be written down by the server, with the address and the pass in it."""
        answer = answered(app, fault=OperationalError("SELECT", {}, Exception("no answer")))
        with capture_logs() as told:
            assert list(answer.response) == []
        assert [(each["event"], each["error"]) for each in told] == [("streams.look_failed", "OperationalError")]
        assert answered(app).status_code == 200
