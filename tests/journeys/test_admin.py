"""The merchant's way in, in a real browser: the install, the frame, and session tokens that end in mid-work."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from blossom.platform import clock
from blossom.platform.db import session, transaction
from blossom.shops import queries as shops
from blossom.shops.models import Installation, Shop, StaffMember
from tests.conftest import Services
from tests.factories.campaigns import create_campaign
from tests.journeys import world as worlds
from tests.journeys.world import SCOPES, SHOP, Seen, World

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def world(services: Services, template_database: str) -> Iterator[World]:
    with worlds.start(services, template_database) as started:
        yield started


def test_a_merchant_installs_it_and_finds_it_in_the_admins_frame(world: World, browser: Browser) -> None:
    tab, frame, seen = worlds.open_admin(browser, world)
    expect(tab.get_by_role("heading", name="Install Blossom in Blue Shop?")).to_be_visible()
    tab.get_by_role("button", name="Install").click()

    expect(frame.get_by_role("heading", level=1)).to_have_text("blue-shop")
    expect(frame.locator("[data-figure=contacts]")).to_have_text("0")
    with world.app.app_context(), transaction():
        shop = shops.by_domain(SHOP)
        assert shop is not None
        installation = session.query(Installation).filter_by(shop_id=shop.id).one()
        assert installation.has_access
        assert installation.refresh_token, "an expiring token, with its successor"
        assert set(installation.scopes) == set(SCOPES)
        (member,) = session.query(StaffMember).filter_by(shop_id=shop.id)
        assert member.scopes is not None, "Shopify told what the staff member may do"

    menu = tab.get_by_role("navigation", name="Blossom")
    expect(menu.get_by_role("link")).to_contain_text(["Home", "Campaigns", "Contacts", "Settings"])
    expect(menu.get_by_role("link", name="Home")).to_have_attribute("aria-current", "page")
    menu.get_by_role("link", name="Settings").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Settings")
    expect(tab).to_have_url(re.compile(r"/settings$"))
    documents = [url for method, url, _ in seen.answers if url.endswith("/settings")]
    assert documents == [f"{world.url}/settings"], "fetched with the session, not loaded anew"

    tab.reload()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Settings")
    assert worlds.cookies(tab.context) == []
    assert seen.complaints == [], "the browser found nothing to complain of, the content security policy included"


SettingsPage = tuple[Page, FrameLocator, Seen]


@pytest.fixture
def settings_page(world: World, browser: Browser) -> Iterator[SettingsPage]:
    world.shopify.install(SHOP)
    opened = worlds.open_admin(browser, world, "/settings")
    yield opened
    opened[0].context.close()


def sender_in_database(world: World) -> str:
    with world.app.app_context(), transaction():
        shop = shops.by_domain(SHOP)
        assert shop is not None
        return shop.sender


def posts(seen: Seen) -> list[int]:
    return [status for method, _, status in seen.answers if method == "POST"]


def test_a_token_that_ends_in_mid_form_is_renewed_and_nobody_notices(world: World, settings_page: SettingsPage) -> None:
    tab, frame, seen = settings_page
    frame.get_by_label("Sender").fill("Renewed")
    world.make_tokens_stale(1)
    expect(tab.get_by_text("Unsaved changes")).to_be_visible()
    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("Settings saved")).to_be_visible()
    assert posts(seen) == [401, 200], "App Bridge tried again with a new token"
    assert sender_in_database(world) == "Renewed"
    expect(frame.get_by_label("Sender")).to_have_value("Renewed")
    expect(frame.get_by_role("alert")).to_have_count(0)
    expect(tab.get_by_text("Unsaved changes")).to_be_hidden()


def test_a_session_that_can_not_be_renewed_takes_nothing_away_that_was_typed(
    world: World, settings_page: SettingsPage
) -> None:
    tab, frame, seen = settings_page
    frame.get_by_label("Sender").fill("Typed")
    frame.get_by_label("How shoppers reach you").fill("help@blue.example")
    world.make_tokens_stale(2)
    frame.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("Your Shopify session could not be renewed.")).to_be_visible()
    assert posts(seen) == [401, 401]
    assert sender_in_database(world) != "Typed"
    expect(frame.get_by_label("Sender")).to_have_value("Typed")
    expect(frame.get_by_label("How shoppers reach you")).to_have_value("help@blue.example")
    expect(tab.get_by_text("Unsaved changes")).to_be_visible()

    tab.get_by_role("button", name="Save").click()
    expect(tab.get_by_text("Settings saved")).to_be_visible()
    expect(frame.get_by_text("could not be renewed")).to_have_count(0)
    assert sender_in_database(world) == "Typed"


def test_what_is_wrong_stands_beside_what_was_typed(settings_page: SettingsPage) -> None:
    tab, frame, seen = settings_page
    before = frame.get_by_label("Sender").input_value()
    frame.get_by_label("Sender").fill("no good!")
    frame.get_by_role("button", name="Save").click()
    expect(frame.get_by_text("1 field needs another look")).to_be_visible()
    expect(frame.get_by_label("Sender")).to_have_value("no good!")
    expect(frame.get_by_label("Sender")).to_have_attribute("aria-invalid", "true")
    expect(frame.get_by_label("Sender")).to_be_focused()
    assert posts(seen) == [422]
    expect(tab.get_by_text("Unsaved changes")).to_be_visible()
    tab.get_by_role("button", name="Discard").click()
    expect(frame.get_by_label("Sender")).to_have_value(before)
    expect(frame.get_by_role("alert")).to_have_count(0)
    expect(tab.get_by_text("Unsaved changes")).to_be_hidden()


def test_that_we_were_away_is_said_until_we_are_back(world: World, settings_page: SettingsPage) -> None:
    tab, frame, _ = settings_page
    tab.route(f"{world.url}/**", lambda route: route.abort())
    frame.get_by_label("Sender").fill("Typed")
    for _ in range(4):
        with tab.expect_event("requestfailed", lambda request: request.method == "POST"):
            frame.get_by_role("button", name="Save").click()
        expect(frame.get_by_text("We could not be reached.")).to_be_visible()
    looks: list[float] = []
    for _ in range(2):
        with tab.expect_request(lambda request: request.method == "HEAD"):
            pass
        looks.append(time.monotonic())
    assert looks[1] - looks[0] > 2, "it looks no oftener for being told so oftener"
    tab.unroute(f"{world.url}/**")
    expect(frame.get_by_text("We could not be reached.")).to_have_count(0, timeout=10_000)
    expect(frame.get_by_label("Sender")).to_have_value("Typed")


def test_a_document_with_a_stale_token_comes_back_to_the_same_page(world: World, browser: Browser) -> None:
    world.shopify.install(SHOP)
    world.make_tokens_stale(1)
    tab, frame, seen = worlds.open_admin(browser, world, "/settings")
    expect(frame.get_by_role("heading", level=1)).to_have_text("Settings")
    paths = [(urlsplit(url).path, status) for _, url, status in seen.answers if "/static/" not in url]
    assert paths == [("/settings", 302), ("/session/bounce", 200), ("/settings", 200)]
    assert seen.complaints == []
    tab.context.close()


def test_a_plain_navigation_goes_through_the_bounce_page_and_leaves_no_token_in_the_address(
    settings_page: SettingsPage,
) -> None:
    tab, frame, _ = settings_page
    expect(frame.get_by_role("heading", level=1)).to_have_text("Settings")
    (inner,) = [each for each in tab.frames if each.name == "app-iframe"]
    assert "id_token" not in inner.url, "taken out of the address once it was read"
    inner.evaluate("location.assign('/?before=9')")
    expect(frame.locator("#home")).to_be_visible()
    assert "before=9" in inner.url


def test_an_address_that_is_not_ours_is_not_followed(settings_page: SettingsPage) -> None:
    tab, frame, _ = settings_page
    (inner,) = [each for each in tab.frames if each.name == "app-iframe"]
    inner.evaluate("location.assign('/session/bounce?shopify-reload=' + encodeURIComponent('http://evil.test/'))")
    expect(frame.get_by_text("This address is not one that Shopify made")).to_be_visible()
    assert "evil.test" not in urlsplit(inner.url).netloc


def test_a_campaigns_page_is_followed_live_by_the_session(world: World, settings_page: SettingsPage) -> None:
    tab, frame, seen = settings_page
    with world.app.app_context(), transaction():
        shop = shops.by_domain(SHOP)
        assert shop is not None
        campaign_id = create_campaign(shop, name="Summer sale").id
    tab.get_by_role("navigation", name="Blossom").get_by_role("link", name="Home").click()
    frame.get_by_role("link", name="Summer sale").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Summer sale")
    expect(frame.get_by_text("This campaign has not been sent")).to_be_visible()
    events = f"{world.url}/campaigns/{campaign_id}/events"
    until(lambda: ("GET", events, 200) in seen.answers, tab)
    frame.get_by_role("link", name="Campaigns", exact=True).click()
    expect(frame.locator("#campaigns")).to_be_visible()
    assert seen.complaints == []


def test_missing_scopes_are_explained_and_granted_by_a_link(
    world: World, browser: Browser, settings_page: SettingsPage
) -> None:
    had = ["read_customers"]
    world.shopify.install(SHOP, had)
    change(world, scopes=had)
    tab, frame, _ = worlds.open_admin(browser, world)
    expect(frame.get_by_text("Blossom needs more of your permission")).to_be_visible()
    frame.get_by_role("link", name="Grant it at Shopify").click()
    tab.get_by_role("button").click()
    expect(frame.locator("#home")).to_be_visible()
    expect(frame.get_by_text("Blossom needs more of your permission")).to_have_count(0)
    assert set(installation_of(world).scopes) == set(SCOPES)
    tab.context.close()


def test_a_fetch_leaves_the_frame_when_access_was_lost_and_comes_back_with_it(
    world: World, settings_page: SettingsPage
) -> None:
    tab, frame, _ = settings_page
    expect(frame.get_by_role("heading", level=1)).to_have_text("Settings")
    change(world, access_lost_at=clock.now())
    tab.get_by_role("navigation", name="Blossom").get_by_role("link", name="Home").click()
    expect(frame.locator("#home")).to_be_visible()
    assert installation_of(world).has_access
    assert worlds.cookies(tab.context) == []


def installation_of(world: World) -> Installation:
    with world.app.app_context(), transaction():
        return session.query(Installation).join(Shop, Shop.id == Installation.shop_id).filter(Shop.domain == SHOP).one()


def change(world: World, **values: Any) -> None:
    """Change what we have written down of the shop's access."""
    found = installation_of(world).id
    with world.app.app_context(), transaction():
        for name, value in values.items():
            setattr(session.get(Installation, found), name, value)


def until(met: Callable[[], bool], tab: Page) -> None:
    """Let the browser's news come in until `met`."""
    for _ in range(100):
        if met():
            return
        tab.wait_for_timeout(50)
    raise AssertionError("it never came to that")
