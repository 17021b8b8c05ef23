"""The HTML pages on people: parse, one service call, render."""

from blossom.people.views import adding, contacts, replies, segments, shopify_segments
from blossom.people.views.routes import views

__all__ = ["adding", "contacts", "replies", "segments", "shopify_segments", "views"]
