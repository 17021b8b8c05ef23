"""Where the pages on people hang, and who may see them."""

from __future__ import annotations

from flask import Blueprint, request

from blossom.platform import pages
from blossom.platform.access import Principal

views = Blueprint("people", __name__)

CONTACT = "/contacts/<int(max=9223372036854775807):contact_id>"


def caller_with(scope: str) -> Principal:
    """Who asks, if they may; raises `Forbidden` if they may not."""
    known = pages.caller(request.path.strip("/"))
    known.require(scope)
    return known
