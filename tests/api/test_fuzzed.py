"""Every call of the document, fuzzed by schemathesis: sound and unsound input, at a shop that has something of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from flask import Flask
from schemathesis import Case, Config
from schemathesis.specs.openapi.checks import positive_data_acceptance

from blossom.app import APIS
from blossom.platform import config, db
from blossom.platform.access import SCOPES
from blossom.platform.api import encode_cursor, encode_pair, limiting, openapi
from blossom.shops import service as shops
from tests.conftest import Services, fresh_app
from tests.factories.campaigns import add_messages, create_campaign, create_completed, create_sending, make_ready
from tests.factories.shops import create_shop
from tests.message_templates.saved import create_template

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOWHERE = "http://127.0.0.1:9"
"""Where Mitto is: a call that asks it is refused a connection."""

EXAMPLES = 5
"""Of each call, beside those at the bounds of its schema."""


@dataclass(frozen=True)
class FurnishedShop:
    """`key`: with every right. `ids`: by the name of a path's argument, ids of things that are there, numbered."""

    key: str
    ids: dict[str, dict[int, int]]


SETTINGS = Config.from_dict(
    {
        "generation": {"deterministic": True, "max-examples": EXAMPLES, "with-security-parameters": False},
        "phases": {"stateful": {"enabled": False}},
        "seed": 1,
    }
)
DOCUMENT = openapi.document([route for api in APIS for route in api.routes], ["/api/v1"])


class Door:
    """The app, which is not there yet when the tests are made out of the document."""

    app: Flask | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        assert self.app is not None
        return self.app(environ, start_response)


door = Door()
schema = schemathesis.openapi.from_dict(DOCUMENT, config=SETTINGS)
schema.app = door


@pytest.fixture(scope="module")
def shop(services: Services, template_database: str) -> Iterator[FurnishedShop]:
    """One that has something of all, at the app that the document is of."""
    before, patch = config.current(), pytest.MonkeyPatch()
    patch.setattr(limiting, "CALLS_PER_MINUTE", 10**6)
    with fresh_app(services, template_database) as app:
        config.use(replace(config.current(), mitto_api_url=NOWHERE))
        with db.transaction():
            furnished = _furnish()
        patch.setattr(door, "app", app)
        yield furnished
    config.use(before)
    patch.undo()


def _furnish() -> FurnishedShop:
    shop = create_shop()
    make_ready(shop, credits=100_000)
    sending = create_sending(shop, name="Sending")
    add_messages(sending, sent=1, delivered=1, unconfirmed=1)
    done = create_completed(shop, name="Done")
    add_messages(done, delivered=2, failed=2)
    drafts = [create_campaign(shop, name=f"Draft {number}") for number in range(6)]
    templates = [create_template(shop.id, name=f"Text {number}") for number in range(8)]
    return FurnishedShop(
        key=shops.create_api_key(shop.id, "all", sorted(SCOPES))[1],
        ids={
            "campaign_id": dict(enumerate(campaign.id for campaign in (sending, done, *drafts))),
            "template_id": dict(enumerate(template.id for template in templates)),
        },
    )


@schema.parametrize()
def test_every_call_answers_as_its_document_says(case: Case[Any], shop: FurnishedShop) -> None:
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _point_at_what_is_there(case, shop)
    case.call_and_validate(
        headers={"Authorization": f"Bearer {shop.key}"},
        excluded_checks=[positive_data_acceptance],  # a schema doesn't tell a text that can be sent from another
    )


def _point_at_what_is_there(case: Case[Any], shop: FurnishedShop) -> None:
    """Let two of three ids in paths be of something, and half of the cursors be good; an empty one is left out."""
    for name, number in case.path_parameters.items():
        if isinstance(number, int):
            case.path_parameters[name] = shop.ids[name].get(number % 12, number)
    cursor = case.query.get("cursor")
    if cursor == "":
        del case.query["cursor"]
    elif isinstance(cursor, str) and len(cursor) % 2:
        is_walk = case.path.endswith("/recipients")
        case.query["cursor"] = encode_pair(0, len(cursor) + 5) if is_walk else encode_cursor(len(cursor) + 5)
