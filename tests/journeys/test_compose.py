"""A merchant writes a campaign in the admin's frame and loses nothing: not by a lost network, an old session, a reload,
nor by a second tab."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Locator, Page, Route, expect

from blossom.campaigns.models import Campaign
from blossom.platform.db import session, transaction
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from tests.conftest import Services
from tests.factories.campaigns import create_campaign
from tests.factories.consent import create_subscriber
from tests.factories.wallet import create_wallet
from tests.faults.processes import until
from tests.journeys import world as worlds
from tests.journeys.conftest import BROWSERS, QUIET
from tests.journeys.test_accessible import faults
from tests.journeys.world import SHOP, World

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def world(services: Services, template_database: str, browser: Browser) -> Iterator[World]:
    with worlds.start(services, template_database) as started:
        started.shopify.install(SHOP)
        tab, frame, _ = worlds.open_admin(browser, started, "/campaigns/new")
        expect(frame.locator("#compose")).to_be_visible()
        tab.context.close()
        with started.app.app_context(), transaction():
            create_wallet(ours().id, 1000)
            for name in ("Eleni", "Νίκος", None):
                create_subscriber(ours(), first_name=name, last_name="Papa")
        yield started


def ours() -> Shop:
    shop = shops.by_domain(SHOP)
    assert shop is not None
    return shop


def stored(world: World) -> tuple[str, str]:
    """Name and text of the newest campaign."""
    with world.app.app_context(), transaction():
        campaign = session.query(Campaign).order_by(Campaign.id.desc()).limit(1).one()
        return campaign.name, campaign.body


def drafted(world: World, body: str = "Before. Reply STOP to opt out") -> str:
    """The path on which a new draft is written."""
    with world.app.app_context(), transaction():
        return f"/campaigns/{create_campaign(ours(), body=body).id}/edit"


def text(frame: FrameLocator) -> Locator:
    return frame.get_by_role("textbox", name="What it says")


def saved(frame: FrameLocator) -> None:
    expect(frame.locator("#compose[data-dirty]")).to_have_count(0)
    expect(frame.locator("#kept[data-state=saved] [data-kept]")).to_have_text(re.compile(r"^Saved at \d\d:\d\d$"))


def unsaved(tab: Page) -> None:
    expect(tab.get_by_text("Unsaved changes")).to_be_visible()


def judged(tab: Page, scheme: str) -> list[str]:
    """What axe finds on the page as it stands."""
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    (inner,) = [each for each in tab.frames if each.name == "app-iframe"]
    return faults(inner, scheme)


def test_what_is_typed_is_shown_as_it_arrives_and_saved_by_itself(world: World, browser: Browser) -> None:
    tab, frame, seen = worlds.open_admin(browser, world, "/campaigns/new")
    frame.get_by_label("Name", exact=True).fill("Summer sale")
    frame.get_by_label("Everybody who agreed to texts").check()
    expect(frame.locator("[data-figure=recipients]")).to_have_text("3")
    text(frame).click()
    tab.keyboard.type("Hi ")
    frame.get_by_role("button", name="First name").click()
    expect(text(frame)).to_be_focused()
    tab.keyboard.type(": “everything” is cheaper until Sunday, in the shop and online")
    expect(frame.locator("[data-preview]")).to_contain_text("Hi Eleni: “everything” is cheaper")
    expect(frame.locator("[data-preview]")).to_contain_text("Reply STOP to opt out")
    nikos = frame.get_by_label("Shown for").locator("option", has_text="Νίκος").get_attribute("value")
    frame.get_by_label("Shown for").select_option(nikos)
    expect(frame.locator("[data-preview]")).to_contain_text("Hi Νίκος")
    before = int(frame.locator("[data-figure=credits]").inner_text())
    frame.get_by_role("button", name="Write quotes, dashes and spaces plainly").click()
    expect(text(frame)).to_have_value(re.compile('"everything" is cheaper'))
    expect(frame.locator("[data-figure=credits]")).not_to_have_text(str(before))
    assert int(frame.locator("[data-figure=credits]").inner_text()) < before
    saved(frame)
    expect(tab).to_have_url(re.compile(r"/campaigns/\d+/edit$"))
    name, body = stored(world)
    assert (name, '"everything" is cheaper' in body) == ("Summer sale", True)
    tab.keyboard.press("Control+z")
    expect(text(frame)).to_have_value(re.compile("“everything” is cheaper"))
    saved(frame)
    tab.reload()
    expect(text(frame)).to_have_value(re.compile("“everything” is cheaper"))
    expect(frame.get_by_label("Everybody who agreed to texts")).to_be_checked()
    assert seen.complaints == []
    tab.context.close()


def test_a_lost_network_and_an_old_session_lose_nothing(world: World, browser: Browser) -> None:
    tab, frame, _ = worlds.open_admin(browser, world, drafted(world))
    world.make_tokens_stale(1)
    text(frame).fill("By an old token. Reply STOP to opt out")
    saved(frame)
    assert stored(world)[1] == "By an old token. Reply STOP to opt out"
    tab.context.set_offline(True)
    text(frame).fill("In a tunnel. Reply STOP to opt out")
    expect(frame.get_by_text("Not saved yet: we could not be reached.")).to_be_visible()
    expect(frame.get_by_text("Preview and cost are of an earlier text.")).to_be_visible()
    unsaved(tab)
    tab.context.set_offline(False)
    saved(frame)
    expect(tab.get_by_text("Unsaved changes")).not_to_be_visible()
    expect(frame.locator("[data-preview]")).to_have_text("In a tunnel. Reply STOP to opt out")
    expect(frame.get_by_text("Preview and cost are of an earlier text.")).not_to_be_visible()
    assert stored(world)[1] == "In a tunnel. Reply STOP to opt out"
    refused: list[Route] = []
    tab.route(f"{world.url}/campaigns/*/edit", lambda route: refuse(route, refused))
    text(frame).fill("Without the right. Reply STOP to opt out")
    expect(frame.get_by_text("Not saved: Blossom did not take it.")).to_be_visible()
    unsaved(tab)
    assert len(refused) == 1, "what is refused is not sent again by itself"
    tab.get_by_role("button", name="Discard").click()
    expect(text(frame)).to_have_value("In a tunnel. Reply STOP to opt out")  # as it was saved last
    expect(tab.get_by_text("Unsaved changes")).not_to_be_visible()
    tab.context.close()


def refuse(route: Route, refused: list[Route]) -> None:
    if is_save(route):
        refused.append(route)
        route.fulfill(status=403, body="No")
    else:
        route.continue_()


def test_a_save_that_nobody_answers_holds_up_no_other(world: World, browser: Browser) -> None:
    path = drafted(world)
    tab, frame, _ = worlds.open_admin(browser, world, path)
    expect(text(frame)).to_be_visible()
    tab.clock.install()
    unanswered: list[Route] = []
    tab.route(f"{world.url}{path}", lambda route: arrive(route, unanswered))
    text(frame).fill("Lost. Reply STOP to opt out")
    tab.clock.run_for(1_000)
    expect(frame.get_by_text("Saving…")).to_be_visible()
    text(frame).fill("Kept. Reply STOP to opt out")
    tab.clock.run_for(20_000)
    expect(frame.get_by_text("Not saved yet: we could not be reached.")).to_be_visible()
    tab.clock.run_for(2_500)
    saved(frame)
    assert stored(world)[1] == "Kept. Reply STOP to opt out"
    tab.context.close()


def arrive(route: Route, unanswered: list[Route]) -> None:
    """The first save comes to us, and its answer nowhere."""
    if is_save(route) and not unanswered:
        unanswered.append(route)
        asked, address = route.request, urlsplit(route.request.url)
        arrived = requests.post(
            f"http://127.0.0.1:{address.port}{address.path}", asked.post_data, headers=asked.headers, timeout=10
        )
        assert arrived.ok
    else:
        route.continue_()


def test_the_admin_that_gives_no_token_holds_up_no_save(world: World, browser: Browser) -> None:
    tab, frame, _ = worlds.open_admin(browser, world, drafted(world))
    expect(text(frame)).to_be_visible()
    tab.clock.install()
    tab.clock.run_for(60_000)  # a new token is needed
    tab.context.set_offline(True)
    text(frame).fill("Without a token. Reply STOP to opt out")
    worlds.pass_time(tab, 25, frame.get_by_text("Not saved yet: we could not be reached."))
    tab.context.set_offline(False)
    worlds.pass_time(tab, 30, frame.locator("#kept[data-state=saved]"))
    saved(frame)
    assert stored(world)[1] == "Without a token. Reply STOP to opt out"
    tab.context.close()


def test_a_button_pressed_while_it_is_being_saved_is_answered(world: World, browser: Browser) -> None:
    path = drafted(world)
    tab, frame, _ = worlds.open_admin(browser, world, path)
    held: list[Route] = []
    tab.route(f"{world.url}{path}", lambda route: held.append(route) if is_save(route) else route.continue_())
    text(frame).fill("Slowly. Reply STOP to opt out")
    expect(frame.get_by_text("Saving…")).to_be_visible()
    frame.get_by_label("Your numbers").fill("+30 691 234 5678")
    frame.get_by_role("button", name="Send a test").click()
    for _ in range(200):  # until the browser has told of it
        if len(held) == 2:
            break
        tab.wait_for_timeout(50)
    assert len(held) == 2
    held[0].continue_()
    saved(frame)
    held[1].continue_()
    expect(frame.get_by_text("On its way to 1 number since")).to_be_visible()
    saved(frame)
    tab.context.close()


def is_save(route: Route) -> bool:
    return route.request.method == "POST"


class Profile:
    """A browser that lets a framed site of another origin keep things, as most merchants' do. The one of the other
    tests lets none: there nothing but the last save, as the page goes, brings back what was typed."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser, self._folder = browser, folder
        settings = folder / "Default" / "Preferences"
        settings.parent.mkdir()
        settings.write_text('{"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": false}}')

    def new_context(self, **options: Any) -> BrowserContext:
        found = next(filter(None, map(shutil.which, BROWSERS)), None)
        return self._browser.browser_type.launch_persistent_context(
            self._folder, executable_path=found, args=list(QUIET), **options
        )


