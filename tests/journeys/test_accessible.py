"""The shopper's pages judged by axe, by the rules of WCAG 2.2 AA: in both languages, in the theme and by themselves.
`test_pages` does so with the merchant's."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Frame, Page, expect

from tests.journeys.test_shopper import link_in
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"target-size": {"enabled": True}},
}
SHOPPERS = "shoppers.myshopify.com"

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
