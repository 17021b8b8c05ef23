"""A world with Mitto in it, shops of any number, their sites, a worker at hand: whole ways, from install to redact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from playwright.sync_api import Browser, FrameLocator, Page, expect
from sqlalchemy import exists, select

from blossom import worker
from blossom.campaigns import service as campaigns
from blossom.consent import service as consent
from blossom.inbound import jobs as inbound
from blossom.inbound.models import ShopifyWebhook
from blossom.inbound.rules.webhooks import WebhookState
from blossom.messaging import service as messaging
from blossom.platform import config, crypto, queue, stopping
from blossom.platform.config import Config
from blossom.platform.db import session, transaction
from blossom.sandbox.mitto.process import StandIn as Mitto
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from tests.conftest import Services
from tests.factories.wallet import create_wallet
from tests.faults.processes import until
from tests.journeys import world as worlds
from tests.journeys.world import API_KEY, SCOPES, SECRET, World

assert worker.REGISTERED, "names every job"

ACCOUNT = "00000000-0000-0000-0000-000000000001"
OPERATOR = "blue-coffee.myshopify.com"
"""The shop whose staff see the whole installation's queue."""


@dataclass(frozen=True)
class Town:
    """Shops get a domain of their own from each test, so that none finds what another left."""

    world: World
    mitto: Mitto
    settings: Config

    @contextmanager
    def inside(self) -> Iterator[None]:
        """In the app's context, by the settings of its web process, which other tests' apps have changed here, and by
        its own shops' keys: another database has a shop of the same number."""
        before = config.current()
        config.use(self.settings)
        crypto.init(self.settings.master_keys)
        try:
            with self.world.app.app_context():
                yield
        finally:
            config.use(before)  # what failed may be tried again, and other tests follow

    def open_shop(self, domain: str, **fields: Any) -> None:
        self.world.shopify.open_shop(domain, name=domain.partition(".")[0].title(), **fields)

    def install(self, browser: Browser, domain: str) -> tuple[Page, FrameLocator]:
        """A merchant opens the app in the admin and installs it; the shop gets credits and no quiet hours."""
        tab, frame, _ = worlds.open_admin(browser, self.world, shop=domain)
        tab.get_by_role("button", name="Install").click()
        expect(frame.locator("#home")).to_be_visible()
        with self.inside(), transaction():
            shop = shops.by_domain(domain)
            assert shop is not None
            shop.quiet_hours_on, shop.daily_cap, shop.weekly_cap, shop.sender = False, None, None, "Town"
            create_wallet(shop.id)
        self.work()
        return tab, frame

    def shop(self, domain: str) -> Shop:
        """The tenant that has this domain now; to be called in the app's context."""
        found = shops.by_domain(domain)
        assert found is not None
        return found

    def site(self, domain: str, path: str = "/") -> str:
        """An address on the shop's own site."""
        return f"http://{domain.partition('.')[0]}.storefront.test:{self.world.shopify.url.rpartition(':')[2]}{path}"

    def set_consent(self, domain: str, **settings: Any) -> None:
        with self.inside(), transaction():
            consent.update_settings(self.shop(domain).id, **settings)

    def hear(self) -> None:
        """Let what Shopify tells come in and be handled; nothing else is done."""
        assert self.world.shopify.settle_webhooks()
        until(self._has_handled_all, "each webhook has come to its end")

    def _has_handled_all(self) -> bool:
        with self.inside():
            inbound.handle_webhooks()
            inbound.ask_shopify()
            with transaction():
                waits = exists().where(ShopifyWebhook.state == WebhookState.NEW.value)
                return not session.scalar(select(waits))

    def work(self) -> None:
        """What workers would do until nothing is left."""
        self.hear()
        with self.inside():
            while self._do_jobs():
                pass

    def send_a_little(self) -> None:
        """Let a lane send a batch or two of what is prepared."""
        with self.inside():
            before = len(self.mitto.log())
            while len(self.mitto.log()) == before:
                messaging.run_lane(seconds=0.01, worker="town")

    def let_arrive(self) -> None:
        """Let Mitto tell what became of what it took, and let that be written down."""
        self.mitto.flush_receipts()
        with self.inside(), transaction():
            messaging.apply_receipts()

    def taken(self, phones: Collection[str]) -> list[dict[str, Any]]:
        """The texts to these people that Mitto's own log has, in order."""
        return [text for text in self.mitto.log() if text["destination"] in phones]

    def told(self, phones: Collection[str]) -> Counter[str]:
        """What Mitto said of the texts to these people: its last word on each, in its own words → texts."""
        last = {receipt["message_id"]: receipt["status"] for receipt in self.mitto.receipts()}
        return Counter(last[text["messageId"]] for text in self.taken(phones) if text["messageId"] in last)

    def texts(self, phone: str) -> list[str]:
        """What reached the phone, in order."""
        return [text["text"] for text in self.mitto.log() if text["destination"] == phone]

    def enqueue_campaign(self, domain: str, body: str) -> int:
        """Send to everybody of the shop, as far as a merchant's click goes; the campaign's id."""
        with self.inside(), transaction():
            shop_id = self.shop(domain).id
            campaign = campaigns.create_campaign(
                shop_id, name="Sale", body=body, audience=Audience(everybody=True), actor="test"
            )
            campaigns.enqueue_campaign(shop_id, campaign.id, actor="test")
            return campaign.id

    def prepare(self) -> None:
        """Fix the audiences of what was enqueued; nothing is sent."""
        with self.inside():
            self._do_jobs("prepare")

    def _do_jobs(self, *queues: str) -> int:
        done = 0
        for name in queues or queue.QUEUES:
            waiting = queue.rq_queue(name)
            for job in waiting.jobs:
                called, arguments, _ = job.args
                waiting.remove(job)
                queue.taken_up(called, arguments)
                queue.registered()[called](**arguments)
                done += 1
        stopping.forget()
        return done


@contextmanager
def start(services: Services, template: str) -> Iterator[Town]:
    with Mitto.start(api_keys=["test-key"]) as mitto:
        given = {"MITTO_API_URL": mitto.url, "MITTO_API_KEY": "test-key", "MITTO_TRAFFIC_ACCOUNT_ID": ACCOUNT}
        given["MITTO_WEBHOOK_TOKEN"], given["BLOSSOM_OPERATOR_SHOPS"] = "town-token", OPERATOR
        before = config.current()
        with worlds.start(services, template, **given) as world:
            port = world.url.rpartition(":")[2]
            here = f"http://127.0.0.1:{port}"
            world.shopify.configure(proxy_url=f"{here}/proxy", webhook_url=f"{here}/webhooks/shopify")
            proof = {"token": given["MITTO_WEBHOOK_TOKEN"]}
            mitto.configure(
                inbound={"url": f"{here}/webhooks/mitto/inbound", "proof": proof},
                receipts={"url": f"{here}/webhooks/mitto/dlr", "proof": proof, "hold": True, "array_size": 200},
            )
            connected: dict[str, Any] = {
                "mitto_api_url": mitto.url,
                "shopify_api_key": API_KEY,
                "shopify_api_secrets": (SECRET,),
                "shopify_scopes": SCOPES,
                "shopify_shop_url": world.shopify.shop_url,
                "app_url": world.url,
                "mitto_batch_size": 2,
            }
            settings = replace(config.current(), **connected)
            config.use(before)
            yield Town(world, mitto, settings)
