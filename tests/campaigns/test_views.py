"""The campaign's page, its live part and its stream, and who may see them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import update
from werkzeug.test import TestResponse

from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.campaigns.views import picture as pictures
from blossom.messaging.models import Batch, Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock, config, passes, stopping, streams
from blossom.platform.config import Config
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.factories.campaigns import (
    add_messages,
    create_campaign,
    create_completed,
    create_sending,
    end_dispatch,
    make_ready,
)
from tests.personas import Personas

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
def ours(personas: Personas) -> Shop:
    make_ready(personas.ours)
    return personas.ours


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Streams that look again at once, and end by themselves soon."""
    monkeypatch.setattr(streams, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(streams, "SECONDS", 0.2)
    yield
    stopping.forget()


def address(app: Flask, campaign: Campaign, what: str = "", *, shop: Shop | None = None) -> str:
    """The page's address with a good pass (of `shop`, if it is another's)."""
    settings: Config = app.config["BLOSSOM"]
    link = passes.link(settings, shop.id if shop else campaign.shop_id, f"campaigns/{campaign.id}")
    parts = urlsplit(link)
    return f"{parts.path}{what}?{parts.query}"


def going_out(shop: Shop, pending: int = 0, **counts: int) -> Campaign:
    """A campaign of which so many messages have come to each state, and others are still to go."""
    campaign = create_sending(shop, name="Summer & sale")
    add_messages(campaign, **counts)
    total = sum(counts.values()) + pending
    session.execute(
        update(Dispatch).where(Dispatch.id == campaign.dispatch_id).values(state=DispatchState.SENDING, total=total)
    )
    return campaign


def get(app: Flask, path: str, **headers: str) -> TestResponse:
    return app.test_client().get(path, headers=headers)


def counts(html: str) -> dict[str, int]:
    """The numbers of the table of outcomes."""
    return {key: int(number.replace(",", "")) for key, number in re.findall(r'data-count="(\w+)">([\d,]+)<', html)}


def events(response: TestResponse) -> list[tuple[str, str]]:
    """(name, data) of each server-sent event; "" is htmx's own, which is swapped in."""
    found = []
    for block in response.get_data(as_text=True).split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        if lines:
            name = "".join(value for field, _, value in lines if field == "event")
            found.append((name, "\n".join(value for field, _, value in lines if field == "data")))
    return found


class TestThePage:
    def test_shows_each_outcome_with_its_number(self, app: Flask, ours: Shop) -> None:
        campaign = going_out(ours, pending=3, delivered=5, sent=2, failed=1, skipped=1, unconfirmed=1)
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert counts(html) == {
            "delivered": 5, "sent": 2, "failed": 1, "skipped": 1, "unconfirmed": 1, "cancelled": 0, "pending": 3,
            "total": 13,
        }  # fmt: skip
        assert "<h1>Summer &amp; sale</h1>" in html

    def test_a_text_with_markup_is_shown_as_it_was_written(self, app: Flask, ours: Shop) -> None:
        campaign = create_campaign(ours, body="<script>alert(1)</script> Reply STOP", name="<b>bold</b>")
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "<script>alert" not in html
        assert "<b>bold" not in html

    def test_says_why_texts_failed_in_words(self, app: Flask, ours: Shop) -> None:
        campaign = create_completed(ours)
        for message in add_messages(campaign, failed=2):
            message.error, message.delivery_status = "expired", "EXPIRED"
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert "The phone was off or out of reach for too long." in html
        assert "EXPIRED</small>" in html, "and not the same twice"

    def test_an_unknown_cause_is_shown_by_its_code(self, app: Flask, ours: Shop) -> None:
        campaign = create_completed(ours)
        for message in add_messages(campaign, failed=1):
            message.error, message.delivery_status = "DLR_9_new", "Failure"
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert "The network could not deliver it." in html
        assert "DLR_9_new" in html

    def test_a_failed_campaign_tells_its_reason(self, app: Flask, ours: Shop) -> None:
        campaign = create_sending(ours)
        end_dispatch(campaign, DispatchState.FAILED, "unauthorized")
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert "text of unauthorized" in html

    def test_a_draft_says_that_it_was_not_sent_and_waits_for_it(self, app: Flask, ours: Shop) -> None:
        html = get(app, address(app, create_campaign(ours))).get_data(as_text=True)
        assert "has not been sent" in html
        assert "hx-sse:connect" in html

    def test_one_planned_for_each_persons_hour_names_that_hour(self, app: Flask, ours: Shop) -> None:
        campaign = create_campaign(ours)
        day = clock.now() + timedelta(days=3)
        at = day.replace(hour=10, minute=0, second=0, microsecond=0, tzinfo=None)
        service.schedule_campaign(ours.id, campaign.id, at, local=True, actor="test")
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert "each person&#39;s 10:00" in html

    @pytest.mark.parametrize("local", [False, True])
    def test_one_that_was_called_off_is_planned_no_more(self, app: Flask, ours: Shop, *, local: bool) -> None:
        campaign = create_campaign(ours)
        at = (clock.now() + timedelta(days=3)).replace(hour=10, minute=0, second=0, microsecond=0, tzinfo=None)
        service.schedule_campaign(ours.id, campaign.id, at, local=local, actor="test")
        assert "it is planned for" in get(app, address(app, campaign)).get_data(as_text=True)
        service.cancel_campaign(ours.id, campaign.id, actor="test")
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert "has not been sent." in html
        assert "it is planned for" not in html

    def test_a_settled_campaign_asks_for_nothing_more(self, app: Flask, ours: Shop) -> None:
        campaign = create_completed(ours)
        add_messages(campaign, delivered=3)
        html = get(app, address(app, campaign)).get_data(as_text=True)
        assert "data-settled" in html
        assert "hx-sse:connect" not in html
        assert "http-equiv" not in html

    def test_screen_readers_hear_of_tenths_not_of_every_number(self, app: Flask, ours: Shop) -> None:
        campaign = going_out(ours, pending=63, delivered=37)
        assert "Sending: 30 percent done." in get(app, address(app, campaign)).get_data(as_text=True)

    def test_is_fenced_in(self, app: Flask, ours: Shop) -> None:
        response = get(app, address(app, create_campaign(ours)))
        policy = response.headers["Content-Security-Policy"]
        assert "unsafe-inline" not in policy
        assert "unsafe-eval" not in policy
        assert "default-src 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        html = response.get_data(as_text=True)
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html), "nothing inline"