def test_what_never_reached_us_is_back_after_a_reload(world: World, browser: Browser, tmp_path: Path) -> None:
    path = drafted(world)
    cut, frame, _ = worlds.open_admin(cast("Browser", Profile(browser, tmp_path)), world, path)
    frame.locator("#compose").evaluate("() => { window.fetch = () => Promise.reject(new TypeError('cut')); }")
    frame.get_by_label("Name", exact=True).fill("Nearly lost")
    text(frame).fill("Nearly lost. Reply STOP to opt out")
    unsaved(cut)
    again = cut.context.new_page()
    cut.close()
    again.goto(world.page_in_admin(path))
    frame = again.frame_locator("#app")
    expect(text(frame)).to_have_value("Nearly lost. Reply STOP to opt out")
    saved(frame)
    assert stored(world) == ("Nearly lost", "Nearly lost. Reply STOP to opt out")
    again.context.close()


def test_where_nothing_can_be_kept_the_last_save_is_made_as_the_page_goes(world: World, browser: Browser) -> None:
    path = drafted(world)
    tab, frame, _ = worlds.open_admin(browser, world, path)
    text(frame).fill("Typed in time. Reply STOP to opt out")
    saved(frame)
    text(frame).fill("Typed at the last moment. Reply STOP to opt out")
    tab.goto("about:blank")  # the admin goes elsewhere, and its frame with it
    until(lambda: stored(world)[1].startswith("Typed at the last moment"), "it has come")
    tab.context.close()


