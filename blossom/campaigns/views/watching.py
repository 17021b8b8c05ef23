"""The campaign's page: how far it is, live. `/campaigns/<id>` is page and partial, `/campaigns/<id>/events` its stream.

Both open to whoever came through the admin's frame, or holds a pass to the page (`pages.caller`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask, Response, current_app, render_template, request, url_for

from blossom.campaigns import queries
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import STATE_WORDS, CampaignState
from blossom.campaigns.views.routes import views
from blossom.messaging import queries as messaging
from blossom.messaging.queries import FailureCause, Progress
from blossom.messaging.rules.states import DispatchState, SkipReason
from blossom.mitto.errors import FAULTS
from blossom.platform import clock, htmx, pages, stopping
from blossom.platform.db import transaction
from blossom.platform.errors import NotFound
from blossom.shops import queries as shops
from blossom.shops.models import Shop

STREAM_SECONDS = 60.0
"""A stream ends by itself and the page asks for the next: a stopping server never waits long for one."""

TICK_SECONDS = 0.7
DETAILS_WHILE_LIVE = 20_000
"""Reasons and causes are counted over messages: for larger dispatches only once they have ended."""

RECEIPTS_AWAITED = timedelta(minutes=10)
"""For how long after the last text the page stays live for receipts."""

_OUTCOMES = (
    ("delivered", "Delivered", "The phone has it."),
    ("sent", "On their way", "Mitto took them; no receipt yet."),
    ("failed", "Failed", "Mitto or the network could not deliver them."),
    ("skipped", "Skipped", "Consent, caps or quiet hours spoke against it at the moment of sending."),
    ("unconfirmed", "Unconfirmed", "Mitto's answer was lost. Never sent again by themselves."),
    ("cancelled", "Cancelled", "They never left."),
    ("pending", "Still to go", "Not handed to Mitto yet."),
)
_REASONS = {
    SkipReason.NOT_OPTED_IN: "have not agreed to texts",
    SkipReason.OPTED_OUT: "opted out",
    SkipReason.CAPPED: "have had enough texts lately",
    SkipReason.NO_PHONE: "have no phone number",
    SkipReason.EXPIRED: "could not be reached in time",
    SkipReason.MISSING_VALUE: "lack a value that the text needs",
}
_NETWORK_FAULTS = {
    "expired": "The phone was off or out of reach for too long.",
    "not_delivered": "The network could not deliver it.",
    "insufficient_credit": "The shop's credits ran out.",
}


@dataclass(frozen=True)
class Outcome:
    """A row of the table and a stretch of the bar. `begin` and `share` are percent of all recipients."""

    key: str
    label: str
    meaning: str
    count: int
    begin: float
    share: float


@dataclass(frozen=True)
class Picture:
    """All that the page shows of a campaign at one moment. `progress` None: it was never sent."""

    campaign: Campaign
    shop: Shop
    progress: Progress | None
    outcomes: list[Outcome]
    skipped: list[tuple[str, int]]
    left_out: list[tuple[str, int]]
    causes: list[tuple[str, str, int]]
    settled: bool

    @property
    def state(self) -> str:
        return STATE_WORDS[self.campaign.state]

    @property
    def is_preparing(self) -> bool:
        return self.progress is not None and self.progress.state is DispatchState.PREPARING

    @property
    def failure(self) -> str | None:
        return self.campaign.failure_text or (self.progress.failure_text if self.progress else None)

    @property
    def announcement(self) -> str:
        """For screen readers: changes every tenth of the way, not with every number."""
        if self.progress is None or not self.progress.total:
            return f"{self.state}."
        if self.campaign.state is CampaignState.SENDING:
            return f"{self.state}: {int(self.progress.percent // 10) * 10} percent done."
        if not self.settled:
            return f"{self.state}. Receipts are coming in."
        told = [f"{outcome.count} {outcome.label.lower()}" for outcome in self.outcomes if outcome.count]
        return f"{self.state}: {', '.join(told)}."


@views.get("/campaigns/<int:campaign_id>")
def campaign_page(campaign_id: int) -> Response:
    """The page, or for htmx its live part."""
    picture = _picture(_shop_of(campaign_id), campaign_id)
    address: dict[str, Any] = {"campaign_id": campaign_id, "pass": request.args.get("pass")}
    return htmx.page_or_partial(
        "campaigns/page.html",
        "campaigns/_progress.html",
        picture=picture,
        page_url=url_for("campaigns.campaign_page", **address),
        events_url=url_for("campaigns.campaign_events", **address),
    )


@views.get("/campaigns/<int:campaign_id>/events")
def campaign_events(campaign_id: int) -> Response:
    """The live part, again and again as it changes; the event `settled` when nothing more is to come."""
    shop_id = _shop_of(campaign_id)
    queries.get_campaign(shop_id, campaign_id)
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the app itself, for after the request
    return htmx.event_stream(_events(app, shop_id, campaign_id))


def _shop_of(campaign_id: int) -> int:
    """For which shop the page or its stream is asked. Raises as `pages.caller`; `Forbidden` without the right."""
    caller = pages.caller(f"campaigns/{campaign_id}")
    caller.require("campaigns:read")
    return caller.shop_id


def _events(app: Flask, shop_id: int, campaign_id: int) -> Iterator[str]:
    """Between two looks at the database no connection is held."""
    ends_at, shown = time.monotonic() + STREAM_SECONDS, None
    while True:
        with app.app_context():
            try:
                with transaction():
                    picture = _picture(shop_id, campaign_id)
            except NotFound:  # deleted meanwhile
                return
            now = render_template("campaigns/_progress.html", picture=picture)
        yield htmx.event(now) if now != shown else htmx.COMMENT
        shown = now
        if picture.settled:
            yield htmx.event("", "settled")
            return
        if time.monotonic() >= ends_at or stopping.wait(TICK_SECONDS):
            return


def _picture(shop_id: int, campaign_id: int) -> Picture:
    campaign, shop = queries.get_campaign(shop_id, campaign_id), shops.get_shop(shop_id)
    if campaign.dispatch_id is None:
        unsent = (CampaignState.DRAFT, CampaignState.SCHEDULED)
        return Picture(campaign, shop, None, [], [], [], [], settled=campaign.state not in unsent)
    progress = messaging.progress(shop_id, campaign.dispatch_id)
    settled = _is_settled(campaign, progress)
    details = settled or progress.total <= DETAILS_WHILE_LIVE
    skipped = messaging.skipped_by_reason(shop_id, campaign.dispatch_id) if details and progress.skipped else {}
    causes = messaging.failures_by_cause(shop_id, campaign.dispatch_id) if details and progress.failed else []
    return Picture(
        campaign,
        shop,
        progress,
        _outcomes(progress),
        skipped=_in_words(skipped),
        left_out=_in_words(progress.left_out),
        causes=[_told(cause) for cause in causes],
        settled=settled,
    )


def _is_settled(campaign: Campaign, progress: Progress) -> bool:
    """Whether the figures stand still: the campaign has ended, and its receipts are in or long overdue."""
    if campaign.finished_at is None or progress.finished_at is None:
        return False
    return progress.sent == 0 or clock.now() > progress.finished_at + RECEIPTS_AWAITED


def _outcomes(progress: Progress) -> list[Outcome]:
    counts = {key: getattr(progress, key) for key, _, _ in _OUTCOMES} | {"pending": progress.pending + progress.sending}
    rows, begin = [], 0.0
    for key, label, meaning in _OUTCOMES:
        share = 100 * counts[key] / progress.total if progress.total else 0.0
        rows.append(Outcome(key, label, meaning, counts[key], begin, share))
        begin += share
    return rows


def _in_words(reasons: dict[str, int]) -> list[tuple[str, int]]:
    known = {reason.value: words for reason, words in _REASONS.items()}
    told = [(known.get(reason, reason.replace("_", " ")), people) for reason, people in reasons.items() if people]
    return sorted(told, key=lambda row: -row[1])


def _told(cause: FailureCause) -> tuple[str, str, int]:
    """What happened in words, the code that support will ask for, and how many texts it was."""
    fault = FAULTS.get(cause.error)
    words = fault.merchant_text if fault else _NETWORK_FAULTS.get(cause.error, _NETWORK_FAULTS["not_delivered"])
    return words, " · ".join(filter(None, (cause.delivery_status, cause.error))), cause.messages
