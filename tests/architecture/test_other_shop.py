"""Each route, asked by who came in for `ours`, with what is of `theirs`: not there, and nothing of it told or changed.

`other_shop.TABLE` names every route of the app, so a new one fails until somebody has said what it must answer. All
that is of `theirs` bears one of `MARKS`, and no answer may hold one; nor may a row of `theirs` be other than before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from blossom import tables
from blossom.consent import service as consent
from blossom.links import queries as links
from blossom.links.rules.codes import OPT_OUT
from blossom.messaging import service as messaging
from blossom.messaging.models import Message
from blossom.platform import clock, config, crypto, db
from blossom.platform.access import SHOP_SCOPES
from blossom.platform.api import encode_cursor, encode_pair
from blossom.segments import service as segments
from blossom.shops import service as shops
from blossom.shops.models import Shop
from blossom.storefront import jobs
from tests.admin import conftest as admin
from tests.architecture.other_shop import EMAIL, FIGURES, PHONE, TABLE, Ask, Values
from tests.conftest import Services, fresh_app
from tests.factories.campaigns import add_messages, create_campaign, create_completed, create_sending, make_ready
from tests.factories.consent import create_subscriber
from tests.factories.messaging import name_message
from tests.factories.replies import create_reply
from tests.factories.segments import create_shopify_segment
from tests.factories.uploads import create_imported
from tests.message_templates.saved import create_template
from tests.personas import make_personas
from tests.storefront import conftest as storefront

MARKS = ("zyxon", "theirs.myshopify", "777777", "…777")
"""In names, texts and addresses; the shop's domain; in phones and ids of others; at the end of a masked phone."""

SAID = ("theirs.myshopify.com", PHONE, EMAIL)
"""What a request itself may say of theirs, and its answer repeat."""

NEW_PHONE = "+306907777777"

NOT_NOW = {"/resume": 409, "/retry-failed": 409, "/retry-unconfirmed": 409, "/edit": 303}
"""What their campaign, which is being sent, gives no cause for, and the answer to it."""


@dataclass(frozen=True)
class World:
    """Two shops that have everything. `things`: what arguments of paths, and texts in braces, stand for."""

    app: Flask
    key: str
    things: Values

    def theirs(self) -> dict[str, Any]:
        """All rows of theirs, table by table: how many, and a digest."""
        found = {}
        with self.app.app_context(), db.transaction():
            for table in tables.metadata.tables.values():
                column = "id" if table.name == "shops" else "shop_id"
                if column in table.columns:
                    digest = "md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"
                    rows = text(f"SELECT count(*), {digest} FROM {table.name} t WHERE {column} = :theirs")
                    found[table.name] = db.session.execute(rows, {"theirs": self.things["shop_id"]}).one()
        return found

    @property
    def without_theirs(self) -> World:
        """The same, but what is named of theirs is nowhere."""
        nowhere: dict[type, Any] = {int: 10**17, str: "theirs-nowhere"}
        things = {name: nowhere[type(thing)] for name, thing in self.things.items() if not name.startswith("our_")}
        return replace(self, things={**self.things, **things, "shop_domain": "nowhere.myshopify.com"})

    def ask(self, ask: Ask, way: Way) -> TestResponse:
        """The answer to `ask`, as from outside."""
        arguments = {**self.things, **self._filled(ask.arguments)}
        path = re.sub(r"<(?:[^<>:]+:)?(\w+)>", lambda found: str(arguments[found[1]]), ask.route)
        query = {**self._filled(ask.query), **way.query}
        if ask.signed:
            now = str(int(clock.now().timestamp()))
            query |= {"shop": "ours.myshopify.com", "path_prefix": "/apps/blossom", "timestamp": now}
            path, query = f"{path}?{storefront.signed(**query)}", {}
        content = {"json": self._filled(ask.body)} if ask.body is not None else {"data": self._filled(ask.form or {})}
        headers = {**self._filled(ask.headers), **way.headers}
        with self.app.app_context():
            return self.app.test_client().open(
                path, method=ask.method, query_string=query or None, headers=headers, **content
            )

    def _filled(self, given: Any) -> Any:
        """`given` with what texts like `{segment_id}` stand for."""
        if isinstance(given, Mapping):
            return {name: self._filled(value) for name, value in given.items()}
        if isinstance(given, list):
            return [self._filled(value) for value in given]
        named = re.fullmatch(r"\{(\w+)\}", given) if isinstance(given, str) else None
        return self.things[named[1]] if named else given


