"""A merchant sends to a segment that they have at Shopify: who is in it when it leaves gets it, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import update

from blossom.messaging import service as messaging
from blossom.platform import clock
from blossom.platform.db import session, transaction
from blossom.segments import queries as segments
from blossom.segments.models import ShopifySegment
from blossom.segments.rules import ACCEPTED_AGE, Audience, Kind
from tests.factories.campaigns import create_campaign
from tests.journeys import world as worlds
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SHOP = "segmented.myshopify.com"
AGREED = {"state": "SUBSCRIBED", "level": "SINGLE_OPT_IN"}
PHONES = {"Eleni": "+306984303411", "Nikos": "+306984303412", "Anna": "+306984303413"}


def test_whoever_is_in_it_when_it_leaves_gets_it(town: Town, browser: Browser) -> None:
    town.open_shop(SHOP)
    town.install(browser, SHOP)[0].context.close()
    shopify = town.world.shopify
    people = [
        {"first_name": name, "phone": phone, "orders": 0 if name == "Anna" else 3, "consent": AGREED}
        for name, phone in PHONES.items()
    ]
    ids = [person["id"] for person in shopify.add_customers(SHOP, *people, webhooks=True)]
    shopify.add_customers(SHOP, {"first_name": "Petros", "email": "petros@example.com", "orders": 9})
    shopify.add_segments(SHOP, Regulars="number_of_orders >= 2")
    town.work()

    tab, frame, seen = worlds.open_admin(browser, town.world, "/segments", SHOP)
    expect(frame.get_by_role("heading", level=1, name="Segments")).to_be_visible()
    town.work()  # the visit had them listed
    tab.reload()
    row = frame.get_by_role("row", name=re.compile("Regulars"))
    expect(row).to_contain_text("not read yet")
    row.get_by_role("button", name="Read Regulars from Shopify now").click()
    expect(row).to_contain_text("being read from Shopify…")
    town.work()
    expect(row).to_contain_text("3 customers, read from Shopify")  # the row looks again by itself
    frame.get_by_role("link", name="Regulars").click()
    expect(frame.locator("[data-number=strangers]")).to_have_text("1")
    expect(frame.get_by_role("link", name="Eleni")).to_be_visible()

    with town.inside(), transaction():
        shop = town.shop(SHOP)
        (regulars,) = segments.segments(shop.id, kind=Kind.SHOPIFY)
        body = "For regulars: 20% off. Reply STOP to opt out"
        campaign_id = create_campaign(shop, name="Thanks", body=body, audience=Audience(segments=(regulars.id,))).id
    tab.goto(town.world.page_in_admin(f"/campaigns/{campaign_id}/confirm", SHOP))
    expect(frame.locator("[data-number=recipients]")).to_have_text("2")
    expect(frame.locator(f"[data-reading='{regulars.id}']")).to_contain_text("3 customers, read from Shopify")
    frame.get_by_role("button", name="Yes, send it to 2 people").click()
    expect(frame.get_by_role("heading", level=1, name="Thanks")).to_be_visible()

    # Before its audience is fixed, what was read is old, and at Shopify Eleni has left and Anna has come.
    shopify.act(SHOP, ids[0], "update", fields={"orders": 0})
    shopify.act(SHOP, ids[2], "update", fields={"orders": 5})
    with town.inside(), transaction():
        session.execute(update(ShopifySegment).values(read_at=clock.now() - 2 * ACCEPTED_AGE))
    town.work()
    assert not any("For regulars" in text["text"] for text in town.mitto.log()), "an old list is texted to nobody"
    with town.inside():
        messaging.sweep(clock.now() + ACCEPTED_AGE / 10)  # looks again, as it does every few seconds
    town.work()
    texted = {text["destination"] for text in town.mitto.log() if "For regulars" in text["text"]}
    assert texted == {PHONES["Nikos"], PHONES["Anna"]}
    assert seen.complaints == []
    tab.context.close()
