"""The HTML pages on people: parse, one service call, render."""

from blossom.people.views import contacts, segments
from blossom.people.views.routes import views

__all__ = ["contacts", "segments", "views"]
