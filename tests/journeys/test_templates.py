"""A merchant writes a template, has it made cheaper, copies it, deletes the copy, and starts a campaign from it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.conftest import Services
from tests.journeys import world as worlds

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

DEAR = "“Summer sale”: hi {{ first_name | default: 'there' }}, 20% off all we have until Sunday. Reply STOP to opt out"
CHEAP = DEAR.replace("“", '"').replace("”", '"')


def test_a_template_from_its_first_letter_to_a_campaign(
    services: Services, template_database: str, browser: Browser
) -> None:
    with worlds.start(services, template_database) as world:
        world.shopify.install(worlds.SHOP)
        tab, frame, seen = worlds.open_admin(browser, world, "/templates")
        frame.get_by_role("link", name="New template").click()
        frame.get_by_label("Name", exact=True).fill("Summer")
        frame.locator("#body").fill(DEAR)
        expect(frame.locator("[data-preview]")).to_contain_text("“Summer sale”: hi Maria,")
        frame.locator("[data-cure-name=typographic]").click()
        expect(frame.locator("#body")).to_have_value(CHEAP)
        expect(frame.locator("[data-figure=segments]")).to_have_text("1 segment")
        frame.get_by_label("Shown for").select_option("nameless")
        expect(frame.locator("[data-preview]")).to_contain_text("hi there,")
        frame.get_by_role("button", name="Save", exact=True).click()
        expect(frame.get_by_role("heading", name="Change a template")).to_be_visible()
        expect(frame.get_by_role("button", name="Save", exact=True)).to_be_focused()
        frame.locator("main").get_by_role("link", name="Templates").click()
        frame.get_by_label("What you can do with “Summer”").click()
        frame.get_by_role("button", name="Duplicate").click()
        expect(frame.get_by_role("link", name="Summer (2)")).to_be_focused()
        frame.get_by_label("What you can do with “Summer (2)”").click()
        frame.get_by_role("link", name="Delete…").click()
        frame.get_by_role("button", name="Delete it").click()
        expect(frame.get_by_role("link", name="Summer (2)")).to_have_count(0)
        frame.get_by_label("What you can do with “Summer”").click()
        frame.get_by_role("link", name="Write a campaign with it").click()
        expect(frame.locator("#compose #body")).to_have_value(CHEAP)
        tab.context.close()
        assert seen.complaints == []
        assert [answer for answer in seen.answers if answer[2] >= 400] == []
