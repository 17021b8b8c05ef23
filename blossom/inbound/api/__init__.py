"""Mitto's webhooks. `routes` takes all of them; `ingress` stands before the app and takes what most of them are."""

from blossom.inbound.api.ingress import ReceiptsIngress
from blossom.inbound.api.routes import blueprint

__all__ = ["ReceiptsIngress", "blueprint"]
