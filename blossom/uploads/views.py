"""`/contacts/imports`: a merchant's files. `/contacts/imports/<id>`: one of them, at whichever step it is.

`static/js/upload.js` sends a file in parts and then has its page shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from flask import Blueprint, Response, current_app, make_response, request, stream_with_context, url_for

from blossom.contacts.errors import UnreadableFile
from blossom.contacts.rules import mapping as mappings
from blossom.platform import htmx, pages
from blossom.platform.access import Principal
from blossom.platform.errors import InvalidInput, NotFound
from blossom.platform.languages import noted, t
from blossom.shops import queries as shops
from blossom.uploads import forms, queries, rules, service
from blossom.uploads.errors import ConsentUnsaid, NotAttested, PartRefused
from blossom.uploads.models import Upload
from blossom.uploads.queries import Standing
from blossom.uploads.rules import State, table, wording

views = Blueprint("uploads", __name__)

_UPLOAD = "/contacts/imports/<int:upload_id>"


@views.get("/contacts/imports")
def uploads() -> Response:
    """The form for a file, and the files of before."""
    return _list(pages.caller_with("contacts:write"))


@views.post("/contacts/imports")
def announce() -> Response:
    """A browser is about to send a file: where to, and in parts of which size (JSON)."""
    caller = pages.caller_with("contacts:write")
    given = forms.read_announced(request.form)
    upload = service.begin(caller.shop_id, given.filename, given.size, actor=caller.actor)
    address = url_for("uploads.upload", upload_id=upload.id)
    return _json({"address": address, "partBytes": rules.PART_BYTES}, 201)


@views.put(f"{_UPLOAD}/parts/<int:number>")
def receive_part(upload_id: int, number: int) -> Response:
    """A part of the file, as bytes; counted from 1."""
    caller = pages.caller_with("contacts:write")
    queries.upload(caller.shop_id, upload_id)
    if request.content_length is None or request.content_length > rules.PART_BYTES:
        raise PartRefused
    service.receive_part(caller.shop_id, upload_id, number - 1, request.get_data(cache=False))
    return make_response("", 204)


@views.post(f"{_UPLOAD}/received")
def end_receiving(upload_id: int) -> Response:
    """All parts are here: show the file's columns; or (422) the form again, with what is wrong with the file."""
    caller = pages.caller_with("contacts:write")
    try:
        service.end_receiving(caller.shop_id, upload_id, actor=caller.actor)
    except UnreadableFile as fault:
        return _list(caller, wording.fault(fault.code, fault.details))
    answer = _page(caller, upload_id)
    answer.headers["HX-Push-Url"] = url_for("uploads.upload", upload_id=upload_id)
    return answer


@views.get(_UPLOAD)
def upload(upload_id: int) -> Response:
    """The file at its step. While a worker has it, the page asks for this again and again."""
    return _page(pages.caller_with("contacts:write"), upload_id)


@views.post(f"{_UPLOAD}/encoding")
def name_encoding(upload_id: int) -> Response:
    """How the file was saved."""
    caller = pages.caller_with("contacts:write")
    try:
        service.name_encoding(caller.shop_id, upload_id, forms.read_encoding(request.form))
    except UnreadableFile as fault:
        return _page(caller, upload_id, fault=wording.fault(fault.code, fault.details))
    return _page(caller, upload_id)


@views.post(f"{_UPLOAD}/columns")
def choose_columns(upload_id: int) -> Response:
    """Which column is what; or (422) the form, with what is wrong, and what was chosen kept."""
    caller = pages.caller_with("contacts:write")
    known = queries.upload(caller.shop_id, upload_id)
    chosen = forms.read_columns(request.form, known.header or [])
    everybody = chosen.consent == forms.EVERYBODY
    if known.header is not None and chosen.consent == forms.COLUMN and "sms_consent" not in chosen.mapping:
        return _page(caller, upload_id, chosen=chosen, fault=noted("Say which column tells who has agreed."))
    try:
        service.choose_columns(caller.shop_id, upload_id, chosen.mapping, everybody_agreed=everybody)
    except InvalidInput:
        return _page(caller, upload_id, chosen=chosen, fault=noted("Say which column holds the phone numbers."))
    except UnreadableFile as fault:
        return _page(caller, upload_id, chosen=chosen, fault=wording.fault(fault.code, fault.details))
    return _page(caller, upload_id)


@views.post(f"{_UPLOAD}/back")
def change_columns(upload_id: int) -> Response:
    """To the columns again."""
    caller = pages.caller_with("contacts:write")
    service.change_columns(caller.shop_id, upload_id)
    return _page(caller, upload_id)


