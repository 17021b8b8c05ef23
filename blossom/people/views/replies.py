"""`/replies`: what people text beside STOP and the like, for the merchant to read.

A number that is searched for is sent in a form's body: an address would put it into histories and logs.
"""

from __future__ import annotations

from flask import Response, make_response, redirect, request, url_for

from blossom.people import forms, queries, rules
from blossom.people.forms import Search
from blossom.people.queries import Replies
from blossom.people.rules import replies as words
from blossom.people.views.routes import views
from blossom.platform import htmx, ids, pages
from blossom.platform.access import Principal
from blossom.platform.errors import NotFound
from blossom.platform.languages import t, tn
from blossom.replies import service
from blossom.replies.rules import Kept
from blossom.shops import queries as shops


@views.get("/replies")
def replies() -> Response:
    """The newest first, a page at a time: all, those that nobody has read, or keywords too."""
    caller = pages.caller_with("contacts:read")
    shown, before = request.args.get("show", Kept.REPLIES.value), pages.row_asked("before")
    if shown not in set(Kept):
        raise NotFound("page")
    kept = Kept(shown)
    return _list(caller, queries.replies_kept(caller.shop_id, kept, before), kept, is_later=before is not None)


@views.post("/replies")
def search_replies() -> Response:
    """What the number in the field texted; or (422) what is wrong with it."""
    caller = pages.caller_with("contacts:read")
    asked = forms.read_number(request.form, shops.get_shop(caller.shop_id).default_country)
    found = queries.replies_of(caller.shop_id, asked.phone) if asked.phone is not None else Replies([])
    return _list(caller, found, Kept.ALL, asked)


@views.post("/replies/<int:text_id>/read")
def mark_reply(text_id: int) -> Response:
    """Say of one that it was read, or take that back; it, as it stands then."""
    caller = pages.caller_with("contacts:write")
    marked = service.mark(caller.shop_id, text_id, is_read=request.form.get("read") != "no")
    if not htmx.wants_partial():
        return make_response(redirect(url_for("people.replies"), 303))
    return htmx.page_or_partial(
        "people/_reply.html",
        "people/_reply.html",
        reply=queries.reply(caller.shop_id, marked),
        shop=shops.get_shop(caller.shop_id),
        words=rules,
        reply_words=words,
        may_write=True,
        answered=True,
    )


@views.post("/replies/read")
def mark_replies() -> Response:
    """Say of all that stood on the page, and of those before them, that they were read."""
    caller = pages.caller_with("contacts:write")
    up_to = ids.read_id(request.form.get("up_to", ""))
    if up_to is None:
        raise NotFound("page")
    number = service.mark_all(caller.shop_id, up_to)
    answer = _list(caller, queries.replies_kept(caller.shop_id, Kept.REPLIES), Kept.REPLIES)
    answer.headers["HX-Push-Url"] = url_for("people.replies")
    told = tn("%(num)s text marked as read", "%(num)s texts marked as read", number)
    if number >= service.MOST:
        told += ". " + t("There may be more: mark all once again.")
    return htmx.toast(answer, told)


def _list(
    caller: Principal, found: Replies, kept: Kept, search: Search | None = None, *, is_later: bool = False
) -> Response:
    response = htmx.page_or_partial(
        "people/replies.html",
        "people/_replies.html",
        shop=shops.get_shop(caller.shop_id),
        found=found,
        kept=kept,
        is_later=is_later,
        search=search,
        words=rules,
        reply_words=words,
        may_write="contacts:write" in caller.scopes,
    )
    response.status_code = 422 if search and search.fault else 200
    return response
