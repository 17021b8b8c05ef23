"""The campaign's page: how far it is, live. `/campaigns/<id>` is page and partial, `/campaigns/<id>/events` its stream.

Both open to whoever came through the admin's frame, or holds a pass to the page (`pages.caller`).
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, render_template, request, url_for

from blossom.campaigns import queries
from blossom.campaigns.views import picture as pictures
from blossom.campaigns.views.picture import Viewer
from blossom.campaigns.views.routes import views
from blossom.platform import htmx, streams
from blossom.platform.db import transaction
from blossom.platform.streams import Shown, Topic


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
    return streams.answer(
        Topic(looks.shop_id, ("campaign", campaign_id, looks), lambda: _rendered(app, looks, campaign_id))
    )


def _rendered(app: Flask, looks: Viewer, campaign_id: int) -> Shown:
    """Between two looks at the database no connection is held."""
    with app.app_context():
        with transaction():
            picture = pictures.picture(looks, campaign_id)
        return Shown(render_template("campaigns/_progress.html", picture=picture), picture.settled)