class TestPageOrPartial:
    def test_htmx_gets_the_live_part_alone(self, app: Flask, ours: Shop) -> None:
        campaign = create_sending(ours)
        add_messages(campaign, delivered=1)
        html = get(app, address(app, campaign), **HTMX).get_data(as_text=True).strip()
        assert html.startswith(f'<div class="stack" id="campaign-{campaign.id}-progress"')
        assert "<html" not in html

    def test_the_page_includes_the_same_part(self, app: Flask, ours: Shop) -> None:
        campaign = create_completed(ours)
        add_messages(campaign, delivered=1)
        part = get(app, address(app, campaign), **HTMX).get_data(as_text=True)
        assert part.strip() in get(app, address(app, campaign)).get_data(as_text=True)

    @pytest.mark.parametrize(
        "header", [{"HX-Boosted": "true"}, {"HX-History-Restore-Request": "true"}, {"HX-Request-Type": "full"}]
    )
    def test_a_boosted_link_and_a_step_back_get_the_page(self, app: Flask, ours: Shop, header: dict[str, str]) -> None:
        campaign = create_campaign(ours)
        assert "<html" in get(app, address(app, campaign), **{**HTMX, **header}).get_data(as_text=True)

    def test_caches_are_told_what_it_depends_on(self, app: Flask, ours: Shop) -> None:
        response = get(app, address(app, create_campaign(ours)))
        assert "HX-Request" in response.headers["Vary"].split(", ")