@views.post(f"{_UPLOAD}/start")
def start(upload_id: int) -> Response:
    """Import it, or go on with an import that stopped."""
    caller = pages.caller_with("contacts:write")
    known = queries.upload(caller.shop_id, upload_id)
    attested = wording.ATTESTED_OF_ALL if known.everybody_agreed else wording.ATTESTED
    without = "without_consent" in request.form
    said = t(attested) if request.form.get("attested") and not without else None
    try:
        service.start(caller.shop_id, upload_id, attested=said, without_consent=without, actor=caller.actor)
    except (ConsentUnsaid, NotAttested) as refused:
        return _page(caller, upload_id, fault=refused.message)
    return _page(caller, upload_id)


@views.post(f"{_UPLOAD}/discard")
def discard(upload_id: int) -> Response:
    """Let go of the file, and show the others."""
    caller = pages.caller_with("contacts:write")
    service.discard(caller.shop_id, upload_id)
    answer = _list(caller)
    answer.headers["HX-Push-Url"] = url_for("uploads.uploads")
    return htmx.toast(answer, t("File discarded"))


@views.get(f"{_UPLOAD}/refused.csv")
def refused_lines(upload_id: int) -> Response:
    """The lines that were refused as they stood in the file, with where and why: to be corrected and sent again."""
    caller = pages.caller_with("contacts:write")
    known = queries.standing(caller.shop_id, upload_id)
    if known.report is None or not known.has_refused_lines:
        raise NotFound("file of refused lines")
    response = current_app.response_class(
        stream_with_context(_refused(known.upload, known.report.import_id)), mimetype="text/csv"
    )
    response.headers["Content-Disposition"] = f'attachment; filename="refused-lines-{upload_id}.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _refused(upload: Upload, import_id: int) -> Iterator[str]:
    header = upload.header or []
    yield "\ufeff" + table.line([t("Line"), t("Why it was refused"), *header])  # the mark makes Excel read UTF-8
    for each in queries.refused_lines(upload.shop_id, import_id):
        cells = orjson.loads(each.cells) if each.cells else []
        yield table.line([str(each.line), t(wording.refused(each.code)), *cells])


def _list(caller: Principal, fault: str | None = None) -> Response:
    files, older_than = queries.recent(caller.shop_id, pages.row_asked("before"))
    response = htmx.page_or_partial(
        "uploads/uploads.html",
        "uploads/_uploads.html",
        shop=shops.get_shop(caller.shop_id),
        files=files,
        older_than=older_than,
        fault=fault,
        words=wording,
        most_megabytes=rules.MOST_BYTES // 1_000_000,
        most_bytes=rules.MOST_BYTES,
    )
    response.status_code = 422 if fault else 200
    return response


def _page(
    caller: Principal, upload_id: int, *, chosen: forms.Columns | None = None, fault: str | None = None
) -> Response:
    found = queries.standing(caller.shop_id, upload_id)
    context: dict[str, Any] = {"shop": shops.get_shop(caller.shop_id), "standing": found, "words": wording}
    if found.state is State.RECEIVED and found.upload.header is not None:
        context |= _columns(found, chosen)
    told = fault or (_told(found) if found.upload.fault and not found.is_working else None)
    response = htmx.page_or_partial("uploads/upload.html", "uploads/_upload.html", fault=told, **context)
    response.status_code = 422 if fault else 200
    return response


def _told(found: Standing) -> str:
    return wording.fault(found.upload.fault or "", found.upload.fault_details)


def _columns(found: Standing, chosen: forms.Columns | None) -> Mapping[str, Any]:
    header, lines = found.upload.header or [], found.first_lines
    if chosen is not None:
        mapping, consent = chosen.mapping, chosen.consent
    else:
        known = found.upload.mapping  # read by other letters, its names may be others
        is_known = known is not None and set(known.values()) <= set(header)
        mapping = known if known is not None and is_known else mappings.propose_mapping(header)
        by_word = forms.EVERYBODY if found.upload.everybody_agreed else forms.NOBODY
        consent = forms.COLUMN if "sms_consent" in mapping else by_word
    return {"header": header, "lines": lines, "columns": wording.columns(mapping), "consent": consent}


def _json(answer: Mapping[str, Any], status: int) -> Response:
    response = make_response(orjson.dumps(answer), status)
    response.mimetype = "application/json"
    response.headers["Cache-Control"] = "no-store"
    return response
