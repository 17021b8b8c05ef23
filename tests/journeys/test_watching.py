"""A merchant watches a campaign go out, stops it midway, goes on, sends failed ones again, and reads what it came to:
in a real browser, with Mitto's stand-in, whose log is the judge."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, Route, expect

from blossom.platform.db import transaction
from tests.factories.consent import create_subscriber
from tests.journeys import world as worlds
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

PEOPLE = 9
AWHILE_MS = 20_000
"""Longer than a page bears without a stream (static/js/live.js)."""
TEXT = "Sale until Sunday: {{ 'https://watching.example/sale' | shortlink }} Reply STOP to opt out"


_shops = count(1)


@pytest.fixture
def shop(town: Town, browser: Browser) -> Iterator[str]:
    """A shop of nine who agreed; the number of one is none that Mitto can text, and one's phone is off."""
    number = next(_shops)
    domain = f"watching-{number}.myshopify.com"
    town.open_shop(domain)
    tab, _ = town.install(browser, domain)
    tab.context.close()
    with town.inside(), transaction():
        for place in range(PEOPLE):
            create_subscriber(town.shop(domain), phone=f"+3069{number}000000{place}")
    town.mitto.configure(outcomes={"exact": {phone(domain, 7): "invalid", phone(domain, 8): "expired"}})
    town.mitto.reset()
    yield domain
    town.mitto.configure(outcomes={"exact": {}})


def counts(frame: FrameLocator) -> dict[str, int]:
    """The numbers of the table of outcomes, without those that are 0."""
    found = frame.locator("[data-count]").evaluate_all("all => all.map(e => [e.dataset.count, e.textContent])")
    return {key: number for key, shown in found if (number := int(shown.replace(",", "")))}


def ask(frame: FrameLocator, button: str, heading: str) -> str:
    """Press a button and read the question, which has the focus."""
    frame.get_by_role("link", name=button).press("Enter")
    expect(frame.get_by_role("heading", name=heading)).to_be_focused()
    return frame.locator(".question").inner_text()


def phone(shop: str, place: int) -> str:
    """The number of the shop's nine people at this place."""
    return f"+3069{shop.removeprefix('watching-')[0]}000000{place}"


def taken(town: Town, shop: str) -> list[dict[str, Any]]:
    """The texts to the shop's people that Mitto took."""
    return town.taken([phone(shop, place) for place in range(PEOPLE)])


def told(town: Town, shop: str) -> Counter[str]:
    """Mitto's last word on each of them."""
    return town.told([phone(shop, place) for place in range(PEOPLE)])


def each_got(town: Town, shop: str) -> Counter[str]:
    """Number → texts that Mitto took for it."""
    return Counter(text["destination"] for text in taken(town, shop))


def open_campaign(town: Town, browser: Browser, shop: str, campaign: int) -> tuple[Page, FrameLocator, worlds.Seen]:
    return worlds.open_admin(browser, town.world, f"/campaigns/{campaign}", shop=shop)


