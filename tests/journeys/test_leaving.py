"""A shop leaves in mid-campaign and comes back; a person, and a shop, are to be forgotten: what the rows hold then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select, text

from blossom import tables
from blossom.platform import crypto
from blossom.platform.crypto import Sealed
from blossom.platform.db import session, transaction
from blossom.shops import queries as shops
from blossom.shops.models import Installation
from tests.factories.consent import create_subscriber
from tests.journeys.town import Town

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

PHONE, NAME, EMAIL = "+306933333333", "Persephone", "persephone@kore.example"
KEPT = {
    "attempts", "audit_entries", "batches", "dispatches", "installations", "messages", "price_lists",
    "provider_messages", "receipts", "reservations", "send_turns", "shopify_webhooks", "shops", "wallet_entries",
    "wallets",
}  # fmt: skip
"""Tables that keep rows of a shop that was forgotten (docs/privacy.md): the bill, and what holds times and states."""


def test_uninstalled_in_mid_campaign_nothing_more_is_sent_and_whoever_comes_back_finds_all(
    town: Town, browser: Browser
) -> None:
    domain, people = "leaver.myshopify.com", 9
    town.open_shop(domain)
    tab, frame = town.install(browser, domain)
    with town.inside(), transaction():
        shop = town.shop(domain)
        shop_id = shop.id
        for _ in range(people):
            create_subscriber(shop)
    town.enqueue_campaign(domain, "Sale today. Reply STOP to opt out")
    town.prepare()
    town.send_a_little()
    sent = len(town.mitto.log())
    tab.reload()
    expect(frame.get_by_role("row", name="Sale")).to_contain_text("Sending")

    town.world.shopify.uninstall(domain)
    town.hear()
    with town.inside(), transaction():
        installation = session.scalars(select(Installation).where(Installation.shop_id == shop_id)).one()
        assert (installation.access_token, installation.refresh_token) == (None, None)
    town.work()
    assert len(town.mitto.log()) == sent, "nothing left after the word came"

    tab.reload()
    expect(tab.get_by_role("heading", name="Install Blossom in Leaver?")).to_be_visible()
    tab.get_by_role("button", name="Install").click()
    expect(frame.locator("[data-figure=contacts]")).to_have_text(str(people))
    expect(frame.get_by_role("row", name="Sale")).to_contain_text("Cancelled")
    town.work()
    assert len(town.mitto.log()) == sent
    with town.inside(), transaction():
        assert town.shop(domain).id == shop_id
        assert town.shop(domain).uninstalled_at is None
    tab.context.close()


@pytest.fixture
def known(town: Town, browser: Browser) -> Iterator[tuple[str, int, Page]]:
    """A shop, the number at Shopify of a customer who agreed, was texted and opted out, and the admin's tab."""
    domain = f"forgets-{len(town.mitto.log())}.myshopify.com"
    town.open_shop(domain)
    tab, _ = town.install(browser, domain)
    agreed = {"state": "SUBSCRIBED", "level": "SINGLE_OPT_IN"}
    fields = {"first_name": NAME, "email": EMAIL, "phone": PHONE, "consent": agreed}
    (person,) = town.world.shopify.add_customers(domain, fields, webhooks=True)
    town.work()
    town.enqueue_campaign(domain, "Sale for {{ first_name | default: 'you' }}. Reply STOP to opt out")
    town.work()
    assert f"Sale for {NAME}. Reply STOP to opt out" in town.texts(PHONE)
    town.mitto.inbound(PHONE, "STOP", to="Town")
    town.work()
    yield domain, int(person["id"]), tab
    tab.context.close()