def test_two_tabs_do_not_overwrite_each_other_unseen(world: World, browser: Browser) -> None:
    path = drafted(world)
    one, first, _ = worlds.open_admin(browser, world, path)
    other, second, _ = worlds.open_admin(browser, world, path)
    text(first).fill("Of the first. Reply STOP to opt out")
    saved(first)
    expect(first.locator("#kept input[name=version]")).to_have_value("2")
    text(second).fill("Of the second. Reply STOP to opt out")
    expect(second.get_by_text("Somebody changed this campaign meanwhile")).to_be_visible()
    expect(text(second)).to_have_value("Of the second. Reply STOP to opt out")
    assert stored(world)[1] == "Of the first. Reply STOP to opt out"
    second.get_by_role("button", name="Keep mine").click()
    saved(second)
    assert stored(world)[1] == "Of the second. Reply STOP to opt out"
    text(first).fill("Of the first again. Reply STOP to opt out")
    first.get_by_role("link", name="Take theirs").click()
    expect(text(first)).to_have_value("Of the second. Reply STOP to opt out")
    one.context.close()
    other.context.close()


def test_a_fault_is_found_at_its_place_and_the_question_comes_when_all_is_well(world: World, browser: Browser) -> None:
    tab, frame, seen = worlds.open_admin(browser, world, drafted(world))
    text(frame).fill("Sale,\n{{ frist_name }}! Reply STOP to opt out")
    frame.get_by_role("button", name="Go to line 2").click()
    picked = text(frame).evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)")
    assert picked.startswith("frist_name")
    frame.get_by_role("button", name="Review and send").click()
    expect(frame.get_by_text("It is saved, and can't be sent yet:")).to_be_visible()
    assert [fault for scheme in ("light", "dark") for fault in judged(tab, scheme)] == []
    frame.get_by_role("button", name="Write first_name", exact=True).click()
    frame.get_by_role("button", name='Write first_name | default: "there"').click()
    expect(frame.locator("[data-preview]")).to_contain_text("Sale,\nEleni! Reply STOP")
    frame.get_by_role("button", name="Review and send").dblclick()
    dialog = frame.get_by_role("dialog")
    expect(dialog.locator("[data-number=recipients]")).to_have_text("3")
    tab.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(text(frame)).to_have_value('Sale,\n{{ first_name | default: "there" }}! Reply STOP to opt out')
    assert seen.complaints == []
    tab.context.close()


def test_by_the_keyboard_alone(world: World, browser: Browser) -> None:
    tab, frame, _ = worlds.open_admin(browser, world, "/campaigns/new")
    expect(frame.locator("#compose")).to_be_visible()
    frame.get_by_label("Name", exact=True).focus()
    tab.keyboard.type("By keys")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Space")
    expect(frame.get_by_label("Everybody who agreed to texts")).to_be_checked()
    for _ in range(12):
        tab.keyboard.press("Tab")
        if frame.locator("#body:focus").count():
            break
    tab.keyboard.type("Typed. Reply STOP to opt out")
    expect(frame.locator("[data-preview]")).to_have_text("Typed. Reply STOP to opt out")
    expect(text(frame)).to_be_focused()
    saved(frame)
    assert stored(world) == ("By keys", "Typed. Reply STOP to opt out")
    tab.context.close()
