"""Each page judged by axe, by the rules of WCAG 2.2 AA: the shopper's in both languages, in the theme and by itself;
the merchant's in the admin's frame."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Frame, Page, expect

from blossom.platform.db import transaction
from tests.factories.campaigns import add_messages, create_campaign, create_completed, create_sending
from tests.factories.consent import create_subscriber
from tests.factories.contacts import create_contact
from tests.journeys import world as worlds
from tests.journeys.test_shopper import link_in
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"target-size": {"enabled": True}},
}
SHOPPERS, MERCHANTS = "shoppers.myshopify.com", "merchants.myshopify.com"

axe = Axe()


def faults(page: Page | Frame, what: str) -> list[str]:
    """What axe finds: rule, element, and why, of the page that is shown."""
    found = axe.run(page, options=OPTIONS).response["violations"]
    return [
        f"{what}: {rule['id']} {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]
    ]


@pytest.fixture(scope="module")
def shoppers(built_town: Town, browser: Browser) -> Town:
    """The town with a shop whose shoppers confirm by text."""
    built_town.open_shop(SHOPPERS)
    built_town.install(browser, SHOPPERS)[0].context.close()
    return built_town


@pytest.mark.parametrize(
    ("in_theme", "locale", "scheme"),
    [(True, "en", "light"), (True, "el", "light"), (False, "en", "dark"), (False, "el", "light")],
)
def test_whoever_shops_can_use_every_page(
    town: Town, shoppers: Town, browser: Browser, in_theme: bool, locale: str, scheme: str
) -> None:
    number = f"6955555{in_theme:d}{locale == 'el':d}{scheme == 'dark':d}"
    town.set_consent(SHOPPERS, double_opt_in=True, in_theme=in_theme)
    context = browser.new_context(locale=f"{locale}-GR", color_scheme=scheme, viewport={"width": 390, "height": 800})  # type: ignore[arg-type]
    page, found = context.new_page(), list[str]()

    def look(what: str) -> None:
        expect(page.locator(f"[lang={locale}]").first).to_be_visible()
        found.extend(faults(page, what))

    page.goto(town.site(SHOPPERS, f"/apps/blossom/consent?locale={locale}"))
    look("form")
    page.locator("#blossom-phone").fill("12")
    page.locator("form button").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("form with faults")
    page.locator("#blossom-phone").fill(number)
    page.get_by_role("checkbox").check()
    page.locator("form button").click()
    expect(page.get_by_role("status")).to_be_visible()
    look("sent")
    town.work()
    page.goto(link_in(town.texts(f"+30{number}")[-1]))
    look("confirm")
    page.locator("form button").click()
    expect(page.get_by_role("status")).to_be_visible()
    look("confirmed")
    page.get_by_role("link").last.click()
    look("unsubscribe")
    page.locator("form button").click()
    expect(page.get_by_role("status")).to_be_visible()
    look("unsubscribed")
    page.goto(town.site(SHOPPERS, f"/apps/blossom/confirm/{'a' * 16}?locale={locale}"))
    look("gone")
    if in_theme:
        page.goto(town.site(SHOPPERS, f"/?locale={locale}"))
        look("the theme's block")
    context.close()
    assert found == []


@pytest.fixture(scope="module")
def merchants(built_town: Town, browser: Browser) -> dict[str, str]:
    """What a merchant may look at: the pages' paths by what they show."""
    built_town.open_shop(MERCHANTS)
    built_town.install(browser, MERCHANTS)[0].context.close()
    with built_town.inside(), transaction():
        shop = built_town.shop(MERCHANTS)
        person = create_subscriber(shop, last_name="Papadopoulou")
        create_contact(shop, first_name=None)
        drafted, done = create_campaign(shop), create_completed(shop, name="Done")
        add_messages(done, delivered=5, failed=2, skipped=1, unconfirmed=1)
        going = create_sending(shop, name="Going")
        one = f"/contacts/{person.id}"
        return {
            "home": "/",
            "settings": "/settings",
            "settings of consent": "/settings/consent",
            "contacts": "/contacts",
            "no contacts": "/contacts?state=pending",
            "one contact": one,
            "the question": f"{one}/opt-out",
            "proof": f"{one}/proof",
            "a draft": f"/campaigns/{drafted.id}",
            "a campaign that is done": f"/campaigns/{done.id}",
            "a campaign that is sent": f"/campaigns/{going.id}",
            "nothing": "/campaigns/999999",
        }


def test_every_merchant_can_use_every_page(town: Town, merchants: dict[str, str], browser: Browser) -> None:
    tab, frame, _ = worlds.open_admin(browser, town.world, shop=MERCHANTS)
    found: list[str] = []

    def look(what: str) -> None:
        (inner,) = [each for each in tab.frames if each.name == "app-iframe"]
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found.extend(faults(inner, f"{what}, {scheme}"))

    for what, path in merchants.items():
        tab.goto(town.world.page_in_admin(path, MERCHANTS))
        expect(frame.get_by_role("heading", level=1)).to_be_visible()
        look(what)
        if what == "settings":
            frame.get_by_label("Sender").fill("no good!")
            frame.get_by_role("button", name="Save").click()
            expect(frame.get_by_text("1 field needs another look")).to_be_visible()
            look("settings with a fault")
    tab.context.close()
    assert found == []
