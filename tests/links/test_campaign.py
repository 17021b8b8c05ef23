"""A campaign with links: what reached the phones is followed on the shop's own site, through the proxy's stand-in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Thread
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from werkzeug.serving import make_server

from blossom.campaigns import queries as campaigns
from blossom.campaigns.models import Campaign
from blossom.campaigns.service import fitness
from blossom.consent import queries as consents
from blossom.consent.rules import State
from blossom.links import queries as links
from blossom.links.rules.codes import LENGTH, OPT_OUT
from blossom.messaging import queries as messages
from blossom.messaging import service as messaging
from blossom.platform import config, crypto, db, stopping
from blossom.sandbox.mitto.process import StandIn as Mitto
from blossom.sandbox.shopify.process import StandIn as Shopify
from blossom.shops import queries as shops
from blossom.wallet import queries as wallet
from tests.factories.campaigns import create_campaign, create_sending
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.links.test_robots import ANDROID, IPHONE

DOMAIN, HOST = "ours.myshopify.com", "ours.storefront.test"
SALE, NEW = "https://shop.example/sale?a=1&b=2", "https://shop.example/new"
BODY = (
    "{% if first_name == 'Anna' %}"
    f'{{{{ "{NEW}" | shortlink }}}} for you, {{{{ first_name }}}}. '
    "{% endif %}"
    f'Sale: {{{{ "{SALE}" | shortlink }}}}'
)
LINK = re.compile(rf"http\S+/s/(\w{{{LENGTH}}})(?!\w)")
PEOPLE = 12


@dataclass
class Town:
    """A shop with its own site and people; the provider's log is what reached them."""

    shopify: Shopify
    mitto: Mitto
    shop_id: int

    def send(self, body: str) -> Campaign:
        """A campaign to everybody, all of it sent."""
        with db.transaction():
            campaign = create_sending(shops.get_shop(self.shop_id), body=body)
            campaign_id, dispatch_id = campaign.id, int(campaign.dispatch_id or 0)
        with db.transaction():
            messaging.prepare_dispatch(self.shop_id, dispatch_id)
        stopping.forget()
        messaging.run_lane(seconds=20, worker="test")
        with db.transaction():
            return campaigns.get_campaign(self.shop_id, campaign_id)

    def texts(self) -> dict[str, str]:
        """Phone → its newest text."""
        return {text["destination"]: text["text"] for text in self.mitto.log()}

    def visit(self, link: str, method: str = "GET", user_agent: str = IPHONE) -> requests.Response:
        """Open a link of a text, as far as the shop's own site answers it."""
        session, headers = requests.Session(), {"User-Agent": user_agent}
        first = session.get(link, allow_redirects=False, headers=headers, timeout=10)
        assert first.headers["Location"].startswith(f"http://{HOST}:"), "a myshopify domain leads to the shop's own"
        there = self.shopify.url + urlsplit(first.headers["Location"]).path
        return session.request(method, there, allow_redirects=False, headers={**headers, "Host": HOST}, timeout=10)

    def clicks(self, campaign: Campaign) -> int | None:
        with db.transaction():
            return campaigns.campaign_stats(campaign)[0].clicks


@pytest.fixture
def town(committed_app: Flask) -> Iterator[Town]:
    before = config.current()
    with Mitto.start(api_keys=["test-key"]) as mitto, Shopify.start(shops=[{"domain": DOMAIN}]) as shopify:
        config.use(
            replace(
                before,
                mitto_api_url=mitto.url,
                shopify_api_key="stand-in-api-key",
                shopify_api_secrets=("stand-in-secret",),
                shopify_shop_url=shopify.shop_url,
            )
        )
        server = make_server("127.0.0.1", 0, committed_app, threaded=True)
        Thread(target=server.serve_forever, daemon=True).start()
        shopify.configure(proxy_url=f"http://127.0.0.1:{server.server_port}/proxy")
        shopify.install(DOMAIN)
        with db.transaction():
            shop = create_shop(domain=DOMAIN, daily_cap=None, weekly_cap=None)
            create_wallet(shop.id, 10_000)
            for place in range(PEOPLE):
                create_subscriber(shop, first_name="Anna" if place % 2 else "Eleni")
            shop_id = shop.id
        yield Town(shopify, mitto, shop_id)
        server.shutdown()
    config.use(before)
    stopping.forget()


