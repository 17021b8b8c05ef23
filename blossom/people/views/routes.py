"""Where the pages on people hang, and who may see them."""

from __future__ import annotations

from flask import Blueprint

views = Blueprint("people", __name__)

CONTACT = "/contacts/<int:contact_id>"
SEGMENT = "/segments/<int:segment_id>"