@pytest.fixture(scope="module")
def world(services: Services, template_database: str) -> Iterator[World]:
    before = config.current()
    with fresh_app(services, template_database) as app:
        settings: dict[str, Any] = {
            "shopify_api_key": admin.API_KEY,
            "shopify_api_secrets": (admin.SECRET,),
            "shopify_scopes": admin.SCOPES,
            "app_url": admin.APP,
        }
        config.use(replace(config.current(), **settings))
        with db.transaction():
            personas = make_personas()
            for shop in (personas.ours, personas.theirs):
                admin.install(shop)
            things = _of_ours(personas.ours) | _of_theirs(personas.theirs)
            _, key = shops.create_api_key(personas.ours.id, "all", sorted(SHOP_SCOPES))
        yield World(app, key, things | _of_their_shopper(app, things["shop_id"]))
    config.use(before)


def _of_ours(ours: Shop) -> dict[str, Any]:
    make_ready(ours)
    create_template(ours.id)
    campaign = create_completed(ours)
    add_messages(campaign, failed=1)
    return {"our_campaign_id": campaign.id, "our_draft_id": create_campaign(ours).id}


def _of_theirs(theirs: Shop) -> dict[str, Any]:
    theirs.name, theirs.sender, theirs.contact_line = "Zyxon", "Zyxon", "desk@zyxon.example"
    person = create_subscriber(
        theirs,
        phone=PHONE,
        first_name="Zyxonia",
        last_name="Zyxonou",
        email=EMAIL,
        email_hash=crypto.for_shop(theirs.id).lookup(EMAIL),
        shopify_customer_id=7777777777,
    )
    make_ready(theirs, subscribers=1)
    campaign = create_sending(
        theirs,
        name="Zyxon",
        body="Hi {{ first_name | default: 'you' }}, only Zyxon: {{ 'https://zyxon.example' | shortlink }}. "
        "Reply STOP to opt out",
    )
    assert campaign.dispatch_id is not None
    messaging.prepare_dispatch(theirs.id, campaign.dispatch_id)
    failed = db.session.scalars(select(Message).where(Message.dispatch_id == campaign.dispatch_id)).first()
    assert failed is not None
    failed.state, failed.error, failed.failed_at = "failed", "transient", clock.now()
    name_message(failed, "zyxon-7777777")
    template = create_template(theirs.id, name="Zyxon", body="Of Zyxon. Reply STOP to opt out")
    said = create_reply(theirs, "How are you, Zyxon?", person)
    assert person.phone_hash is not None
    return {
        "shop_id": theirs.id,
        "shop_domain": theirs.domain,
        "campaign_id": campaign.id,
        "after_campaign_id": campaign.id + 1,
        "after_campaign": encode_cursor(campaign.id + 1),
        "before_message": encode_pair(0, failed.id - 1),
        "message_id": failed.id,
        "provider_id": "zyxon-7777777",
        "contact_id": person.id,
        "before_contact_id": person.id - 1,
        "template_id": template.id,
        "after_template": encode_cursor(template.id + 1),
        "after_template_id": template.id + 1,
        "text_id": said.id,
        "after_text_id": said.id + 1,
        "key_id": shops.create_api_key(theirs.id, "Zyxon's", ["shop:read"])[0].id,
        "segment_id": (segment := segments.create_segment(theirs.id, "Zyxon")).id,
        "after_segment": encode_cursor(segment.id + 1),
        "shopify_segment_id": create_shopify_segment(theirs, [], name="Zyxon at Shopify").segment_id,
        "upload_id": create_imported(theirs, "zyxon.csv", refused=[EMAIL]).id,
        "opt_out": consent.unsubscribe_code(theirs.id, person.phone_hash),
        "text_opt_out": links.codes(theirs.id).code(failed.id, OPT_OUT),
        "link": links.codes(theirs.id).code(failed.id, 1),
        "filename": "../../zyxon",
    }


def _of_their_shopper(app: Flask, shop_id: int) -> dict[str, Any]:
    """A form of their shop that was opened, and the code of another that waits to be confirmed."""
    assert jobs, "registers the storefront's"
    with db.transaction():
        consent.update_settings(shop_id, double_opt_in=True)
    shopper = storefront.Shopper(app, shop_id)
    assert shopper.send(NEW_PHONE).status_code == 200
    storefront.work()
    return {"code": shopper.code(), "form_token": shopper.form()}


