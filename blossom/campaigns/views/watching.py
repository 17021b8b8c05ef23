"""The campaign's page: how far it is, live. `/campaigns/<id>` is page and partial, `/campaigns/<id>/events` its stream.

Both open to whoever came through the admin's frame, or holds a pass to the page (`pages.caller`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, current_app, render_template, request, url_for

from blossom.campaigns import queries
from blossom.campaigns.views import picture as pictures
from blossom.campaigns.views.latest import Latest
from blossom.campaigns.views.picture import Viewer
from blossom.campaigns.views.routes import views
from blossom.platform import htmx, languages, stopping
from blossom.platform.db import transaction
from blossom.platform.errors import NotFound

STREAM_SECONDS = 60.0
"""A stream ends by itself and the page asks for the next: a stopping server never waits long for one."""

TICK_SECONDS = 0.7
ALIVE_SECONDS = 3.0
"""When nothing changes for so long, an event says that the stream lives: a page that hears none for some seconds more
takes it for broken, asks by itself and connects anew (static/js/live.js)."""


@views.get("/campaigns/<int:campaign_id>")
def campaign_page(campaign_id: int) -> Response:
    """The page, or for htmx its live part."""
    looks = pictures.viewer(f"campaigns/{campaign_id}")
    return show(looks, campaign_id, "campaigns/page.html", "campaigns/_progress.html")


def show(looks: Viewer, campaign_id: int, page: str, partial: str, **context: Any) -> Response:
    """The campaign as it stands, by these templates."""
    address: dict[str, Any] = {"campaign_id": campaign_id, "pass": request.args.get("pass")}
    return htmx.page_or_partial(
        page,
        partial,
        picture=pictures.picture(looks, campaign_id),
        page_url=url_for("campaigns.campaign_page", **address),
        events_url=url_for("campaigns.campaign_events", **address),
        **context,
    )


@views.get("/campaigns/<int:campaign_id>/events")
def campaign_events(campaign_id: int) -> Response:
    """The live part, again and again as it changes; the event `settled` when nothing more is to come."""
    looks = pictures.viewer(f"campaigns/{campaign_id}")
    queries.get_campaign(looks.shop_id, campaign_id)
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the app itself, for after the request
    return htmx.event_stream(_events(app, looks, campaign_id))


def _events(app: Flask, looks: Viewer, campaign_id: int) -> Iterator[str]:
    """Between two looks at the database no connection is held."""
    latest: Latest[tuple[str, bool]] = app.extensions.setdefault("campaigns_shown", Latest())
    ends_at, shown, heard_at = time.monotonic() + STREAM_SECONDS, None, time.monotonic()
    while True:
        try:
            key = (campaign_id, looks, languages.reader())
            now, settled = latest.get(key, TICK_SECONDS, lambda: _rendered(app, looks, campaign_id))
        except NotFound:  # deleted meanwhile
            return
        if now != shown:
            yield htmx.event(now)
            shown, heard_at = now, time.monotonic()
        elif time.monotonic() - heard_at >= ALIVE_SECONDS:
            yield htmx.event("", "alive")
            heard_at = time.monotonic()
        else:
            yield htmx.COMMENT
        if settled:
            yield htmx.event("", "settled")
            return
        if time.monotonic() >= ends_at or stopping.wait(TICK_SECONDS):
            return


def _rendered(app: Flask, looks: Viewer, campaign_id: int) -> tuple[str, bool]:
    """The live part, and whether it is the last."""
    with app.app_context():
        with transaction():
            picture = pictures.picture(looks, campaign_id)
        return render_template("campaigns/_progress.html", picture=picture), picture.settled
