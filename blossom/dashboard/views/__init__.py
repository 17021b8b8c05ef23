"""The pages of settings, and how Shopify's customers come in, by what they are about."""

from blossom.dashboard.views import arriving, consent, keys, settings, staff
from blossom.dashboard.views.routes import views

__all__ = ["arriving", "consent", "keys", "settings", "staff", "views"]
