"""Where the pages of this package stand, and who asks for them."""

from __future__ import annotations

from flask import Blueprint, request

from blossom.platform import pages
from blossom.platform.access import Principal

views = Blueprint("dashboard", __name__)


def caller_with(scope: str) -> Principal:
    """Who asks. Raises `Forbidden` without that right."""
    caller = pages.caller(request.path.strip("/"))
    caller.require(scope)
    return caller
