"""The campaigns' JSON routes (spec §2): parse, one call, render."""

from blossom.campaigns.api import figures, planning, sending
from blossom.campaigns.api.routes import api

__all__ = ["api", "figures", "planning", "sending"]
