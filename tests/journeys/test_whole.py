"""The whole way of a campaign, from its first letter to its results, by somebody who has no mouse: in the admin's
frame, with a session that ends midway, to more than a thousand people. What the screen says is held against Mitto's own
log."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, FrameLocator, expect

from blossom.campaigns.models import Campaign
from blossom.platform.db import session, transaction
from blossom.wallet import queries as wallets
from blossom.wallet import service as wallet
from tests.factories.consent import create_subscriber
from tests.factories.crowds import create_crowd
from tests.faults.processes import until
from tests.journeys import world as worlds
from tests.journeys.keys import Keys
from tests.journeys.test_watching import counts
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SHOP = "whole-way.myshopify.com"
OWN = "+306911111111"
NIKOS = "+306922222222"
BATCH = 250
GREEK = "Όλος ο καφές με 20% έκπτωση ως την Κυριακή, στο μαγαζί και στο διαδίκτυο. Δείξτε αυτό το μήνυμα στο ταμείο. "


@pytest.fixture
def town(town: Town) -> Town:
    """In batches that a large campaign takes."""
    return replace(town, settings=replace(town.settings, mitto_batch_size=BATCH))


@pytest.fixture
def phones(town: Town, browser: Browser) -> list[str]:
    """The numbers of a shop's 1,002 people: the last is none that can be texted, the one before it is off."""
    town.open_shop(SHOP)
    town.install(browser, SHOP)[0].context.close()
    with town.inside(), transaction():
        shop = town.shop(SHOP)
        wallet.top_up(shop.id, 100_000, reference="gift:whole")
        create_subscriber(shop, first_name="Nikos", phone=NIKOS)
        people = [NIKOS, *create_crowd(shop, 1_001)]
    town.mitto.configure(outcomes={"exact": {people[-1]: "invalid", people[-2]: "expired"}})
    town.mitto.reset()
    return people


def credits_left(town: Town) -> int:
    with town.inside(), transaction():
        return wallets.balance(town.shop(SHOP).id).available


def written(town: Town) -> str:
    """The text of the shop's newest campaign, as it is stored."""
    with town.inside(), transaction():
        return session.query(Campaign).order_by(Campaign.id.desc()).limit(1).one().body


def shows_what_mitto_says(town: Town, frame: FrameLocator, phones: list[str], *, not_taken: int = 0) -> None:
    """The table of outcomes, row by row, and the sum of what left."""
    told, taken = town.told(phones), town.taken(phones)
    heard = told["Delivered"] + told["EXPIRED"]
    last_words = Counter(sent=len(taken) - heard, delivered=told["Delivered"], failed=told["EXPIRED"] + not_taken)
    shown = Counter(counts(frame))
    assert {state: shown[state] for state in last_words} == dict(last_words)


def work_until_shown(town: Town, frame: FrameLocator, selector: str, words: str = "") -> None:
    """Of so many texts a job counts why some failed, once the page has asked for it."""

    def shown() -> bool:
        town.work()
        return frame.locator(selector, has_text=words).count() == 1

    until(shown, f"{selector} is shown: {words}")


