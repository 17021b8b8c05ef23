"""A merchant sends what they saw, once, however they click, and keeps the list in order: in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, expect
from sqlalchemy import func, select, text

from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.campaigns.service import counting
from blossom.contacts.models import Contact
from blossom.messaging.models import Dispatch
from blossom.platform.db import session, transaction
from blossom.shops.models import Shop
from blossom.wallet import service as wallet
from tests.factories.campaigns import create_campaign, create_sending
from tests.factories.consent import create_subscriber
from tests.journeys import world as worlds
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

SHOP = "sending.myshopify.com"
MANY = 1_200


@pytest.fixture(scope="module")
def shop(built_town: Town, browser: Browser) -> str:
    built_town.open_shop(SHOP)
    built_town.install(browser, SHOP)[0].context.close()
    with built_town.inside(), transaction():
        for name in ("Eleni", "Nikos", "Anna"):
            create_subscriber(built_town.shop(SHOP), first_name=name)
        wallet.top_up(built_town.shop(SHOP).id, 100_000, reference="gift:sending")
    return SHOP


def write(town: Town, name: str, *, sending: bool = False) -> int:
    with town.inside(), transaction():
        make = create_sending if sending else create_campaign
        return make(town.shop(SHOP), name=name, body=f"{name}: 20% off. Reply STOP to opt out").id


def state_of(town: Town, campaign_id: int) -> tuple[CampaignState, int]:
    """Where it stands, and how many dispatches the shop has."""
    with town.inside(), transaction():
        shop_id = town.shop(SHOP).id
        made = select(func.count()).select_from(Dispatch).where(Dispatch.shop_id == shop_id)
        return session.get_one(Campaign, campaign_id).state, session.scalar(made) or 0


def menu_of(frame: FrameLocator, name: str) -> Locator:
    return frame.get_by_label(f"What you can do with “{name}”")


def test_a_triple_click_and_a_second_tab_send_once(town: Town, shop: str, browser: Browser) -> None:
    campaign_id = write(town, "Once")
    _, before = state_of(town, campaign_id)
    tab, frame, seen = worlds.open_admin(browser, town.world, "/campaigns", SHOP)
    other, other_frame, other_seen = worlds.open_admin(browser, town.world, f"/campaigns/{campaign_id}/confirm", SHOP)
    expect(other_frame.locator("dialog:modal [data-number=recipients]")).to_have_text("3")
    menu_of(frame, "Once").click()
    frame.get_by_role("link", name="Send…").click()
    dialog = frame.locator("dialog:modal")
    expect(dialog.get_by_role("heading", name="Send “Once” now?")).to_be_focused()
    expect(dialog.locator("[data-number=cost]")).to_have_text("15")
    expect(dialog.get_by_text("Once: 20% off. Reply STOP to opt out")).to_be_visible()
    dialog.get_by_role("button", name="Yes, send it to 3 people").click(click_count=3)
    expect(frame.get_by_role("heading", level=1, name="Once")).to_be_visible()
    expect(tab).to_have_url(re.compile(rf"/campaigns/{campaign_id}$"))
    other_frame.get_by_role("button", name="Yes, send it to 3 people").dblclick()
    expect(other_frame.get_by_role("heading", level=1, name="Once")).to_be_visible()
    assert state_of(town, campaign_id)[1] == before + 1
    town.work()
    texts = [each["destination"] for each in town.mitto.log() if each["text"].startswith("Once: 20%")]
    assert len(texts) == len(set(texts)) == 3
    tab.goto(town.world.page_in_admin("/", SHOP))
    expect(frame.locator("[data-figure=sent]")).to_have_text("3")
    assert seen.complaints == other_seen.complaints == []
    tab.context.close()
    other.context.close()


def test_numbers_that_changed_are_asked_again_and_a_large_one_takes_its_number(
    town: Town, shop: str, browser: Browser
) -> None:
    campaign_id = write(town, "Large")
    tab, frame, _ = worlds.open_admin(browser, town.world, f"/campaigns/{campaign_id}/confirm", SHOP)
    yes = frame.get_by_role("button", name="Yes, send it")
    expect(frame.locator("dialog:modal [data-number=recipients]")).to_have_text("3")
    with town.inside(), transaction():
        crowd(town.shop(SHOP), MANY)
    yes.click()
    dialog = frame.locator("dialog:modal")
    expect(dialog.get_by_text("Nothing was sent: what you saw has changed meanwhile.")).to_be_visible()
    expect(dialog.locator("[data-number=recipients]")).to_have_text(f"{MANY + 3:,}")
    field = dialog.get_by_label("To go on, type how many people get it")
    field.fill("1,202")
    field.press("Enter")
    expect(dialog.get_by_text("The number must be 1,203")).to_be_visible()
    expect(field).to_be_focused()
    expect(field).to_have_value("1,202")
    assert state_of(town, campaign_id)[0] is CampaignState.DRAFT
    town.world.make_tokens_stale(1)
    field.fill("1203")
    field.press("Enter")
    expect(frame.get_by_role("heading", level=1, name="Large")).to_be_visible()
    assert state_of(town, campaign_id)[0] is CampaignState.SENDING
    tab.context.close()
    with town.inside(), transaction():
        session.execute(
            text("DELETE FROM contacts WHERE shop_id = :shop AND country = 'XX'"), {"shop": town.shop(SHOP).id}
        )


def test_a_large_shop_waits_for_a_count_before_the_question_and_after_the_yes(
    town: Town, shop: str, browser: Browser
) -> None:
    with town.inside(), transaction():
        session.execute(_STRANGERS, {"shop": town.shop(SHOP).id, "people": counting.AT_ONCE})
    campaign_id = write(town, "Counted")
    _, before = state_of(town, campaign_id)
    tab, frame, seen = worlds.open_admin(browser, town.world, "/campaigns", SHOP)
    menu_of(frame, "Counted").click()
    frame.get_by_role("link", name="Send…").click()
    dialog = frame.locator("dialog:modal")
    expect(dialog.get_by_text("Counting who gets it…")).to_be_visible()
    expect(dialog.get_by_role("heading", name="Send “Counted” now?")).to_be_focused()
    town.work()
    expect(dialog.locator("[data-number=recipients]")).to_have_text("3")
    expect(dialog.get_by_role("heading", name="Send “Counted” now?")).to_be_focused()
    dialog.get_by_role("button", name="Yes, send it to 3 people").click(click_count=3)
    expect(dialog.get_by_text("Your yes is noted.")).to_be_visible()
    assert state_of(town, campaign_id) == (CampaignState.DRAFT, before)
    town.work()
    expect(frame.get_by_role("heading", level=1, name="Counted")).to_be_visible()
    expect(tab).to_have_url(re.compile(rf"/campaigns/{campaign_id}$"))
    assert state_of(town, campaign_id)[1] == before + 1
    texts = [each["destination"] for each in town.mitto.log() if each["text"].startswith("Counted")]
    assert len(texts) == len(set(texts)) == 3
    assert seen.complaints == []
    tab.context.close()
    with town.inside(), transaction():
        session.execute(
            text("DELETE FROM contacts WHERE shop_id = :shop AND country = 'YY'"), {"shop": town.shop(SHOP).id}
        )


_STRANGERS = text("""
INSERT INTO contacts (shop_id, phone_hash, phone_sealed, phone_country, country, zone, created_at, updated_at)
SELECT shop_id, substring(sha256(CAST('stranger ' || n AS text)::bytea) FOR 16), phone_sealed, 'GR', 'YY', zone,
       created_at, updated_at
