"""`/contacts/new`: somebody who is added by hand."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, request, url_for

from blossom.people import forms, rules, service
from blossom.people.errors import AlreadyContact
from blossom.people.rules.wording import HOW_WORDS
from blossom.people.views.routes import views
from blossom.platform import htmx, pages
from blossom.platform.languages import noted, t
from blossom.shops import queries as shops

ATTESTED = noted("This person has agreed to get marketing texts from this shop, and I can show how.")
"""What a merchant confirms. It is kept as the consent's wording, in the language in which it was read."""


@views.get("/contacts/new")
def new_contact() -> Response:
    caller = pages.caller_with("contacts:write")
    return _form(caller.shop_id, {}, {})


@views.post("/contacts/new")
def add_contact() -> Response:
    """Go to the contact; or (422) the form, with what is wrong at the fields."""
    caller = pages.caller_with("contacts:write")
    new = forms.read_new(request.form, shops.get_shop(caller.shop_id).default_country)
    if new.person is None:
        return _form(caller.shop_id, new.typed, new.faults)
    try:
        contact_id, change = service.add_contact(caller.shop_id, new.person, attested=t(ATTESTED), actor=caller.actor)
    except AlreadyContact as known:
        faults = {"phone": known.message}
        return _form(caller.shop_id, new.typed, faults, known=known.details["contact_id"])
    address = url_for("people.contact", contact_id=contact_id)
    told = t("Contact added")
    if change is not None and not change.changed:
        told = t("Contact added. They opted out before, and stay so.")
    return htmx.lead_to(address, told)


def _form(shop_id: int, typed: Mapping[str, str], faults: Mapping[str, str], known: int | None = None) -> Response:
    response = htmx.page_or_partial(
        "people/new.html",
        "people/_new.html",
        shop=shops.get_shop(shop_id),
        typed=typed,
        faults=faults,
        known=known,
        ways=HOW_WORDS,
        attested=ATTESTED,
        words=rules,
    )
    response.status_code = 422 if faults else 200
    return response