def test_links_in_texts_lead_on_and_each_is_counted_once_in_the_stats(town: Town) -> None:
    campaign = town.send(BODY)
    texts = town.texts()
    found = {phone: [match.group() for match in LINK.finditer(text)] for phone, text in texts.items()}
    assert [len(each) for each in found.values()].count(2) == PEOPLE // 2
    shortened = [link for each in found.values() for link in each]
    assert len(set(shortened)) == len(shortened) == PEOPLE * 3 // 2
    assert town.clicks(campaign) == 0

    opened = shortened[:10]
    with ThreadPoolExecutor(6) as people:
        answers = list(people.map(lambda link: town.visit(link, user_agent=ANDROID), opened * 3))
    assert {(answer.status_code, answer.headers["Location"]) for answer in answers} == {(302, SALE), (302, NEW)}
    for text, (first, *second) in zip(texts.values(), found.values(), strict=True):
        leads = [town.visit(link, user_agent="WhatsApp/2.23.20.0 A").headers["Location"] for link in (first, *second)]
        assert leads == ([NEW, SALE] if "Anna" in text else [SALE])
    assert town.clicks(campaign) == len(opened)

    with db.transaction():
        progress = messages.progress(town.shop_id, int(campaign.dispatch_id or 0))
        rows = messages.recipients(town.shop_id, int(campaign.dispatch_id or 0), limit=100)
        spent = sum(row.credits for row in rows)
        assert (progress.sent, wallet.verify(town.shop_id)) == (PEOPLE, [])
        assert wallet.balance(town.shop_id).balance == 10_000 - spent


def test_what_was_estimated_is_what_is_sent_and_a_code_is_of_its_text_alone(town: Town) -> None:
    body = f'{{{{ first_name }}}}, {"x" * 60} {{{{ "{SALE}" | shortlink }}}} {{{{ opt_out_link }}}}'
    body = body.replace("first_name", 'first_name | default: "you"')
    with db.transaction():
        shop = shops.get_shop(town.shop_id)
        shop.proxy_path = "/community/a-longer-place"
        expected = fitness.preview(shop, create_campaign(shop, body=body)).estimate
    campaign = town.send(body)
    with db.transaction():
        rows = messages.recipients(town.shop_id, int(campaign.dispatch_id or 0), limit=100)
        codes = links.codes(town.shop_id)
    assert (expected.segments, expected.credits) == (sum(r.segments for r in rows), sum(r.credits for r in rows))
    assert expected.segments > PEOPLE, "long enough for the links' length to matter"
    texts = town.texts()
    for row in rows:
        text = texts[str(row.phone)]
        assert text.count("/community/a-longer-place/") == 2
        assert f"/s/{codes.code(row.id, 1)} " in text, "made anew, it is the same"
        assert text.endswith(f"/unsubscribe/{codes.code(row.id, OPT_OUT)}")


def test_a_text_of_another_campaign_has_other_links_and_one_without_counts_none(town: Town) -> None:
    town.send(f'One: {{{{ "{SALE}" | shortlink }}}}')
    first = set(town.texts().values())
    town.send(f'One: {{{{ "{SALE}" | shortlink }}}}')
    assert not first & set(town.texts().values())
    assert town.clicks(town.send("No link")) is None


def test_who_presses_the_button_behind_their_link_gets_no_more_texts(town: Town) -> None:
    town.send("End it here: {{ opt_out_link }}")
    phone, text = next(iter(town.texts().items()))
    assert "STOP" not in text, "the link is a way out by itself"
    link = text.rpartition(" ")[2]
    assert town.visit(link).status_code == 200
    assert "status" in town.visit(link, "POST").text
    with db.transaction():
        cipher = crypto.for_shop(town.shop_id)
        assert consents.state_of(town.shop_id, cipher.lookup(phone)) is State.OPTED_OUT
    town.mitto.reset()
    town.send("More")
    assert phone not in town.texts()
    assert len(town.texts()) == PEOPLE - 1
