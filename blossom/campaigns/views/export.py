"""Files of a campaign: its recipients as CSV, its results as PDF. Their names, which stay in folders of downloads, name
nobody. The page fetches them with the session (static/js/frame.js)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Flask, Response, current_app, make_response, request

from blossom.campaigns import errors, queries
from blossom.campaigns.forms import watching as forms
from blossom.campaigns.rules import causes, outcomes
from blossom.campaigns.rules.ab_test import LETTERS
from blossom.campaigns.views.results import results_of
from blossom.campaigns.views.routes import views
from blossom.contacts.rules import phones
from blossom.messaging import queries as messaging
from blossom.messaging.queries import Place, RecipientRow
from blossom.messaging.rules.states import MessageState
from blossom.platform import languages, pages
from blossom.platform.db import transaction
from blossom.platform.errors import NotFound
from blossom.platform.languages import noted, t
from blossom.platform.spreadsheets import harmless
from blossom.shops import queries as shops

AT_ONCE = 2_000
"""Rows of a file that one transaction reads."""

_HEAD = (
    noted("Number"),
    noted("Country"),
    noted("State"),
    noted("Why"),
    noted("Code"),
    noted("Word of the network"),
    noted("Id at Mitto"),
    noted("Times sent again"),
    noted("SMS segments"),
    noted("Credits"),
    noted("Due"),
    noted("Sent"),
    noted("Delivered"),
    noted("Failed"),
)
_TEXT = noted("Text")


@views.get("/campaigns/<int:campaign_id>/recipients.csv")
def recipients_csv(campaign_id: int) -> Response:
    """All recipients, or those in one state, as the list shows them. Written while it is read, so a million of them
    take no memory."""
    caller = pages.caller_with("campaigns:read")
    choice = forms.read_choice(request.args)
    if choice is None or choice.after is not None:
        raise NotFound("page")
    campaign = queries.get_campaign(caller.shop_id, campaign_id)
    if campaign.dispatch_id is None:
        raise errors.NothingSent()
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # the app itself, for after the request
    lines = _lines(
        app,
        caller.shop_id,
        campaign.dispatch_id,
        choice.state,
        zone=shops.get_shop(caller.shop_id).timezone,
        locale=languages.reader(),
        phones_in_clear="contacts:read" in caller.scopes,
        is_tested=campaign.ab_test is not None,
    )
    response = current_app.response_class(lines, mimetype="text/csv")
    return _as_file(response, f"campaign-{campaign_id}{f'-{choice.state}' if choice.state else ''}.csv")


@views.get("/campaigns/<int:campaign_id>/report.pdf")
def report_pdf(campaign_id: int) -> Response:
    """The results as they were last counted."""
    caller = pages.caller_with("campaigns:read")
    results = results_of(caller.shop_id, campaign_id)
    if results.tally is None:
        raise errors.BeingCounted()
    from blossom.campaigns.views import report  # what draws PDFs takes a quarter of a second, in each process

    response = make_response(report.write(results))
    response.mimetype = "application/pdf"
    return _as_file(response, f"campaign-{campaign_id}-report.pdf")


def _as_file(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _lines(
    app: Flask,
    shop_id: int,
    dispatch_id: int,
    state: MessageState | None,
    *,
    zone: str,
    locale: str,
    phones_in_clear: bool,
    is_tested: bool,
) -> Iterator[str]:
    """The file in pieces; between two of them no connection is held. It begins with a mark by which spreadsheets know
    that it is UTF-8. `is_tested`: of several texts, the last column tells which."""
    with languages.reading(locale):
        head = _written([[t(name) for name in (*_HEAD, *([_TEXT] if is_tested else []))]])
    yield f"\ufeff{head}"
    after: Place | None = None
    while True:
        with app.app_context(), transaction():
            found = messaging.stretch(shop_id, dispatch_id, state=state, after=after, limit=AT_ONCE)
        with languages.reading(locale):
            cells = (
                [*_cells(row, zone, phones_in_clear=phones_in_clear), *([_letter(row)] if is_tested else [])]
                for row in found.rows
            )
            piece = _written(cells)
        yield piece
        after = found.after
        if after is None:
            return


def _written(rows: Iterator[list[str]] | list[list[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue()


def _cells(row: RecipientRow, zone: str, *, phones_in_clear: bool) -> list[str]:
    phone = row.phone or ""
    why = ""
    if row.state is MessageState.FAILED:
        why = t(causes.words(row.error, row.delivery_status).happened)
    elif row.state is MessageState.SKIPPED:
        why = t(causes.skipped(row.reason))
    return [
        phone if phones_in_clear or not phone else phones.mask_phone(phone),
        row.country,
        t(outcomes.STATES[row.state.value]),
        why,
        harmless(row.error or row.reason or ""),
        harmless(row.delivery_status or ""),
        harmless(row.provider_message_id or ""),
        str(row.retry_count),
        str(row.segments),
        str(row.credits),
        *(_moment(at, zone) for at in (row.due_at, row.sent_at, row.delivered_at, row.failed_at)),
    ]


def _letter(row: RecipientRow) -> str:
    """Of the text that they get; nothing while the winner is not known."""
    return "" if row.text_number is None else LETTERS[row.text_number]


def _moment(at: datetime | None, zone: str) -> str:
    """On the shop's clocks, as spreadsheets read it."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}" if at else ""
