"""A shopper follows a link of a text to where the merchant meant, and no further; and the link that ends the texts."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from blossom.consent.rules import State
from blossom.links import queries
from blossom.links.rules.codes import ALPHABET, OPT_OUT
from blossom.messaging import service as messaging
from blossom.messaging.models import Message
from blossom.messaging.service import erasing
from blossom.platform import clock, db, logs
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.storefront import service as storefront
from tests.factories.consent import create_subscriber
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.links.test_robots import IPHONE
from tests.storefront.conftest import ELENI, Shopper, connected, shopper

__all__ = ["connected", "shopper"]

SALE = "https://shop.example/sale?utm_source=sms&utm_campaign=may#top"
TEXT = f'Sale! {{{{ "{SALE}" | shortlink }}}} End: {{{{ opt_out_link }}}}'


@dataclass
class Texted:
    """Eleni, who was texted a link, at the shop's site."""

    shopper: Shopper
    dispatch_id: int
    message_id: int

    def code(self, number: int = 1) -> str:
        return queries.codes(self.shopper.shop_id).code(self.message_id, number)

    def clicks(self) -> int:
        return queries.opened(self.shopper.shop_id, [self.dispatch_id])[self.dispatch_id]


def text_to(shop: Shop, phone: str) -> tuple[int, int]:
    """A dispatch to somebody, and the message in it."""
    create_subscriber(shop, phone=phone)
    plan = messaging.DispatchPlan(shop_id=shop.id, audience=Audience(everybody=True), source=TEXT, sender="Ours")
    dispatch_id = messaging.start_dispatch(plan).id
    messaging.prepare_dispatch(shop.id, dispatch_id)
    return dispatch_id, db.session.query(Message.id).filter(Message.dispatch_id == dispatch_id).scalar()


@pytest.fixture
def texted(shopper: Shopper) -> Texted:
    shopper.headers["User-Agent"] = IPHONE
    return Texted(shopper, *text_to(shopper.shop, ELENI))


def test_a_tap_leads_to_the_address_and_counts(texted: Texted) -> None:
    for _ in range(2):
        answer = texted.shopper.get(f"s/{texted.code()}", to="https://evil.example", target="//evil.example")
        assert (answer.status_code, answer.headers["Location"]) == (302, SALE)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "noindex" in answer.headers["X-Robots-Tag"]
    assert texted.clicks() == 1


def test_robots_and_browsers_that_look_ahead_are_led_on_and_not_counted(texted: Texted) -> None:
    path = f"/proxy/s/{texted.code()}?{texted.shopper.query()}"
    db.session.commit()
    client = texted.shopper.app.test_client()
    for answer in (
        client.get(path, headers={"User-Agent": "WhatsApp/2.23.20.0 A"}),
        client.get(path, headers={"User-Agent": IPHONE, "Sec-Purpose": "prefetch;prerender"}),
        client.head(path, headers={"User-Agent": IPHONE}),
    ):
        assert (answer.status_code, answer.headers["Location"]) == (302, SALE)
    assert texted.clicks() == 0


def test_what_the_shop_never_made_leads_nowhere(texted: Texted) -> None:
    code = texted.code()
    other = ALPHABET[(ALPHABET.index(code[7]) + 1) % len(ALPHABET)]
    theirs = create_shop(domain="theirs.myshopify.com")
    create_wallet(theirs.id, 100)
    _, their_message = text_to(theirs, ELENI)
    for wrong in (
        code[:7] + other + code[8:],
        code[:-1],
        code + "2",
        code.swapcase(),
        texted.code(2),  # a link that the text has not
        texted.code(OPT_OUT),
        queries.codes(theirs.id).code(their_message, 1),
        queries.codes(texted.shopper.shop_id).code(their_message, 1),
        "x" * 5000,
        "é" * 18,
    ):
        answer = texted.shopper.get(f"s/{wrong}")
        assert (answer.status_code, answer.headers.get("Location")) == (404, None), wrong
    assert texted.clicks() == 0