@dataclass(frozen=True)
class Way:
    """One way to make a request as somebody who came in for ours, and the status that it must get."""

    name: str
    status: int
    query: Values = field(default_factory=dict)
    headers: Values = field(default_factory=dict)


def ways_in(ask: Ask, key: str) -> list[Way]:
    if ask.signed:
        return [Way("as our shopper", ask.status)]
    session = {"Authorization": f"Bearer {admin.token()}"}
    if not ask.is_page:
        by_key = {"Authorization": f"Bearer {key}"}
        return [Way("by our session", ask.status, headers=session), Way("by our key", ask.status, headers=by_key)]
    fetched = Way("by our session", ask.status, headers={**session, "HX-Request": "true"})
    if ask.method != "GET" or not ask.is_merchants:
        return [fetched]
    framed, theirs = {"embedded": "1", "id_token": admin.token()}, "theirs.myshopify.com"
    forged = {**framed, "id_token": admin.token(theirs, secret="not Shopify's")}
    return [
        fetched,
        Way("as a document", ask.status, query=framed),
        Way("as a document that names theirs", 400, query={**framed, "shop": theirs}),
        Way("as a document with a forged session", 302, query=forged),  # to where a session that holds is asked for
    ]


def told(answer: TestResponse, *, but: Iterable[str] = ()) -> str:
    """All that an answer says, in lower case, but for its request's id, a new form's token, and `but`."""
    said = f"{answer.status}\n{answer.headers.get('Location')}\n{answer.get_data().decode('utf-8', 'replace')}"
    for word in (answer.headers["X-Request-Id"], *storefront.TOKEN.findall(said), *but):
        said = said.replace(word, "")
    return said.lower()


def id_of(ask: Ask) -> str:
    return f"{ask.method} {ask.route}{' of ours' if ask.arguments else ''}{' signed' if ask.signed else ''}"


@pytest.mark.parametrize("ask", TABLE, ids=id_of)
def test_nothing_of_theirs_is_told_or_changed(world: World, ask: Ask) -> None:
    before = world.theirs()
    versions = [ask.route]
    if ask.route.startswith("/api/"):
        versions.append(f"/api/v1/{ask.route.removeprefix('/api/')}")
    for version in versions:
        for way in ways_in(ask, world.key):
            answer = world.ask(replace(ask, route=version), way)
            said = told(
                answer, but=[value for value in [*way.query.values(), *(ask.form or {}).values()] if value in SAID]
            )
            assert answer.status_code == way.status, f"{way.name}: {said}"
            assert [mark for mark in MARKS if mark in said] == [], way.name
    assert world.theirs() == before


@pytest.mark.parametrize("ask", [ask for ask in TABLE if ask.status >= 400 or "ids" in ask.query], ids=id_of)
def test_what_is_theirs_is_answered_like_what_is_nowhere(world: World, ask: Ask) -> None:
    nowhere = world.without_theirs
    for way in ways_in(ask, world.key):
        if way.status != ask.status:  # no further than the door, and the same for all behind it
            continue
        said = [
            told(each.ask(ask, way), but=[str(each.things["campaign_id"])] if "ids" in ask.query else ())
            for each in (world, nowhere)
        ]
        assert said[0] == said[1], way.name


def test_theirs_find_what_is_theirs(world: World) -> None:
    """So that what is not there for ours is not missing for everybody, and what is not told would have borne a mark."""
    session = Way("by their session", 200, headers={"Authorization": f"Bearer {admin.token('theirs.myshopify.com')}"})
    found = [ask for ask in TABLE if (ask.method, ask.status) == ("GET", 404) and ask.is_merchants]
    for ask in found:
        answer = world.ask(ask, session)
        status = next((status for end, status in NOT_NOW.items() if ask.route.endswith(end)), 200)
        assert answer.status_code == status, ask.route
        if status != 200:
            continue
        if not ask.route.endswith((*FIGURES, "/events", ".pdf")):
            assert any(mark in told(answer) for mark in MARKS), ask.route
        answer.close()  # a stream of events would go on for a minute


def test_the_table_names_every_route(world: World) -> None:
    served = {
        (method, re.sub(r"<([^<>:]+:)?\w+>", "<>", rule.rule.replace("/api/v1/", "/api/")))
        for rule in world.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    named = {(ask.method, re.sub(r"<([^<>:]+:)?\w+>", "<>", ask.route)) for ask in TABLE}
    assert served - named == set(), "say in TABLE what they answer to somebody who came in for another shop"
    assert named - served == set()
