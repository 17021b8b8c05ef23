"""`/contacts`, and one person at `/contacts/<id>`: may they be texted, why, and the proof of it.

What is searched for is sent in a form's body: an address would put a number into histories and logs.
"""

from __future__ import annotations

from typing import Any

from flask import Response, make_response, request, url_for

from blossom.people import forms, queries, rules, service
from blossom.people.forms import Choice, Search
from blossom.people.queries import Listing
from blossom.people.rules import replies as reply_words
from blossom.people.rules import texts as text_words
from blossom.people.rules.replies import Heads, read_heads
from blossom.people.views.routes import CONTACT, views
from blossom.platform import config, htmx, pages
from blossom.platform.access import Principal
from blossom.platform.errors import NotFound
from blossom.platform.languages import t
from blossom.replies import service as replies
from blossom.segments import queries as segments
from blossom.shops import queries as shops

_SEGMENTS = 100
"""The newest, to choose from."""

_TEXTS = 5
"""On a contact's page; all of them have a page of their own."""


@views.get("/contacts")
def contacts() -> Response:
    """A list: everybody, or those in one state of consent."""
    caller = pages.caller_with("contacts:read")
    choice = forms.read_choice(request.args)
    if choice is None:
        raise NotFound("page")
    if choice.segment is not None:
        chosen = segments.segment(caller.shop_id, choice.segment)
        listing = queries.of_segment(caller.shop_id, chosen, choice.state, choice.after)
    elif choice.state is None:
        listing = queries.everybody(caller.shop_id, choice.after)
    else:
        listing = queries.in_state(caller.shop_id, choice.state, choice.after)
    return _list(caller, listing, choice)


@views.post("/contacts")
def search() -> Response:
    """The list of whom the field names; or (422) what is wrong with what was typed."""
    caller = pages.caller_with("contacts:read")
    asked = forms.read_search(request.form, shops.get_shop(caller.shop_id).default_country)
    if asked.phone is not None:
        listing = queries.with_phone(caller.shop_id, asked.phone)
    elif asked.email is not None:
        listing = queries.with_email(caller.shop_id, asked.email)
    else:
        listing = Listing([])
    return _list(caller, listing, Choice(), asked)


@views.get(CONTACT)
def contact(contact_id: int) -> Response:
    caller = pages.caller_with("contacts:read")
    return _person(caller, contact_id)


@views.get(f"{CONTACT}/texts")
def texts(contact_id: int) -> Response:
    """What they and the shop texted each other: a page of it."""
    caller = pages.caller_with("contacts:read")
    asked = request.args.get("before")
    before = read_heads(asked) if asked is not None else None
    if asked is not None and before is None:
        raise NotFound("page")
    return _conversation(caller, contact_id, before)


@views.post(f"{CONTACT}/read")
def read_conversation(contact_id: int) -> Response:
    """Say of all that they texted that it was read; the newest of it."""
    caller = pages.caller_with("contacts:write")
    phone_hash = queries.person(caller.shop_id, contact_id).contact.phone_hash
    if phone_hash is not None:
        replies.mark_all_of(caller.shop_id, phone_hash)
    answer = _conversation(caller, contact_id, None)
    return htmx.toast(answer, t("Marked as read"))


@views.get(f"{CONTACT}/opt-out")
def ask_opt_out(contact_id: int) -> Response:
    """The question whether they shall be opted out, in the place of the button that asks for it."""
    caller = pages.caller_with("contacts:write")
    person = queries.person(caller.shop_id, contact_id)
    return htmx.page_or_partial("people/opt_out.html", "people/_opt_out.html", person=person, words=rules)


@views.post(f"{CONTACT}/opt-out")
def opt_out(contact_id: int) -> Response:
    """Opt them out, and show them as they are then."""
    caller = pages.caller_with("contacts:write")
    changed = service.opt_out(caller.shop_id, contact_id, actor=caller.actor)
    answer = _person(caller, contact_id, answered=True)
    answer.headers["HX-Replace-Url"] = url_for("people.contact", contact_id=contact_id)
    return htmx.toast(answer, t("Opted out") if changed else t("They had opted out before"))


@views.get(f"{CONTACT}/proof")
def proof(contact_id: int) -> Response:
    """All that was recorded of their consent, oldest first."""
    caller = pages.caller_with("contacts:read")
    person = queries.person(caller.shop_id, contact_id)
    return htmx.page_or_partial("people/proof.html", "people/_proof.html", person=person, words=rules)


@views.get(f"{CONTACT}/proof.pdf")
def proof_pdf(contact_id: int) -> Response:
    """The same as a file. Its name, which stays in folders of downloads, names nobody."""
    caller = pages.caller_with("contacts:read")
    from blossom.people.service import proving  # what draws PDFs takes a quarter of a second to import, in each process

    response = make_response(proving.proof_pdf(queries.person(caller.shop_id, contact_id).proof))
    response.mimetype = "application/pdf"
    response.headers["Content-Disposition"] = f'attachment; filename="proof-of-consent-{contact_id}.pdf"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _conversation(caller: Principal, contact_id: int, before: Heads | None) -> Response:
    person = queries.person(caller.shop_id, contact_id)
    return htmx.page_or_partial(
        "people/texts.html",
        "people/_texts.html",
        person=person,
        talk=queries.conversation(caller.shop_id, person.contact.phone_hash, before),
        is_whole=True,
        text_words=text_words,
        reply_words=reply_words,
        words=rules,
        may_write="contacts:write" in caller.scopes,
    )


def _list(caller: Principal, listing: Listing, choice: Choice, search: Search | None = None) -> Response:
    shop = shops.get_shop(caller.shop_id)
    response = htmx.page_or_partial(
        "people/contacts.html",
        "people/_contacts.html",
        shop=shop,
        listing=listing,
        choice=choice,
        search=search,
        words=rules,
        segments=segments.segments(caller.shop_id, limit=_SEGMENTS),
        may_write="contacts:write" in caller.scopes,
    )
    response.status_code = 422 if search and search.fault else 200
    return response


def _person(caller: Principal, contact_id: int, **context: Any) -> Response:
    person = queries.person(caller.shop_id, contact_id)
    return htmx.page_or_partial(
        "people/contact.html",
        "people/_contact.html",
        person=person,
        words=rules,
        talk=queries.conversation(caller.shop_id, person.contact.phone_hash, shown=_TEXTS),
        text_words=text_words,
        reply_words=reply_words,
        lists=queries.lists_of(caller.shop_id, contact_id),
        may_write="contacts:write" in caller.scopes,
        may_list="segments:write" in caller.scopes,
        customer_url=_customer_url(person),
        **context,
    )


def _customer_url(person: queries.Person) -> str | None:
    """Where the admin shows this very customer."""
    if person.contact.shopify_customer_id is None:
        return None
    handle = person.shop.domain.removesuffix(".myshopify.com")
    return f"{config.current().shopify_admin_url}/store/{handle}/customers/{person.contact.shopify_customer_id}"
