"""A shop with something on every page, and the addresses of all of them: for axe, for languages, for pictures."""

from __future__ import annotations

from datetime import datetime, timedelta

from playwright.sync_api import Browser
from sqlalchemy import select

from blossom.campaigns import service as campaigns
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import AbTest, Winner
from blossom.contacts.models import Contact
from blossom.message_templates import service as templates
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging import service as messaging
from blossom.messaging.models import Message
from blossom.messaging.rules import message_ids
from blossom.mitto import payloads
from blossom.platform import clock
from blossom.platform.db import session, transaction
from blossom.segments import service as segments
from blossom.segments.rules import Audience, Condition, Field, Match, Question
from blossom.shops import service as shops
from blossom.shops.models import Shop
from tests.factories.campaigns import create_campaign
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import create_contact
from tests.factories.replies import create_reply
from tests.factories.segments import create_shopify_segment
from tests.factories.uploads import create_imported
from tests.factories.wallet import create_wallet
from tests.journeys import town as towns
from tests.journeys.town import Town

DOMAIN = towns.OPERATOR
NAMES = (
    ("Eleni", "Papadopoulou"),
    ("Nikos", "Georgiou"),
    ("Maria", "Ioannou"),
    ("Kostas", "Dimitriou"),
    ("Sofia", "Vlachou"),
    ("Giorgos", "Nikolaidis"),
    ("Anna", "Schmidt"),
    ("Dimitra", "Pappa"),
)
TEXT = (
    "{{ first_name | default: 'Hello' }}, 20% off all coffee until Sunday. Show this text at the till. "
    "Reply STOP to opt out"
)
LINKED = (
    "{{ first_name | default: 'Hello' }}, autumn coffees at 20% off: "
    "{{ 'https://blue-coffee.example/sale' | shortlink }}"
)
ENDINGS = {2: "Expired", 5: "Undelivered", 11: "Expired"}
"""What becomes of the texts at these places; all others arrive."""


def furnish(town: Town, browser: Browser) -> dict[str, str]:
    """Open the shop and fill it. The path of each page, by what it shows."""
    town.open_shop(DOMAIN)
    town.install(browser, DOMAIN)[0].context.close()
    with town.inside(), transaction():
        shop = town.shop(DOMAIN)
        create_wallet(shop.id, 5_000)
        shop.contact_line = "hello@blue-coffee.example"
        people = [
            create_subscriber(
                shop, first_name=first, last_name=last, orders_count=place % 5, tags=["vip"] * (place % 3)
            )
            for place in range(5)
            for first, last in NAMES
        ]
        opt_out(create_subscriber(shop, first_name="Petros", last_name="Makris"))
        create_contact(shop, first_name=None)
        asked = Question(Match.ALL, (Condition(Field.COUNTRY, "in", ["GR"]), Condition(Field.ORDERS, "at_most", 20)))
        segment = segments.create_segment(shop.id, "Regulars in Greece", asked)
        friends = segments.create_segment(shop.id, "Friends of the shop")
        segments.add_members(shop.id, friends.id, [person.id for person in people[:4]])
        weekly = templates.create_template(
            shop.id, name="Weekly offer", body=TEXT, trigger=Trigger.CAMPAIGN, language="en", actor="test"
        )
        upload = create_imported(shop, "customers.csv", ["12", "not a number"])
        done = _enqueue(shop, "Autumn sale", LINKED)
    town.work()
    _let_arrive(town)
    with town.inside(), transaction():
        shop = town.shop(DOMAIN)
        create_reply(shop, "Καλημέρα! Ισχύει και για τον αλεσμένο καφέ;", people[1], received_at=_before(9 * 60))
        create_reply(shop, "STOP", phone="+306945550001", keyword="stop", received_at=_before(200))
        create_reply(shop, "Is this the coffee shop? Who gave you my number?", phone="+306945550002",
                     received_at=_before(95))  # fmt: skip
        create_reply(shop, "Thank you! Are you open on Sunday?", people[0], received_at=_before(40))
        create_reply(shop, "And can I pay by card? 😀", people[0], received_at=_before(38))
    with town.inside(), transaction():
        shop = town.shop(DOMAIN)
        draft = create_campaign(shop, name="Winter sale", body=TEXT)
        several = create_campaign(shop, name="Weekly offer", body=TEXT)
        by_clicks = AbTest((LINKED,), (20, 20), Winner.CLICKS, timedelta(hours=2))
        campaigns.update_campaign(shop.id, several.id, {"ab_test": by_clicks}, actor="test")
        tested = campaigns.duplicate_campaign(shop.id, several.id, name="Weekly offer", actor="test")
        campaigns.enqueue_campaign(shop.id, tested.id, actor="test")
    town.work()
    with town.inside(), transaction():
        shop = town.shop(DOMAIN)
        planned = create_campaign(shop, name="Black Friday", body=TEXT)
        campaigns.schedule_campaign(shop.id, planned.id, at=clock.now() + timedelta(days=6), local=False, actor="test")
        empty = create_campaign(shop, name="Spring", audience=None)
        shopifys = create_shopify_segment(shop, people[:9], name="Customers who bought twice", members=12)
        create_shopify_segment(shop, name="New subscribers", state="reading", next_try_at=clock.now(), expected=5_200,
                               read_so_far=1_500)  # fmt: skip
        going = _enqueue(shop, "New roasts")
        stopped = _enqueue(shop, "Spring roasts")
        campaigns.pause_campaign(shop.id, stopped.id, actor="test")
        key, _ = shops.create_api_key(shop.id, "Spring", ["campaigns:read"])
    town.prepare()
    town.send_a_little()
    return _pages(people[0], draft, planned, empty, going, done) | {
        "resume": f"/campaigns/{stopped.id}/resume",
        "one campaign of the list": f"/campaigns/{going.id}/row",
        "cancel from the list": f"/campaigns/{going.id}/row/cancel",
        "delete from the list": f"/campaigns/{draft.id}/row/delete",
        "a text's way": f"/campaigns/{done.id}/recipients/{_first_message(town, done)}",
        "revoke a key": f"/settings/keys/{key.id}/revoke",
        "segment": f"/segments/{segment.id}",
        "delete a segment": f"/segments/{segment.id}/delete",
        "list of people": f"/segments/{friends.id}",
        "segment of Shopify's": f"/segments/{shopifys.segment_id}",
        "compose several texts": f"/campaigns/{several.id}/edit",
        "confirm several texts": f"/campaigns/{several.id}/confirm",
        "a test of texts": f"/campaigns/{tested.id}",
        "choose a winner": f"/campaigns/{tested.id}/winner/b",
        "results of several texts": f"/campaigns/{tested.id}/results",
        "template": f"/templates/{weekly.id}",
        "delete a template": f"/templates/{weekly.id}/delete",
        "an import": f"/contacts/imports/{upload.id}",
    }


