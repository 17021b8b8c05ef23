"""From install to “not textable”, in a real browser: the merchant in the admin, the shopper on the shop's own site."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from blossom.campaigns.errors import CannotSend
from blossom.consent import service as consent
from blossom.platform import crypto
from blossom.platform.db import transaction
from tests.factories.consent import create_subscriber
from tests.journeys import world as worlds
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SALE = "Sale today. Reply STOP to opt out"


@pytest.fixture
def phone_tab(browser: Browser) -> Page:
    """A shopper's own browser, on a phone."""
    context = browser.new_context(locale="en-GB", viewport={"width": 390, "height": 800}, java_script_enabled=False)
    return context.new_page()


@pytest.mark.parametrize("double_opt_in", [False, True], ids=["at once", "confirmed by text"])
def test_a_shopper_agrees_is_seen_with_proof_opts_out_and_is_not_texted(
    town: Town, browser: Browser, phone_tab: Page, double_opt_in: bool
) -> None:
    domain = f"shopper-{double_opt_in:d}.myshopify.com"
    phone, typed = ("+306911111111", "691 111 1111") if double_opt_in else ("+306922222222", "692 222 2222")
    town.open_shop(domain)
    tab, frame = town.install(browser, domain)
    town.set_consent(domain, double_opt_in=double_opt_in)
    expect(frame.locator("[data-figure=contacts]")).to_have_text("0")

    agree(town, phone_tab, domain, typed)
    if double_opt_in:
        see(tab, frame, "Nobody is here yet")
        (asked,) = town.texts(phone)
        phone_tab.goto(link_in(asked))
        phone_tab.get_by_role("button", name="Yes, send me texts").click()
        expect(phone_tab.get_by_role("heading", name="It's done")).to_be_visible()
        town.work()

    see(tab, frame, f"{phone[:3]}")
    frame.get_by_role("link", name=re.compile(r"\+30")).click()
    expect(frame.locator("[data-verdict=marketing]")).to_have_text("Allowed")
    expect(frame.locator(".story blockquote").first).to_contain_text("may send me marketing texts")
    frame.get_by_role("link", name="Proof of consent").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Proof of consent")
    expect(frame.locator("main")).to_contain_text("127.0.0.1")
    expect(frame.locator("main")).to_contain_text("Mozilla")

    before = len(town.texts(phone))
    town.enqueue_campaign(domain, SALE)
    town.work()
    assert len(town.texts(phone)) == before + 1
    assert town.texts(phone)[-1].startswith("Sale today.")

    phone_tab.goto(opt_out_link(town, domain, phone))
    phone_tab.get_by_role("button", name="End the texts").click()
    expect(phone_tab.get_by_role("status")).to_contain_text("won't send you texts any more")
    see(tab, frame, "Opted out")
    frame.get_by_role("link", name=re.compile(r"\+30")).click()
    expect(frame.locator("[data-verdict=marketing]")).to_have_text("Not allowed")

    with pytest.raises(CannotSend):
        town.enqueue_campaign(domain, SALE)
    with town.inside(), transaction():
        other = create_subscriber(town.shop(domain)).phone
    town.enqueue_campaign(domain, "Sale again. Reply STOP to opt out")
    town.work()
    assert [text[:10] for text in town.texts(str(other))] == ["Sale again"]
    assert len(town.texts(phone)) == before + 1
    tab.context.close()
    phone_tab.context.close()


def agree(town: Town, page: Page, domain: str, typed: str) -> None:
    """Fill in the form on the shop's site and send it; what follows from it is done."""
    page.goto(town.site(domain))
    page.get_by_label("Mobile number").fill(typed)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Send me texts").click()
    expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    town.work()


def see(tab: Page, frame: FrameLocator, words: str) -> None:
    """Open the list of contacts from the admin's menu, and find `words` in it."""
    tab.get_by_role("navigation", name="Blossom").get_by_role("link", name="Contacts").click()
    expect(frame.locator("#contacts")).to_be_visible()
    expect(frame.locator("#contacts")).to_contain_text(words)


def link_in(text: str) -> str:
    found = re.search(r"http\S+", text)
    assert found, text
    return found.group()


def opt_out_link(town: Town, domain: str, phone: str) -> str:
    """Of the last text, if it holds one; else the person's own, as the page behind a confirmation shows it."""
    if found := re.search(r"http\S+", town.texts(phone)[-1]):
        return found.group()
    with town.inside(), transaction():
        shop_id = town.shop(domain).id
        code = consent.unsubscribe_code(shop_id, crypto.for_shop(shop_id).lookup(phone))
    return town.site(domain, f"/apps/blossom/unsubscribe/{code}")


def test_the_words_of_consent_that_a_merchant_types_outlive_their_session(
    town: Town, browser: Browser, phone_tab: Page
) -> None:
    domain, words = "words.myshopify.com", "Yes, text me about new words."
    town.open_shop(domain)
    town.install(browser, domain)[0].context.close()
    tab, frame, _ = worlds.open_admin(browser, town.world, "/settings/consent", shop=domain)
    frame.get_by_label("English").fill(words)
    town.world.make_tokens_stale(2)
    frame.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("Your Shopify session could not be renewed.")).to_be_visible()
    expect(frame.get_by_label("English")).to_have_value(words)
    phone_tab.goto(town.site(domain, "/apps/blossom/consent"))
    expect(phone_tab.get_by_text(words)).to_have_count(0)

    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("Consent settings saved")).to_be_visible()
    phone_tab.reload()
    expect(phone_tab.get_by_text(words)).to_be_visible()
    tab.context.close()
    phone_tab.context.close()
