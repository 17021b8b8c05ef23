"""`/segments`: questions and lists. `/segments/<id>`: the builder of a question, or the people of a list."""

from __future__ import annotations

from dataclasses import replace

from flask import Response, make_response, request, url_for

from blossom.people import forms, queries, rules, service
from blossom.people.errors import SegmentInUse
from blossom.people.forms import segments as drafts
from blossom.people.rules import read_mark
from blossom.people.rules import segments as words
from blossom.people.rules.segments import Draft
from blossom.people.views import shopify_segments
from blossom.people.views.routes import CONTACT, SEGMENT, views
from blossom.platform import clock, htmx, ids, pages
from blossom.platform.access import Principal
from blossom.platform.errors import BlossomError, NotFound
from blossom.platform.languages import noted, t
from blossom.segments import queries as segments
from blossom.segments import service as segments_service
from blossom.segments.models import Segment
from blossom.segments.rules import Field, Kind, Match, Question
from blossom.shops import queries as shops


@views.get("/segments")
def all_segments() -> Response:
    caller = pages.caller_with("segments:read")
    shopify_segments.have_listed(caller.shop_id)
    return _list(caller)


@views.get("/segments/new")
def new_segment() -> Response:
    """The builder, with one rule."""
    return _builder(pages.caller_with("segments:write"), None, Draft())


@views.post("/segments/new")
def make_segment() -> Response:
    """The builder with a rule more or less; or the segment that it makes; or (422) what is wrong."""
    return _build(pages.caller_with("segments:write"), None)


@views.post("/segments/lists")
def make_list() -> Response:
    """A new list, empty, to be filled; or (422) what is wrong with its name."""
    caller = pages.caller_with("segments:write")
    name, draft = drafts.read_name(Draft(name=request.form.get("name", "")))
    if not draft.faults:
        try:
            made = service.save_segment(caller.shop_id, None, name, None, actor=caller.actor)
        except BlossomError as refused:
            draft = replace(draft, faults={"name": refused.message})
        else:
            return _done(_segment_page(caller, made), made.id, t("List made"))
    return _list(caller, draft)


@views.get(SEGMENT)
def segment(segment_id: int) -> Response:
    caller = pages.caller_with("segments:read")
    return _segment_page(caller, segments.segment(caller.shop_id, segment_id))


@views.post(SEGMENT)
def change_segment(segment_id: int) -> Response:
    """As `make_segment`, for one that is there."""
    caller = pages.caller_with("segments:write")
    return _build(caller, segments.segment(caller.shop_id, segment_id))


@views.post("/segments/count")
def count_people() -> Response:
    """Whom the rules in the builder meet, as they are typed; of a large shop about. `exactly`: everybody is counted, by
    a job (`again`: though they just were). The page asks each second, `since` when: 204 while there is nothing new."""
    caller = pages.caller_with("segments:read")
    shop = shops.get_shop(caller.shop_id)
    question, _ = drafts.read_question(drafts.read_draft(request.form), shop.timezone)
    now = clock.now()
    asked = drafts.read_count(request.form, now)
    census = None
    if question is not None and asked.exactly:
        census = service.counted(shop.id, question, now, again=asked.again)
        if census is None and asked.waits and not asked.is_late and htmx.wants_partial():
            return make_response("", 204)
    if question is not None and census is None:
        census = queries.census(shop.id, question)
    return htmx.page_or_partial(
        "segments/count.html",
        "segments/_count.html",
        census=census,
        shop=shop,
        words=rules,
        counting=True,
        asked=asked,
        draft=drafts.read_draft(request.form),
    )


@views.get(f"{SEGMENT}/delete")
def ask_delete(segment_id: int) -> Response:
    """The question whether it shall go, with what still needs it."""
    caller = pages.caller_with("segments:write")
    return _question(caller, segments.segment(caller.shop_id, segment_id))