def _first_message(town: Town, campaign: Campaign) -> int:
    assert campaign.dispatch_id is not None
    with town.inside(), transaction():
        first = message_ids.of_dispatch(campaign.dispatch_id).first
        return session.scalars(select(Message.id).where(Message.id >= first).order_by(Message.id).limit(1)).one()


def _before(minutes: int) -> datetime:
    return clock.now() - timedelta(minutes=minutes)


def _enqueue(shop: Shop, name: str, body: str = TEXT) -> Campaign:
    made = create_campaign(shop, name=name, body=body, audience=Audience(everybody=True))
    campaigns.enqueue_campaign(shop.id, made.id, actor="test")
    return made


def _let_arrive(town: Town) -> None:
    with town.inside():
        said = [
            payloads.Receipt(text["messageId"], ENDINGS.get(place, "Delivered"))
            for place, text in enumerate(town.mitto.log())
        ]
        with transaction():
            messaging.store_receipts(said)
        with transaction():
            messaging.apply_receipts()
    town.work()


def _pages(
    person: Contact, draft: Campaign, planned: Campaign, empty: Campaign, going: Campaign, done: Campaign
) -> dict[str, str]:
    return {
        "home": "/",
        "campaigns that go out": "/going",
        "campaigns": "/campaigns",
        "no campaign found": "/campaigns?q=nothing",
        "compose": f"/campaigns/{draft.id}/edit",
        "compose a new one": "/campaigns/new",
        "confirm": f"/campaigns/{draft.id}/confirm",
        "confirm what can't go": f"/campaigns/{empty.id}/confirm",
        "draft": f"/campaigns/{draft.id}",
        "planned": f"/campaigns/{planned.id}",
        "watching": f"/campaigns/{going.id}",
        "pause": f"/campaigns/{going.id}/pause",
        "cancel": f"/campaigns/{going.id}/cancel",
        "sent": f"/campaigns/{done.id}",
        "retry": f"/campaigns/{done.id}/retry-failed",
        "retry unconfirmed": f"/campaigns/{done.id}/retry-unconfirmed",
        "recipients": f"/campaigns/{done.id}/recipients",
        "results": f"/campaigns/{done.id}/results",
        "contacts": "/contacts",
        "nobody": "/contacts?state=pending",
        "contact": f"/contacts/{person.id}",
        "new contact": "/contacts/new",
        "opt out": f"/contacts/{person.id}/opt-out",
        "proof": f"/contacts/{person.id}/proof",
        "texts of a contact": f"/contacts/{person.id}/texts",
        "replies": "/replies",
        "replies unread": "/replies?show=unread",
        "imports": "/contacts/imports",
        "segments": "/segments",
        "new segment": "/segments/new",
        "templates": "/templates",
        "new template": "/templates/new",
        "wallet": "/wallet",
        "queue": "/queue",
        "webhooks given up": "/queue/given-up",
        "settings": "/settings",
        "settings of consent": "/settings/consent",
        "staff": "/settings/staff",
        "API keys": "/settings/keys",
        "customers from Shopify": "/import",
        "nothing there": "/campaigns/999999999",
    }