FROM (SELECT * FROM contacts WHERE shop_id = :shop AND phone_sealed IS NOT NULL ORDER BY id LIMIT 1) AS first,
     generate_series(1, :people) AS n
""")
"""So many who never agreed."""


def crowd(shop: Shop, people: int) -> None:
    """So many more who agreed, all with the name and the number of the first."""
    first = session.scalars(select(Contact).where(Contact.shop_id == shop.id).order_by(Contact.id)).first()
    assert first is not None
    values = {"shop": shop.id, "people": people, "first": first.id}
    for statement in (
        """INSERT INTO contacts (shop_id, phone_sealed, phone_hash, phone_country, country, zone, created_at,
               updated_at)
           SELECT shop_id, phone_sealed, substring(sha256(CAST(n AS text)::bytea) FOR 16), 'GR', 'XX', zone, created_at,
               updated_at FROM contacts, generate_series(1, :people) AS n WHERE id = :first""",
        """INSERT INTO consents (shop_id, phone_hash, state, changed_at, source)
           SELECT shop_id, phone_hash, 'opted_in', created_at, 'import' FROM contacts
           WHERE shop_id = :shop AND country = 'XX'""",
    ):
        session.execute(text(statement), values)


def test_the_list_is_kept_in_order_with_the_keyboard_alone(town: Town, shop: str, browser: Browser) -> None:
    going_id = write(town, "Going", sending=True)
    old_id = write(town, "Old draft")
    tab, frame, seen = worlds.open_admin(browser, town.world, "/campaigns", SHOP)
    frame.get_by_label("Search by name").press_sequentially("GOING")
    expect(menu_of(frame, "Old draft")).to_have_count(0)
    expect(frame.get_by_label("Search by name")).to_be_focused()
    expect(tab).to_have_url(re.compile(r"/campaigns\?q=GOING&sort=newest$"))

    for deed, badge in (("Pause", "Paused"), ("Resume", "Sending")):
        menu_of(frame, "Going").focus()
        tab.keyboard.press("Enter")
        frame.get_by_role("button", name=deed).press("Enter")
        expect(frame.locator(f"#campaign-{going_id}-row .badge")).to_have_text(badge)
        expect(frame.get_by_role("link", name="Going", exact=True)).to_be_focused()

    menu_of(frame, "Going").focus()
    tab.keyboard.press("Enter")
    frame.get_by_role("link", name="Cancel…").press("Enter")
    expect(frame.get_by_role("heading", name="Cancel “Going” for good?")).to_be_focused()
    tab.keyboard.press("Escape")
    expect(menu_of(frame, "Going")).to_be_focused()
    assert state_of(town, going_id)[0] is CampaignState.SENDING
    tab.keyboard.press("Enter")
    frame.get_by_role("link", name="Cancel…").press("Enter")
    frame.get_by_role("button", name="Cancel the campaign").press("Enter")
    expect(frame.locator(f"#campaign-{going_id}-row .badge")).to_have_text("Cancelled")
    expect(frame.locator("dialog")).to_have_count(0)

    frame.get_by_label("Search by name").fill("")
    menu_of(frame, "Old draft").focus()
    tab.keyboard.press("Enter")
    frame.get_by_role("button", name="Duplicate").press("Enter")
    expect(frame.get_by_role("link", name="Old draft (copy)")).to_be_focused()
    menu_of(frame, "Old draft").focus()
    tab.keyboard.press("Enter")
    frame.get_by_role("link", name="Delete…").press("Enter")
    frame.get_by_role("button", name="Delete it").press("Enter")
    expect(frame.get_by_text("“Old draft” was deleted.")).to_be_focused()
    with town.inside(), transaction():
        assert session.get(Campaign, old_id) is None
    assert seen.complaints == []
    tab.context.close()