@views.post(f"{SEGMENT}/delete")
def delete_segment(segment_id: int) -> Response:
    """Delete it, and show the others; or (409) what still needs it."""
    caller = pages.caller_with("segments:write")
    found = segments.segment(caller.shop_id, segment_id)
    try:
        service.delete_segment(caller.shop_id, segment_id, actor=caller.actor)
    except SegmentInUse:
        return make_response(_question(caller, found), 409)
    answer = _list(caller)
    answer.headers["HX-Push-Url"] = url_for("people.all_segments")
    return htmx.toast(answer, t("Segment deleted"))


@views.post(f"{SEGMENT}/members")
def add_member(segment_id: int) -> Response:
    """Put whom the field names on the list; or (422) say why not."""
    caller = pages.caller_with("segments:write")
    found = _list_named(caller, segment_id)
    shop = shops.get_shop(caller.shop_id)
    asked = forms.read_search(request.form, shop.default_country)
    if asked.phone is not None:
        people = queries.with_phone(caller.shop_id, asked.phone)
    elif asked.email is not None:
        people = queries.with_email(caller.shop_id, asked.email)
    else:
        return _segment_page(caller, found, search=asked)
    if not people.rows:
        told = noted("Nobody in your contacts has this number or address.")
        return _segment_page(caller, found, search=replace(asked, fault=told))
    ids = [row.contact.id for row in people.rows]
    added = segments_service.add_members(caller.shop_id, segment_id, ids)
    return htmx.toast(_segment_page(caller, found), t("Added") if added else t("They were on the list already"))


@views.post(f"{SEGMENT}/members/<int:contact_id>/remove")
def remove_member(segment_id: int, contact_id: int) -> Response:
    """Take somebody off the list."""
    caller = pages.caller_with("segments:write")
    found = _list_named(caller, segment_id)
    segments_service.remove_members(caller.shop_id, segment_id, [contact_id])
    return htmx.toast(_segment_page(caller, found), t("Taken off the list"))


@views.post(f"{CONTACT}/lists")
def change_lists(contact_id: int) -> Response:
    """Put somebody on a list (`add`), or take them off one (`remove`): their lists as they are then."""
    caller = pages.caller_with("segments:write")
    person = queries.person(caller.shop_id, contact_id)
    for deed, change in (("add", segments_service.add_members), ("remove", segments_service.remove_members)):
        if (list_id := ids.read_id(request.form.get(deed, ""))) is not None:
            change(caller.shop_id, list_id, [contact_id])
    return htmx.page_or_partial(
        "people/lists.html",
        "people/_lists.html",
        person=person,
        words=rules,
        lists=queries.lists_of(caller.shop_id, contact_id),
        may_list=True,
    )


def _build(caller: Principal, found: Segment | None) -> Response:
    if found is not None and found.kind == Kind.SHOPIFY:
        raise NotFound("segment")
    if found is not None and found.kind == Kind.STATIC:
        return _rename(caller, found)
    shop = shops.get_shop(caller.shop_id)
    draft = drafts.read_draft(request.form)
    deed = request.form.get("do", "")
    if deed != "save":
        return _builder(caller, found, drafts.change(draft, deed), focus=_focus_after(draft, deed))
    question, draft = drafts.read_question(draft, shop.timezone)
    name, draft = drafts.read_name(draft)
    if question is None or draft.faults:
        return _builder(caller, found, draft, status=422)
    try:
        saved = service.save_segment(
            caller.shop_id, None if found is None else found.id, name, question, actor=caller.actor
        )
    except BlossomError as refused:
        return _builder(caller, found, replace(draft, faults={"name": refused.message}), status=422)
    return _done(_segment_page(caller, saved), saved.id, t("Segment saved"))


