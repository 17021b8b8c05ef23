"""The campaigns' HTML pages: parse, one service call, render."""

from blossom.campaigns.views import watching
from blossom.campaigns.views.routes import views

__all__ = ["views", "watching"]