def test_of_a_person_who_is_forgotten_only_the_opt_out_stays(
    town: Town, browser: Browser, known: tuple[str, int, Page]
) -> None:
    domain, person, tab = known
    frame = tab.frame_locator("#app")
    tab.get_by_role("navigation", name="Blossom").get_by_role("link", name="Contacts").click()
    expect(frame.get_by_role("link", name=NAME)).to_be_visible()
    with town.inside(), transaction():
        shop_id = town.shop(domain).id
        phone_hash = crypto.for_shop(shop_id).lookup(PHONE)
        assert {"contacts.phone_sealed", "messages.phone_sealed"} <= set(where(shop_id, PHONE))

    town.world.shopify.act(domain, person, "redact")
    town.work()
    with town.inside(), transaction():
        found = {word: where(shop_id, word) for word in (PHONE, PHONE[1:], NAME, NAME.lower(), EMAIL)}
        assert {word: places for word, places in found.items() if places} == {}
        assert set(where(shop_id, phone_hash.hex())) == {"consent_events", "consents"}, "the opt-out, by a keyed hash"

    tab.get_by_role("navigation", name="Blossom").get_by_role("link", name="Home").click()
    expect(frame.locator("[data-figure=contacts]")).to_have_text("0")
    texts = len(town.texts(PHONE))
    with town.inside(), transaction():
        create_subscriber(town.shop(domain))
    town.enqueue_campaign(domain, "Once more. Reply STOP to opt out")
    town.work()
    assert len(town.texts(PHONE)) == texts


def test_of_a_shop_that_is_forgotten_only_the_bill_stays(
    town: Town, browser: Browser, known: tuple[str, int, Page]
) -> None:
    domain, _, tab = known
    with town.inside(), transaction():
        shop_id = town.shop(domain).id
        phone_hash = crypto.for_shop(shop_id).lookup(PHONE)
    town.world.shopify.uninstall(domain)
    town.hear()  # two days lie between the two; told of both at once, we could hear of the second first
    town.world.shopify.redact_shop(domain)
    town.work()
    with town.inside(), transaction():
        assert shops.by_domain(domain) is None
        held = {name for name, rows in rows_of(shop_id).items() if rows}
        assert held - KEPT == set()
        for name, rows in rows_of(shop_id).items():
            for word in (domain, PHONE[1:], NAME, EMAIL, phone_hash.hex()):
                told = [row for row in rows if word in row]
                assert told == [] or (name, word) == ("shopify_webhooks", domain), "for a month, whose it was"
        assert [place for place, _ in sealed_of(shop_id)] == [], "nothing sealed is left either, though no key opens it"

    tab.reload()
    tab.get_by_role("button", name="Install").click()
    expect(tab.frame_locator("#app").locator("[data-figure=contacts]")).to_have_text("0")
    with town.inside(), transaction():
        assert town.shop(domain).id != shop_id, "a new tenant"


def rows_of(shop_id: int) -> dict[str, list[str]]:
    """All rows of the shop as text, bytes in hexadecimal, by table."""
    found = {}
    for table in tables.metadata.tables.values():
        column = "id" if table.name == "shops" else "shop_id"
        if column in table.columns:
            rows = text(f"SELECT t::text FROM {table.name} t WHERE {column} = :shop_id")
            found[table.name] = list(session.scalars(rows, {"shop_id": shop_id}))
    return found


def sealed_of(shop_id: int) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Each sealed value of the shop: its place (`contacts.phone_sealed`), its purpose and itself."""
    for table in tables.metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, Sealed) and "shop_id" in table.columns:
                values = select(column).where(table.c.shop_id == shop_id, column.is_not(None))
                for (value,) in session.execute(values):
                    yield f"{table.name}.{column.name}", (column.type.purpose, value)


def where(shop_id: int, word: str) -> list[str]:
    """Where the shop's rows hold the word: tables in whose rows it stands as it is, columns that hold it sealed."""
    clear = [name for name, rows in rows_of(shop_id).items() if any(word in row for row in rows)]
    cipher = crypto.for_shop(shop_id)
    sealed = {place for place, (purpose, value) in sealed_of(shop_id) if word in (cipher.open(value, purpose) or "")}
    return clear + sorted(sealed)