def _rename(caller: Principal, found: Segment) -> Response:
    name, draft = drafts.read_name(Draft(name=request.form.get("name", "")))
    if not draft.faults:
        try:
            service.save_segment(caller.shop_id, found.id, name, None, actor=caller.actor)
        except BlossomError as refused:
            draft = replace(draft, faults={"name": refused.message})
        else:
            return htmx.toast(_segment_page(caller, found), t("List renamed"))
    return _segment_page(caller, found, draft=draft)


def _focus_after(draft: Draft, deed: str) -> int:
    """The rule that takes the focus once the rules have changed: the new one, or the one after which one went."""
    kind, _, number = deed.partition("-")
    if kind == "add":
        return len(draft.rows)
    if kind not in ("remove", "field") or not drafts.is_number(number):
        return -1
    return int(number[:3]) if kind == "field" else max(0, int(number[:3]) - 1)


def _list(caller: Principal, draft: Draft | None = None) -> Response:
    found, older_than = queries.listed(caller.shop_id, pages.row_asked("before"))
    statics = [each.id for each in found if each.kind == Kind.STATIC]
    readings = segments.readings(caller.shop_id, [each.id for each in found if each.kind == Kind.SHOPIFY])
    response = htmx.page_or_partial(
        "segments/segments.html",
        "segments/_segments.html",
        shop=shops.get_shop(caller.shop_id),
        segments=found,
        older_than=older_than,
        counts=queries.member_counts(caller.shop_id, statics),
        readings=readings,
        why=shopify_segments.why,
        most=queries.MEMBERS_COUNTED,
        words=words,
        draft=draft or Draft(),
        may_write="segments:write" in caller.scopes,
    )
    response.status_code = 422 if draft else 200
    return response


def _segment_page(
    caller: Principal, found: Segment, *, search: forms.Search | None = None, draft: Draft | None = None
) -> Response:
    if found.kind == Kind.SHOPIFY:
        return shopify_segments.page(caller, found)
    shop = shops.get_shop(caller.shop_id)
    if found.kind == Kind.STATIC:
        after = request.args.get("after")
        mark = read_mark(after) if after else None
        if after and mark is None:
            raise NotFound("page")
        response = htmx.page_or_partial(
            "segments/list.html",
            "segments/_list.html",
            shop=shop,
            segment=found,
            listing=queries.members(caller.shop_id, found.id, mark),
            first=mark is None,
            count=queries.member_counts(caller.shop_id, [found.id])[found.id],
            most=queries.MEMBERS_COUNTED,
            words=rules,
            search=search,
            draft=draft or Draft(name=found.name),
            may_write="segments:write" in caller.scopes,
        )
        response.status_code = 422 if (search and search.fault) or draft else 200
        return response
    assert found.rules is not None, "the table's check holds this"
    return _builder(caller, found, words.draft_of(found.name, Question.from_json(found.rules), shop.timezone))


def _builder(caller: Principal, found: Segment | None, draft: Draft, *, status: int = 200, focus: int = -1) -> Response:
    response = htmx.page_or_partial(
        "segments/builder.html",
        "segments/_builder.html",
        shop=shops.get_shop(caller.shop_id),
        segment=found,
        draft=draft,
        counted=words.key_of(draft),
        words=words,
        fields=list(Field),
        matches=list(Match),
        focus=focus,
        may_write="segments:write" in caller.scopes,
    )
    response.status_code = status
    return response


def _question(caller: Principal, found: Segment) -> Response:
    return htmx.page_or_partial(
        "segments/delete.html",
        "segments/_delete.html",
        shop=shops.get_shop(caller.shop_id),
        segment=found,
        usage=queries.usage(caller.shop_id, found.id),
    )


def _list_named(caller: Principal, segment_id: int) -> Segment:
    found = segments.segment(caller.shop_id, segment_id)
    if found.kind != Kind.STATIC:
        raise NotFound("list")
    return found


def _done(answer: Response, segment_id: int, told: str) -> Response:
    answer.headers["HX-Push-Url"] = url_for("people.segment", segment_id=segment_id)
    return htmx.toast(answer, told)
