"""A shopper's way in a real browser without JavaScript: block, form, text, link, button, texts; and out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Thread

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.messaging import service as messaging
from blossom.platform import config, db, queue, stopping
from blossom.sandbox.mitto.process import StandIn as Mitto
from blossom.sandbox.shopify.process import StandIn as Shopify
from blossom.segments.rules import Audience
from blossom.storefront import jobs
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

DOMAIN, PHONE = "ours.myshopify.com", "+306912345678"


@dataclass
class Site:
    """The shop's own site, its app with a worker at hand, and the provider's log."""

    address: str
    shop_id: int
    mitto: Mitto

    def work(self) -> None:
        """What a worker would do now."""
        waiting = queue.rq_queue("default")
        for job in waiting.jobs:
            name, arguments, _ = job.args
            queue.registered()[name](**arguments)
        waiting.empty()
        stopping.forget()
        messaging.run_lane(seconds=20, worker="test")

    def texts(self) -> list[str]:
        """What reached the phone, in order."""
        return [text["text"] for text in self.mitto.log() if text["destination"] == PHONE]

    def state(self) -> State:
        with db.transaction():
            contact = contacts.contact_by_phone(self.shop_id, PHONE)
            return (
                State.NEVER_SUBSCRIBED
                if contact is None
                else consents.state_of(self.shop_id, contact.phone_hash or b"")
            )

    def send_campaign(self, text: str) -> None:
        plan = messaging.DispatchPlan(
            shop_id=self.shop_id, audience=Audience(everybody=True), source=text, sender="Ours"
        )
        with db.transaction():
            dispatch_id = messaging.start_dispatch(plan).id
        with db.transaction():
            messaging.prepare_dispatch(self.shop_id, dispatch_id)
        self.work()


@pytest.fixture
def site(committed_app: Flask) -> Iterator[Site]:
    assert jobs, "registers the storefront's"
    before = config.current()
    shop = {"domain": DOMAIN, "name": "Ours", "locale": "el"}
    with Mitto.start(api_keys=["test-key"]) as mitto, Shopify.start(shops=[shop]) as shopify:
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
            shop_id = create_shop(domain=DOMAIN).id
            create_wallet(shop_id)
            consent.update_settings(shop_id, double_opt_in=True)
        yield Site(f"http://ours.storefront.test:{shopify.url.rpartition(':')[2]}", shop_id, mitto)
        server.shutdown()
    config.use(before)
    stopping.forget()


@pytest.fixture(params=[1280, 320], ids=["wide", "narrow"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A shopper's tab: Greek, no JavaScript."""
    context = browser.new_context(
        java_script_enabled=False, locale="el-GR", viewport={"width": request.param, "height": 800}
    )
    yield context.new_page()
    context.close()


def test_a_shopper_opts_in_confirms_is_texted_opts_out_and_is_not_texted(site: Site, page: Page) -> None:
    page.goto(site.address)
    page.get_by_label("Αριθμός κινητού").fill("12")
    page.get_by_role("button", name="Συνέχεια").click()
    number = page.get_by_label("Αριθμός κινητού")
    expect(number).to_have_value("12")
    expect(number).to_have_attribute("aria-invalid", "true")
    number.fill("691 234 5678")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Στέλνετέ μου SMS").click()
    expect(page.get_by_role("heading", name="Ευχαριστούμε")).to_be_visible()
    site.work()
    assert len(site.texts()) == 1
    assert site.state() is State.NEVER_SUBSCRIBED

    site.send_campaign("Too early. Reply STOP to opt out")
    assert len(site.texts()) == 1

    link = re.search(r"http\S+", site.texts()[0])
    assert link
    page.goto(link.group())
    page.goto(link.group())
    assert site.state() is State.NEVER_SUBSCRIBED, "opening a link changes nothing"
    page.get_by_role("button", name="Ναι, στέλνετέ μου SMS").click()
    expect(page.get_by_role("heading", name="Έγινε")).to_be_visible()
    assert site.state() is State.OPTED_IN

    site.send_campaign("Sale today. Reply STOP to opt out")
    assert site.texts()[1:] == ["Sale today. Reply STOP to opt out"]

    page.get_by_role("link", name="Διακοπή των SMS").click()
    page.get_by_role("button", name="Διακοπή").click()
    expect(page.get_by_role("status")).to_contain_text("δεν θα σας στέλνει πια SMS")
    assert site.state() is State.OPTED_OUT
    site.send_campaign("Too late. Reply STOP to opt out")
    assert len(site.texts()) == 2
