"""The campaigns' HTML pages: parse, one service call, render."""

from blossom.campaigns.views import composing, confirming, deeds, export, listing, recipients, results, watching
from blossom.campaigns.views.routes import views

__all__ = ["composing", "confirming", "deeds", "export", "listing", "recipients", "results", "views", "watching"]
