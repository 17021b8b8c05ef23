"""The HTML pages on people: parse, one service call, render."""

from blossom.people.views import adding, contacts, segments
from blossom.people.views.routes import views

__all__ = ["adding", "contacts", "segments", "views"]
