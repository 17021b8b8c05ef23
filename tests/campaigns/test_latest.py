"""What many open pages show is made once for all of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from blossom.campaigns.views import latest, watching
from blossom.campaigns.views import picture as pictures
from blossom.campaigns.views.latest import Latest
from blossom.campaigns.views.picture import Picture, Viewer
from blossom.platform import passes
from blossom.shops.models import Shop
from tests.factories.campaigns import add_messages, create_sending, make_ready
from tests.faults.processes import until
from tests.personas import Personas


def test_those_who_ask_at_once_wait_for_the_one_who_makes_it() -> None:
    shown: Latest[int] = Latest()
    began, go_on, made = threading.Event(), threading.Event(), []

    def make() -> int:
        made.append(1)
        began.set()
        assert go_on.wait(10)
        return len(made)

    with ThreadPoolExecutor(20) as threads:
        first = threads.submit(shown.get, "page", 60.0, make)
        assert began.wait(10)
        others = [threads.submit(shown.get, "page", 60.0, make) for _ in range(19)]
        go_on.set()
        assert {each.result(10) for each in (first, *others)} == {1}
    assert len(made) == 1


def test_each_key_has_its_own_and_what_is_too_old_is_made_anew() -> None:
    shown: Latest[str] = Latest()
    assert shown.get("a", 60.0, lambda: "first") == "first"
    assert shown.get("b", 60.0, lambda: "other") == "other"
    assert shown.get("a", 60.0, lambda: "second") == "first"
    assert shown.get("a", 0.0, lambda: "second") == "second"


def test_what_fails_is_told_to_who_asked_and_not_kept() -> None:
    shown: Latest[str] = Latest()

    def fail() -> str:
        raise LookupError

    with pytest.raises(LookupError):
        shown.get("a", 60.0, fail)
    assert shown.get("a", 60.0, lambda: "fine") == "fine"


class Door:
    """A lock that knows how many have come."""

    def __init__(self) -> None:
        self.come, self._lock = 0, threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        self.come += 1

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_who_waited_for_what_fails_does_not_try_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: Latest[int] = Latest()
    door, tried = Door(), []
    monkeypatch.setattr(shown, "_lock", door)

    def fail() -> int:
        tried.append(1)
        until(lambda: door.come == 5, "all five wait")
        raise LookupError

    with ThreadPoolExecutor(5) as threads:
        asked = [threads.submit(shown.get, "page", 60.0, fail) for _ in range(5)]
        assert all(isinstance(each.exception(100), LookupError) for each in asked)
    assert len(tried) == 1


def test_what_nobody_looks_at_any_more_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: Latest[str] = Latest()
    shown.get("a", 60.0, lambda: "seen")
    monkeypatch.setattr(latest, "_FORGOTTEN_AFTER", -1.0)
    shown.get("b", 60.0, lambda: "seen")
    assert set(shown._slots) == {"b"}


@pytest.fixture
def ours(personas: Personas) -> Shop:
    make_ready(personas.ours)
    return personas.ours


def test_a_hundred_streams_of_a_campaign_look_at_it_as_often_as_one(
    app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = create_sending(ours)
    add_messages(campaign, sent=3)
    looks, real = [], pictures.picture

    def counted(looks_by: Viewer, campaign_id: int) -> Picture:
        looks.append(campaign_id)
        return real(looks_by, campaign_id)

    monkeypatch.setattr(pictures, "picture", counted)
    monkeypatch.setattr(watching, "TICK_SECONDS", 30.0)
    link = passes.link(app.config["BLOSSOM"], ours.id, f"campaigns/{campaign.id}")
    path = f"/campaigns/{campaign.id}/events?{link.partition('?')[2]}"
    streams = [iter(app.test_client().get(path).response) for _ in range(100)]
    parts = {next(stream) for stream in streams}
    assert len(parts) == 1
    assert len(looks) == 1
    for stream in streams:
        stream.close()  # type: ignore[attr-defined]  # a generator


def test_a_stream_on_which_nothing_changes_says_that_it_lives(
    app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = create_sending(ours)
    monkeypatch.setattr(watching, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(watching, "ALIVE_SECONDS", 0.0)
    monkeypatch.setattr(watching, "STREAM_SECONDS", 0.2)
    link = passes.link(app.config["BLOSSOM"], ours.id, f"campaigns/{campaign.id}")
    said = app.test_client().get(f"/campaigns/{campaign.id}/events?{link.partition('?')[2]}").get_data(as_text=True)
    assert "event: alive\n" in said
