"""A member of the staff with view-only rights reads everything and sends nothing: no page offers it, none takes it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.platform.db import session, transaction
from blossom.segments import service as segments
from blossom.segments.rules import Condition, Field, Match, Question
from tests.factories.campaigns import create_campaign, create_sending
from tests.factories.consent import create_subscriber
from tests.journeys import world as worlds
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SHOP = "looking.myshopify.com"
OWNER = {"id": 501, "first_name": "Olga", "account_owner": True}
LOOKS = {"id": 502, "first_name": "Vera", "scopes": ["read_customers", "read_orders"]}
GREECE = Question(Match.ALL, (Condition(Field.COUNTRY, "in", ["GR"]),))
TEXT = "Only looked at. Reply STOP to opt out"

_OFFERED = """() => [...document.querySelectorAll('main [hx-post], main form[method=post], main a[href]')]
  .map((each) => each.getAttribute('hx-post') ?? each.getAttribute('action') ?? each.getAttribute('href'))
  .filter((address) => /\\/(new|edit|confirm|pause|resume|cancel|retry-.*|refresh|duplicate|delete)$/.test(address))"""

_PRESS = """async (paths) => Object.fromEntries(await Promise.all(paths.map(async (path) => {
  const body = new URLSearchParams({deed: 'send', yes: 'yes', typed: '1', do: 'test', phones: '+306911111111'});
  const answer = await fetch(path, {method: 'POST', body, headers: {'HX-Request': 'true'}});
  return [path, answer.status];
})))"""
"""As somebody would who has the owner's page by heart."""


def shown(town: Town, tab: Page, frame: FrameLocator, path: str) -> list[str]:
    """Open the page; the deeds that it offers."""
    tab.goto(town.world.page_in_admin(path, SHOP))
    expect(frame.locator("main h1")).to_be_visible()
    (inner,) = [each for each in tab.frames if each.name == "app-iframe"]
    return [str(address) for address in inner.evaluate(_OFFERED)]


def test_who_may_only_look_reads_every_page_and_sends_nothing(town: Town, browser: Browser) -> None:
    town.open_shop(SHOP, staff=[OWNER, LOOKS])
    town.install(browser, SHOP)[0].context.close()
    with town.inside(), transaction():
        shop = town.shop(SHOP)
        create_subscriber(shop)
        draft = create_campaign(shop, name="Draft", body=TEXT).id
        going = create_sending(shop, name="Going", body=TEXT).id
        greeks = segments.create_segment(shop.id, "Greeks", GREECE).id
    town.prepare()
    pages = ["/", "/campaigns", f"/campaigns/{draft}", f"/campaigns/{going}", f"/campaigns/{going}/recipients"]

    owner, frame, _ = worlds.open_admin(browser, town.world, shop=SHOP)
    assert all(shown(town, owner, frame, path) for path in pages[:4]), "what is looked for is found where it is"
    owner.context.close()

    tab, frame, _ = worlds.open_admin(browser, town.world, shop=SHOP, staff=502)
    assert {path: shown(town, tab, frame, path) for path in pages} == {path: [] for path in pages}
    expect(frame.get_by_role("heading", level=1, name="Going")).to_be_visible()
    for path in (f"/campaigns/{draft}/confirm", f"/campaigns/{draft}/edit", f"/campaigns/{going}/cancel"):
        shown(town, tab, frame, path)
        expect(frame.get_by_text("Your Shopify account may not do this.")).to_be_visible()

    assert shown(town, tab, frame, f"/segments/{greeks}") == []
    expect(frame.locator("[data-count=people]")).to_have_text("1")

    (inner,) = [each for each in tab.frames if each.name == "app-iframe"]
    deeds = [f"/campaigns/{draft}/{deed}" for deed in ("confirm", "edit", "cancel", "row/delete", "row/duplicate")]
    deeds += [f"/campaigns/{going}/{deed}" for deed in ("pause", "cancel", "retry-failed", "refresh", "row/pause")]
    deeds += [f"/api/campaigns/{draft}/{deed}" for deed in ("enqueue", "test-send", "cancel")]
    assert inner.evaluate(_PRESS, deeds) == dict.fromkeys(deeds, 403)
    with town.inside(), transaction():
        assert session.get_one(Campaign, draft).state is CampaignState.DRAFT
        assert session.get_one(Campaign, going).state is CampaignState.SENDING
    town.work()
    assert [text["text"] for text in town.mitto.log()].count(TEXT) == 1, "the one that the owner had sent"
    tab.context.close()
