"""The campaigns' pages; the modules beside it hold them."""

from __future__ import annotations

from flask import Blueprint

views = Blueprint("campaigns", __name__)
