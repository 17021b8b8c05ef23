"""A merchant tests two texts against each other: writes them, confirms, watches, and sends the rest the better one.
In a real browser, with Mitto's stand-in, whose log tells who got which text."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from blossom.campaigns.models import Campaign
from blossom.platform.db import session, transaction
from tests.factories.consent import create_subscriber
from tests.journeys import world as worlds
from tests.journeys.test_accessible import faults
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

DOMAIN = "texts.myshopify.com"
PEOPLE = 10
PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
OF_A = "Coffee at 20% off: {{ 'https://texts.example/coffee' | shortlink }} Reply STOP to opt out"
OF_B = "“Autumn” roasts are here: {{ 'https://texts.example/autumn' | shortlink }} Reply STOP to opt out"


def texts(frame: FrameLocator, name: str) -> Locator:
    return frame.get_by_role("textbox", name=name)


def saved(frame: FrameLocator) -> None:
    expect(frame.locator("#compose[data-dirty]")).to_have_count(0)
    expect(frame.locator("#kept[data-state=saved]")).to_have_count(1)


def stored(town: Town) -> Campaign:
    with town.inside(), transaction():
        found = session.query(Campaign).order_by(Campaign.id.desc()).limit(1).one()
        session.expunge(found)
        return found


def each_got(town: Town) -> Counter[str]:
    """The first word of a text → how many people Mitto took it for. Nobody is in it twice."""
    log = [text for text in town.mitto.log() if text["destination"].startswith("+3069700000")]
    assert max(Counter(text["destination"] for text in log).values()) == 1, "nobody is texted twice"
    return Counter(text["text"].split()[0] for text in log)


def opened(link: str) -> str | None:
    """Tap the link as a phone does; where it leads."""
    on_the_site = urlsplit(requests.get(link, allow_redirects=False, timeout=20).headers["Location"])
    answer = requests.get(
        f"http://127.0.0.1:{on_the_site.port}{on_the_site.path}",
        headers={"Host": on_the_site.netloc, "User-Agent": PHONE},
        allow_redirects=False,
        timeout=20,
    )
    return answer.headers.get("Location")


def judged(tab: Page, frame_name: str = "app-iframe") -> list[str]:
    (inner,) = [each for each in tab.frames if each.name == frame_name]
    return faults(inner, "several texts")


def test_two_texts_are_written_tested_and_the_better_one_goes_to_the_rest(town: Town, browser: Browser) -> None:
    town.open_shop(DOMAIN)
    town.install(browser, DOMAIN)[0].context.close()
    with town.inside(), transaction():
        for place in range(PEOPLE):
            create_subscriber(town.shop(DOMAIN), phone=f"+306970000{place:03}")
    town.mitto.reset()
    tab, frame, seen = worlds.open_admin(browser, town.world, "/campaigns/new", shop=DOMAIN)

    frame.get_by_label("Name", exact=True).fill("Autumn")
    frame.get_by_label("Everybody who agreed to texts").check()
    texts(frame, "What it says").fill(OF_A)
    expect(texts(frame, "Text B")).not_to_be_visible()
    frame.get_by_label("No", exact=True).focus()
    tab.keyboard.press("ArrowRight")
    expect(texts(frame, "Text B")).to_be_visible()
    of_b = frame.get_by_role("region", name="Text B")
    of_b.get_by_role("button", name="Copy text A here").press("Enter")
    expect(texts(frame, "Text B")).to_have_value(OF_A)
    saved(frame)
    unshown = frame.get_by_text("What you wrote into the texts that are not shown now")
    expect(unshown).not_to_be_visible()
    frame.get_by_label("No", exact=True).check(force=True)
    expect(unshown).to_be_visible()
    frame.get_by_label("2 texts").check(force=True)
    expect(texts(frame, "Text B")).to_have_value(OF_A)
    expect(unshown).not_to_be_visible()
    saved(frame)
    tab.context.set_offline(True)
    texts(frame, "Text B").fill(OF_B)
    expect(frame.get_by_text("Not saved yet: we could not be reached.")).to_be_visible()
    tab.context.set_offline(False)
    saved(frame)
    of_b.get_by_role("button", name="Write quotes, dashes and spaces plainly").click()
    expect(texts(frame, "Text B")).to_have_value(re.compile('^"Autumn"'))
    expect(texts(frame, "What it says")).to_have_value(OF_A)
    expect(frame.locator("[data-letter=B] [data-preview]")).to_contain_text('"Autumn" roasts are here')
    frame.get_by_label("Text A", exact=True).fill("20")
    frame.get_by_label("Text B", exact=True).and_(frame.locator("input")).fill("30")
    expect(frame.locator("[data-split=B]")).to_have_text("Text B: 3 people")
    frame.get_by_label("I do").check()
    saved(frame)
    tab.reload()
    expect(texts(frame, "Text B")).to_have_value(re.compile('^"Autumn"'))
    expect(frame.get_by_label("I do")).to_be_checked()
    assert (stored(town).ab_test or {})["shares"] == [20, 30]
    assert judged(tab) == []

    frame.get_by_role("button", name="Review and send").click()
    dialog = frame.get_by_role("dialog")
    expect(dialog.locator("[data-tested=B]")).to_contain_text("30%")
    expect(dialog.locator("[data-tested=rest]")).to_contain_text("50%")
    dialog.get_by_role("button", name="Yes, send it to 10 people").click()
    expect(frame.get_by_role("heading", name="Autumn")).to_be_visible()
    town.work()
    expect(frame.locator("[data-figure=waiting]")).to_have_text("5 people wait for the winner")
    assert each_got(town) == {"Coffee": 2, '"Autumn"': 3}
    expect(frame.locator("[data-count=sent]")).to_have_text("5")
    assert judged(tab) == []

    of_b_first = next(text for text in town.mitto.log() if text["text"].startswith('"Autumn"'))
    (link,) = re.findall(r"http\S+", of_b_first["text"])
    assert opened(link) == "https://texts.example/autumn"
    expect(frame.locator("[data-text=B] [data-of=clicked]")).to_have_text("1")
    frame.get_by_role("link", name="Send B to the rest…").press("Enter")
    expect(frame.get_by_role("heading", name="Send text B to the rest?")).to_be_focused()
    expect(frame.locator(".question")).to_contain_text("5 people wait for the winner, and get this text.")
    assert each_got(town).total() == 5, "who only asks sends nothing"
    frame.get_by_role("button", name="Send text B to the rest").press("Enter")
    expect(frame.get_by_text("Text B was chosen by hand")).to_be_visible()
    town.work()
    expect(frame.locator(".badge-completed").first).to_be_visible()
    expect(frame.locator("[data-text=B] [data-of=recipients]")).to_have_text("8")
    assert each_got(town) == {"Coffee": 2, '"Autumn"': 8}

    frame.get_by_role("link", name="Results", exact=True).click()
    expect(frame.locator("[data-rate=A]")).to_have_text("0%")
    expect(frame.locator("[data-rate=B]")).to_have_text("12.5%")
    frame.get_by_role("link", name="Recipients", exact=True).click()
    frame.get_by_label("Find a recipient by phone number").fill(of_b_first["destination"])
    frame.get_by_role("button", name="Search").click()
    expect(frame.get_by_text("This number is a recipient of this campaign.")).to_be_visible()
    frame.get_by_role("link", name="+30 697").click()
    expect(frame.locator("[data-letter]")).to_have_text("Text B")
    offline = ("ERR_INTERNET_DISCONNECTED", "Failed to fetch")  # for a moment, above
    assert [each for each in seen.complaints if not any(words in each for words in offline)] == []
    tab.context.close()