def test_with_the_keyboard_alone_from_the_first_letter_to_the_results(
    town: Town, phones: list[str], browser: Browser
) -> None:
    tab, frame, seen = worlds.open_admin(browser, town.world, shop=SHOP)
    keys = Keys(tab)
    tab.clock.install()
    expect(frame.locator("#home")).to_be_visible()

    # Written: to everybody, in Greek, with a name that is filled in.
    keys.press(frame.get_by_role("link", name="Write a campaign").first)
    expect(frame.locator("#compose")).to_be_visible()
    keys.fill(frame.get_by_label("Name", exact=True), "Έκπτωση")
    keys.tick(frame.get_by_label("Everybody who agreed to texts"))
    expect(frame.locator("[data-figure=recipients]")).to_have_text("1,002")
    text = frame.get_by_role("textbox", name="What it says")
    keys.go(text)
    keys.press(frame.get_by_role("button", name="First name").first, back=True)
    expect(text).to_be_focused()
    town.world.make_tokens_stale(1)
    tab.clock.fast_forward(60_000)
    keys.type(f": {GREEK}Reply STOP to opt out")
    preview = frame.locator("[data-preview]").first
    expect(preview).to_contain_text("Όλος ο καφές με 20% έκπτωση")
    expect(frame.locator("#kept[data-state=saved] [data-kept]")).to_have_text(re.compile(r"^Saved at"))
    expect(frame.locator("#compose[data-dirty]")).to_have_count(0)
    assert "401" in str(seen.complaints), "the session ended midway"
    assert written(town).endswith(f"}}}}: {GREEK}Reply STOP to opt out"), "and took nothing"

    # Looked at as one of its readers gets it, and made cheaper.
    keys.choose(frame.get_by_label("Shown for"), "Nikos")
    expect(preview).to_contain_text("Nikos: Όλος ο καφές")
    dear = int(frame.locator("[data-figure=credits]").inner_text().replace(",", ""))
    cure = frame.locator(".cure").filter(has_text="Write Greek in capitals")
    saves = re.search(r"Saves ([\d,]+) credits of ([\d,]+)", cure.inner_text())
    assert saves
    keys.press(cure.get_by_role("button"), back=True)
    expect(text).to_be_focused()
    cheap = dear - int(saves[1].replace(",", ""))
    expect(frame.locator("[data-figure=credits]")).to_have_text(f"{cheap:,}")
    expect(preview).to_contain_text("OΛOΣ O KAΦEΣ ME 20% EKΠTΩΣH")

    # Tried on one's own phone.
    before = credits_left(town)
    keys.fill(frame.get_by_label("Your numbers"), OWN)
    keys.press(frame.get_by_role("button", name="Send a test"))
    expect(frame.get_by_text("On its way to 1 number")).to_be_visible()
    town.work()
    (tried,) = town.texts(OWN)
    assert "OΛOΣ O KAΦEΣ" in tried
    test_cost = before - credits_left(town)

    # Confirmed with the number of its readers.
    keys.press(frame.get_by_role("button", name="Review and send"))
    dialog = frame.locator("dialog:modal")
    expect(dialog.get_by_role("heading", name="Send “Έκπτωση” now?")).to_be_focused()
    expect(dialog.locator("[data-number=recipients]")).to_have_text("1,002")
    expect(dialog.locator("[data-number=cost]")).to_have_text(f"{cheap:,}")
    keys.fill(dialog.get_by_label("To go on, type how many people get it"), "1002")
    keys.press(dialog.get_by_role("button", name="Yes, send it to 1,002 people"))
    expect(frame.get_by_role("heading", level=1, name="Έκπτωση")).to_be_visible()

    # Watched as it goes out, stopped midway, and let go on.
    town.prepare()
    expect(frame.locator("[data-count=pending]")).to_have_text("1,002")
    town.send_a_little()
    left = len(town.taken(phones))
    assert 0 < left < len(phones)
    expect(frame.locator("[data-count=sent]")).to_have_text(f"{left:,}")
    keys.press(frame.get_by_role("link", name="Pause…"))
    expect(frame.get_by_role("heading", name="Pause this campaign?")).to_be_focused()
    expect(frame.locator(".question")).to_contain_text(f"{left} texts were handed to Mitto")
    keys.press(frame.get_by_role("button", name="Pause it"))
    expect(frame.get_by_role("link", name="Resume…")).to_be_visible()
    town.work()
    assert len(town.taken(phones)) == left, "nobody is texted while it is paused"
    keys.press(frame.get_by_role("link", name="Resume…"))
    expect(frame.get_by_role("heading", name="Resume this campaign?")).to_be_focused()
    keys.press(frame.get_by_role("button", name="Resume it"))
    expect(frame.get_by_role("link", name="Pause…")).to_be_visible()
    town.work()
    expect(frame.locator(".badge")).to_have_text("Completed")
    expect(frame.locator("[data-count=sent]")).to_have_text("1,001")
    shows_what_mitto_says(town, frame, phones, not_taken=1)
    town.let_arrive()
    expect(frame.locator("[data-count=delivered]")).to_have_text("1,000")
    work_until_shown(town, frame, ".causes", "The phone was off or out of reach for too long.")
    shows_what_mitto_says(town, frame, phones, not_taken=1)

    # What failed for a passing reason is sent again, and nothing else.
    town.mitto.configure(outcomes={"exact": {}})
    expect(frame.locator(".causes")).to_contain_text("Mitto can't text this phone number.")
    keys.press(frame.get_by_role("link", name="Send failed ones again…"))
    expect(frame.locator(".question")).to_contain_text("1 text that failed for a passing reason is sent again.")
    keys.press(frame.get_by_role("button", name="Send them again"))
    expect(frame.locator(".notice-good")).to_be_focused()
    town.work()
    expect(frame.locator("[data-count=sent]")).to_have_text("1")
    town.let_arrive()
    work_until_shown(town, frame, "[data-settled]")
    expect(frame.locator("[data-count=delivered]")).to_have_text("1,001")
    assert Counter(text["destination"] for text in town.taken(phones)) == Counter([*phones[:-1], phones[-2]])
    assert town.told(phones) == {"Delivered": 1_001, "EXPIRED": 1}

    # Read.
    keys.press(frame.get_by_role("link", name="Results", exact=True))
    expect(frame.locator("[data-step=delivered]")).to_have_text("1,001")
    expect(frame.locator("[data-figure=delivered]")).to_have_text(re.compile("^1,001 "))
    paid = before - test_cost - credits_left(town)
    expect(frame.locator("[data-figure=credits]")).to_have_text(re.compile(f"^{paid:,} "))
    assert worlds.cookies(tab.context) == []
    assert [each for each in seen.complaints if "401" not in each and "net::ERR_ABORTED" not in each] == []
    tab.context.close()
