"""What the home page shows, gathered from the domains. Nothing here reads more for a million contacts than for ten."""

from blossom.home.queries.page import Home, going, home
from blossom.home.queries.summing import Figures, figures

__all__ = ["Figures", "Home", "figures", "going", "home"]
