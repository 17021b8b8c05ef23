"""The app's own standing in a shop: uninstalled, or with other scopes."""

from __future__ import annotations

import contextlib

from sqlalchemy import select

from blossom.campaigns import queries as campaign_queries
from blossom.campaigns import service as campaigns
from blossom.campaigns.errors import InvalidStatus
from blossom.campaigns.rules.states import CampaignState
from blossom.inbound.errors import Hopeless
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import APPLIED, KNOWN_ALREADY, Outcome, Result, Webhook, ignored, read_moment
from blossom.messaging import service as messaging
from blossom.messaging.errors import InvalidDispatchState
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import FINAL_DISPATCH_STATES
from blossom.platform.db import session, transaction
from blossom.shops import queries as shops
from blossom.shops import service as shop_service

_ACTOR = "shopify"
_PAGE = 100


def uninstalled(webhook: Webhook) -> Result:
    """The merchant removed the app: nobody acts for the shop any more, and nothing leaves. What the shop has stays,
    until `shop/redact`. A late word about an installation that another has followed changes nothing."""
    rules.check_shop(webhook, webhook.payload.get("myshopify_domain"))
    with transaction():
        shop_service.uninstall(webhook.shop_id, triggered_at=webhook.triggered_at)
        if shops.get_shop(webhook.shop_id).uninstalled_at is None:
            return ignored(Outcome.INSTALLED_SINCE)
    stop_texting(webhook.shop_id)
    return APPLIED


def scopes_changed(webhook: Webhook) -> Result:
    """The merchant granted or withdrew scopes. Of two such words the later one at Shopify counts."""
    current = webhook.payload.get("current")
    if not isinstance(current, list) or not all(isinstance(scope, str) for scope in current):
        raise Hopeless("no_scopes_named")
    changed_at = read_moment(webhook.payload.get("updated_at")) or webhook.triggered_at
    with transaction():
        was_news = shop_service.note_scopes(webhook.shop_id, current, changed_at=changed_at)
    return APPLIED if was_news else KNOWN_ALREADY


def stop_texting(shop_id: int) -> None:
    """Cancel what is being sent or paused, make drafts of what is planned. Any number of times; a transaction each,
    since the wallet is the last that anybody locks."""
    for state, end in (
        (CampaignState.SCHEDULED, campaigns.unschedule_campaign),
        (CampaignState.SENDING, campaigns.cancel_campaign),
        (CampaignState.PAUSED, campaigns.cancel_campaign),
    ):
        last: int | None = None
        while True:
            with transaction():
                listed, _ = campaign_queries.list_campaigns(shop_id, state=state, before_id=last, limit=_PAGE)
                found = [each.id for each in listed]
            for campaign_id in found:
                with contextlib.suppress(InvalidStatus), transaction():  # it has come to its end meanwhile
                    end(shop_id, campaign_id, actor=_ACTOR)
            if len(found) < _PAGE:
                break
            last = found[-1]
    with transaction():
        open_dispatches = session.scalars(
            select(Dispatch.id)
            .where(Dispatch.shop_id == shop_id, Dispatch.state.not_in([each.value for each in FINAL_DISPATCH_STATES]))
            .order_by(Dispatch.id)
        ).all()
    for dispatch_id in open_dispatches:  # answers and tests, which no campaign owns
        with contextlib.suppress(InvalidDispatchState), transaction():
            messaging.cancel_dispatch(shop_id, dispatch_id)