def test_a_campaign_is_watched_stopped_resumed_sent_again_and_read(
    town: Town, browser: Browser, shop: str, tmp_path: Path
) -> None:
    campaign = town.enqueue_campaign(shop, TEXT)
    town.prepare()
    tab, frame, seen = open_campaign(town, browser, shop, campaign)
    expect(frame.locator("[data-count=pending]")).to_have_text("9")

    town.send_a_little()
    left = len(taken(town, shop))
    expect(frame.locator("[data-count=sent]")).to_have_text(str(left))  # by the stream: nothing was pressed

    question = ask(frame, "Pause…", "Pause this campaign?")
    assert f"{left} texts were handed to Mitto" in question
    assert f"{PEOPLE - left} wait" in question
    frame.get_by_role("button", name="Pause it").press("Enter")
    expect(frame.get_by_role("link", name="Resume…")).to_be_visible()
    town.work()
    assert len(taken(town, shop)) == left, "nobody is texted while it is paused"
    assert counts(frame) == {"sent": left, "pending": PEOPLE - left, "total": PEOPLE}

    assert f"{PEOPLE - left} texts go out from now on" in ask(frame, "Resume…", "Resume this campaign?")
    frame.get_by_role("button", name="Resume it").click()
    expect(frame.get_by_role("link", name="Pause…")).to_be_visible()
    town.work()
    expect(frame.locator(".badge")).to_have_text("Completed")
    assert each_got(town, shop) == {phone(shop, place): 1 for place in range(PEOPLE) if place != 7}
    town.let_arrive()
    expect(frame.locator("[data-count=delivered]")).to_have_text("7")
    assert told(town, shop) == {"Delivered": 7, "EXPIRED": 1}, "and one was never taken"
    assert counts(frame) == {"delivered": 7, "failed": 2, "total": PEOPLE}
    causes = frame.locator(".causes")
    expect(causes).to_contain_text("The phone was off or out of reach for too long.")
    expect(causes).to_contain_text("Mitto can't text this phone number.")

    town.mitto.configure(outcomes={"exact": {}})
    question = ask(frame, "Send failed ones again…", "Send failed texts again?")
    assert "1 text that failed for a passing reason is sent again." in question
    assert "1 is not" in question
    frame.get_by_role("button", name="Send them again").click()
    expect(frame.locator(".notice-good")).to_contain_text("1 text is sent again.")
    expect(frame.locator(".notice-good")).to_be_focused()
    town.work()
    expect(frame.locator("[data-count=sent]")).to_have_text("1")
    assert each_got(town, shop)[phone(shop, 8)] == 2
    assert len(taken(town, shop)) == PEOPLE, "eight at first, and one again"
    town.let_arrive()
    expect(frame.locator("[data-settled]")).to_be_visible()
    assert told(town, shop) == {"Delivered": 8, "EXPIRED": 1}
    assert counts(frame) == {"delivered": 8, "failed": 1, "total": PEOPLE}

    frame.get_by_role("link", name="Recipients", exact=True).click()
    frame.get_by_label("Find a recipient by phone number").fill(phone(shop, 8))
    frame.get_by_role("button", name="Search").click()
    expect(frame.get_by_text("This number is a recipient of this campaign.")).to_be_visible()
    assert not any(phone(shop, 8)[1:] in url for _, url, _ in seen.answers), "the number stands in no address"
    frame.get_by_role("link", name=f"{phone(shop, 8)[:3]} {phone(shop, 8)[3:6]}").click()
    story = frame.locator(".story strong")
    expect(story.last).to_have_text("Delivered")
    assert {
        "Queued",
        "Handed to Mitto",
        "Failed",
        "Sent again by your staff",
        "Receipt: EXPIRED",
        "Receipt: Delivered",
    } <= {*story.all_inner_texts()}

    tab.goto(town.world.page_in_admin(f"/campaigns/{campaign}/recipients", shop))
    with tab.expect_download() as file:
        frame.get_by_role("link", name="Export as CSV").click()
    file.value.save_as(tmp_path / "recipients.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "recipients.csv").read_text("utf-8-sig"))))
    assert sorted(row["Number"] for row in rows) == [phone(shop, place) for place in range(PEOPLE)]
    assert Counter(row["State"] for row in rows) == {"Delivered": 8, "Failed": 1}

    frame.get_by_role("link", name="Results", exact=True).click()
    expect(frame.locator("[data-step=delivered]")).to_have_text("8")
    expect(frame.locator("[data-step=clicked]")).to_have_text("0")
    with tab.expect_download() as file:
        frame.get_by_role("link", name="Report as PDF").click()
    assert re.fullmatch(r"campaign-\d+-report\.pdf", file.value.suggested_filename)
    assert [complaint for complaint in seen.complaints if "net::ERR_ABORTED" not in complaint] == []
    tab.context.close()


def _cut(route: Route) -> None:
    route.abort()


def _no_room(route: Route) -> None:
    """As `streams.answer` says it."""
    route.fulfill(status=204)


@pytest.mark.parametrize("ends", [_cut, _no_room])
def test_a_page_without_a_stream_asks_and_opens_one_when_it_can(
    town: Town, browser: Browser, shop: str, ends: Callable[[Route], None]
) -> None:
    campaign = town.enqueue_campaign(shop, "Sale today. Reply STOP to opt out")
    town.prepare()
    tab = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    tab.clock.install()
    tab.route("**/events*", ends)
    tab.goto(town.world.page_in_admin(f"/campaigns/{campaign}", shop))
    frame = tab.frame_locator("#app")
    expect(frame.locator("[data-count=pending]")).to_have_text("9")
    town.send_a_little()
    tab.clock.fast_forward(AWHILE_MS)
    expect(frame.locator("[data-count=sent]")).not_to_have_text("0")  # asked for, since no stream came through
    expect(frame.locator("#trouble")).to_be_empty()
    tab.unroute("**/events*")
    with tab.expect_response(re.compile("/events")) as opened:
        tab.clock.fast_forward(AWHILE_MS)
    assert opened.value.status == 200
    town.work()
    expect(frame.locator("[data-count=pending]")).to_have_text("0")
    tab.context.close()


def test_what_is_cancelled_midway_tells_what_has_left(town: Town, browser: Browser, shop: str) -> None:
    campaign = town.enqueue_campaign(shop, "Sale today. Reply STOP to opt out")
    town.prepare()
    town.send_a_little()
    left = len(taken(town, shop))
    tab, frame, _ = open_campaign(town, browser, shop, campaign)
    expect(frame.locator("[data-count=sent]")).to_have_text(str(left))
    assert f"{PEOPLE - left} texts never leave." in ask(frame, "Cancel…", "Cancel this campaign for good?")
    frame.get_by_role("button", name="Cancel the campaign").press("Enter")
    notice = frame.locator(".notice-good")
    expect(notice).to_contain_text(f"{PEOPLE - left} texts never leave.")
    expect(notice).to_contain_text(f"{left} texts were handed to Mitto, and can't be called back.")
    town.work()
    assert len(taken(town, shop)) == left
    expect(frame.locator("[data-count=cancelled]")).to_have_text(str(PEOPLE - left))
    tab.context.close()


def test_a_stream_that_is_cut_midway_goes_on(town: Town, browser: Browser, shop: str) -> None:
    campaign = town.enqueue_campaign(shop, "Sale today. Reply STOP to opt out")
    town.prepare()
    tab, frame, seen = open_campaign(town, browser, shop, campaign)
    town.send_a_little()
    left = len(taken(town, shop))
    expect(frame.locator("[data-count=sent]")).to_have_text(str(left))  # it is open
    town.world.cut_off()
    town.work()
    expect(frame.locator("[data-count=sent]")).to_have_text(str(PEOPLE - 1))
    assert len(taken(town, shop)) == PEOPLE - 1
    opened = [url for _, url, status in seen.answers if url.endswith("/events") and status == 200]
    assert len(opened) >= 2, "by a stream anew"
    expect(frame.locator("#trouble")).to_be_empty()
    tab.context.close()
