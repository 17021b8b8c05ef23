"""Changing consent. `changes` is the one place that writes states and events; the others say what to write."""

from __future__ import annotations

from blossom.consent.service.changes import Change, Step, apply, ask, opt_in, opt_out, record_keyword
from blossom.consent.service.importing import import_customers
from blossom.consent.service.opt_out_links import (
    opt_out_by_code,
    opt_out_by_link,
    phone_hash_of,
    unsubscribe_code,
)
from blossom.consent.service.people import contact_for
from blossom.consent.service.requests import (
    Asked,
    confirm,
    lapse_requests,
    note_forgotten,
    open_confirmation,
    prune_requests,
    receive_request,
    settle_request,
)
from blossom.consent.service.settings import update_settings

__all__ = [
    "Asked",
    "Change",
    "Step",
    "apply",
    "ask",
    "confirm",
    "contact_for",
    "import_customers",
    "lapse_requests",
    "note_forgotten",
    "open_confirmation",
    "opt_in",
    "opt_out",
    "opt_out_by_code",
    "opt_out_by_link",
    "phone_hash_of",
    "prune_requests",
    "receive_request",
    "record_keyword",
    "settle_request",
    "unsubscribe_code",
    "update_settings",
]