def test_a_link_of_a_shop_that_left_leads_nowhere(texted: Texted) -> None:
    texted.shopper.shop.uninstalled_at = clock.now()
    assert texted.shopper.get(f"s/{texted.code()}").status_code == 404


def test_unsigned_visits_are_refused(texted: Texted) -> None:
    db.session.commit()
    answer = texted.shopper.app.test_client().get(f"/proxy/s/{texted.code()}?shop={texted.shopper.shop.domain}")
    assert (answer.status_code, "Location" in answer.headers) == (401, False)


def test_an_address_that_tries_and_tries_is_held_up(texted: Texted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storefront, "LINKS_A_MINUTE", 3)
    visits = [texted.shopper.get(f"s/{texted.code()}").status_code for _ in range(5)]
    assert visits == [302, 302, 302, 429, 429]
    elsewhere = replace(texted.shopper, headers={**texted.shopper.headers, "X-Forwarded-For": "192.0.2.8"})
    assert elsewhere.get(f"s/{texted.code()}").status_code == 302


def test_no_log_tells_who_tapped_what(texted: Texted) -> None:
    stream = io.StringIO()
    logs.configure("INFO", stream)
    try:
        texted.shopper.get(f"s/{texted.code()}")
        texted.shopper.post(f"unsubscribe/{texted.code(OPT_OUT)}")
    finally:
        logs.configure("WARNING")
    told = stream.getvalue()
    assert "/proxy/s/<code>" in told
    assert "/proxy/unsubscribe/<code>" in told
    for secret in (texted.code(), texted.code(OPT_OUT), str(texted.message_id), SALE, "192.0.2.7", ELENI):
        assert secret not in told


def test_links_begin_where_the_proxy_was_last_seen(texted: Texted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.storefront.conftest.PREFIX", "/a/texts")
    assert texted.shopper.get("consent").status_code == 200
    assert texted.shopper.shop.proxy_path == "/a/texts"
    monkeypatch.setattr("tests.storefront.conftest.PREFIX", "/a/../texts")
    assert texted.shopper.get("consent").status_code == 401
    assert texted.shopper.shop.proxy_path == "/a/texts"


# The opt-out link


def test_a_texts_own_link_ends_the_texts_by_one_button(texted: Texted) -> None:
    code = texted.code(OPT_OUT)
    page = texted.shopper.get(f"unsubscribe/{code}")
    assert (page.status_code, page.text.count("<button")) == (200, 1)
    assert texted.shopper.state() is State.OPTED_IN
    for _ in range(2):
        done = texted.shopper.post(f"unsubscribe/{code}")
        assert (done.status_code, "It&#39;s done" in done.text) == (200, True)
    assert texted.shopper.state() is State.OPTED_OUT


def test_a_short_link_ends_no_texts(texted: Texted) -> None:
    for code in (texted.code(), texted.code(2), texted.code(OPT_OUT)[::-1]):
        assert texted.shopper.post(f"unsubscribe/{code}").status_code == 404
    assert texted.shopper.state() is State.OPTED_IN


def test_a_person_who_was_forgotten_is_not_named_by_their_link(texted: Texted) -> None:
    erasing.forget_people(texted.shopper.shop_id, [texted.shopper.phone_hash()], 10)
    assert texted.shopper.post(f"unsubscribe/{texted.code(OPT_OUT)}").status_code == 404
    assert texted.shopper.get(f"s/{texted.code()}").status_code == 302, "the text lies on their phone still"


def test_a_link_is_followed_on_the_shops_own_domain(texted: Texted) -> None:
    shop_id = texted.shopper.shop_id
    db.session.execute(update(Shop).where(Shop.id == shop_id).values(primary_domain="olive.example"))
    db.session.expire_all()
    assert urlsplit(shops.proxy_address(shop_id))[:3] == ("https", "olive.example", "/apps/blossom")