class TestTheStream:
    def test_sends_the_live_part_and_ends_when_nothing_more_can_come(self, app: Flask, ours: Shop, quick: None) -> None:
        campaign = create_completed(ours)
        add_messages(campaign, delivered=4)
        response = get(app, address(app, campaign, "/events"))
        assert response.mimetype == "text/event-stream"
        (unnamed, part), settled = events(response)
        assert unnamed == ""
        assert counts(part)["delivered"] == 4
        assert settled == ("settled", "")

    def test_goes_on_while_receipts_are_awaited(self, app: Flask, ours: Shop, quick: None) -> None:
        campaign = create_completed(ours)
        add_messages(campaign, sent=1)
        assert "settled" not in [name for name, _ in events(get(app, address(app, campaign, "/events")))]

    def test_no_receipt_is_awaited_for_ever(self, app: Flask, ours: Shop, quick: None) -> None:
        campaign = create_completed(ours)
        add_messages(campaign, sent=1)
        with clock.frozen_at(clock.now() + pictures.RECEIPTS_AWAITED + timedelta(minutes=1)):
            path = address(app, campaign, "/events")
            assert events(get(app, path))[-1] == ("settled", "")

    def test_ends_after_its_time_so_that_a_server_can_stop(self, app: Flask, ours: Shop, quick: None) -> None:
        campaign = create_sending(ours)
        found = events(get(app, address(app, campaign, "/events")))
        assert [name for name, _ in found] == [""], "what did not change is not sent again"

    def test_ends_at_once_when_the_process_is_to_stop(
        self, app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        campaign = create_sending(ours)
        stopping.request()
        try:
            assert len(events(get(app, address(app, campaign, "/events")))) == 1
        finally:
            stopping.forget()

    def test_a_change_is_sent(self, app: Flask, ours: Shop, quick: None) -> None:
        campaign = going_out(ours, pending=1, sent=4)
        stream = iter(app.test_client().get(address(app, campaign, "/events")).response)
        first = next(stream)
        session.execute(update(Batch).where(Batch.dispatch_id == campaign.dispatch_id).values(sent=1, delivered=3))
        changed = next(each for each in stream if each.strip() != b":")
        assert b'data-count="delivered">0<' in first
        assert b'data-count="delivered">3<' in changed


class TestWhoMaySeeIt:
    @pytest.mark.parametrize("what", ["", "/events"])
    def test_nobody_without_a_pass(self, app: Flask, ours: Shop, what: str) -> None:
        campaign = create_campaign(ours)
        response = get(app, f"/campaigns/{campaign.id}{what}")
        assert response.status_code == 403
        assert "This link doesn&#39;t open that page" in response.get_data(as_text=True)

    @pytest.mark.parametrize("what", ["", "/events"])
    def test_nobody_with_a_forged_one(self, app: Flask, ours: Shop, what: str) -> None:
        path = address(app, create_campaign(ours), what)
        place = len(path) - 10  # not the last character: some of its bits mean nothing in base64
        assert get(app, path[:place] + ("A" if path[place] != "A" else "B") + path[place + 1 :]).status_code == 403

    @pytest.mark.parametrize("what", ["", "/events"])
    def test_theirs_is_not_there(self, app: Flask, personas: Personas, what: str) -> None:
        theirs = create_campaign(personas.theirs)
        assert get(app, address(app, theirs, what, shop=personas.ours)).status_code == 404

    def test_a_pass_opens_one_page_only(self, app: Flask, ours: Shop) -> None:
        one, other = create_campaign(ours), create_campaign(ours)
        swapped = address(app, one).replace(f"/{one.id}?", f"/{other.id}?")
        assert get(app, swapped).status_code == 404

    def test_a_pass_ends_after_a_day(self, app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        path = address(app, create_campaign(ours))
        monkeypatch.setattr(passes, "LIFETIME_SECONDS", -1)
        assert get(app, path).status_code == 403

    def test_a_pass_outlives_a_new_master_key(self, app: Flask, ours: Shop) -> None:
        settings = config.current()
        campaign = create_campaign(ours)
        given = urlsplit(passes.link(settings, ours.id, f"campaigns/{campaign.id}")).query.removeprefix("pass=")
        rotated = replace(settings, master_keys={2: bytes(32), **settings.master_keys})
        assert passes.shop_of(rotated, given, f"campaigns/{campaign.id}") == ours.id

    def test_production_knows_no_passes(self, app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        path = address(app, create_campaign(ours))
        monkeypatch.setattr(config, "_current", replace(config.current(), environment="production"))
        assert get(app, path).status_code == 403


class TestErrors:
    def test_a_person_gets_a_page_with_the_request_id(self, app: Flask) -> None:
        response = get(app, "/nowhere")
        assert response.status_code == 404
        assert response.mimetype == "text/html"
        assert "There is nothing at this address." in response.get_data(as_text=True)
        assert response.headers["X-Request-Id"] in response.get_data(as_text=True)
        assert "Content-Security-Policy" in response.headers

    def test_htmx_gets_a_part(self, app: Flask) -> None:
        response = get(app, "/nowhere", **HTMX)
        html = response.get_data(as_text=True)
        assert "<html" not in html
        assert "There is nothing at this address." in html
        assert response.headers["HX-Retarget"] == "#trouble", "and not in the place of what asked"

    @pytest.mark.parametrize("path", ["/api/nowhere", "/api/v1/nowhere", "/webhooks/nowhere"])
    def test_a_program_gets_json(self, app: Flask, path: str) -> None:
        assert get(app, path).get_json()["code"] == "not_found"

    def test_a_fault_of_ours_tells_nothing_of_itself(
        self, app: Flask, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(pictures, "picture", broken)
        monkeypatch.setitem(app.config, "PROPAGATE_EXCEPTIONS", False)
        response = get(app, address(app, create_campaign(ours)))
        assert response.status_code == 500
        assert "Something broke on our side." in response.get_data(as_text=True)
        assert "secret detail" not in response.get_data(as_text=True)
