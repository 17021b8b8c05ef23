"""Where the pages of this package stand, and who asks for them."""

from __future__ import annotations

from flask import Blueprint

views = Blueprint("dashboard", __name__)
