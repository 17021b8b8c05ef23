"""Who acts, and what they may do. Filled in by `shops` (API keys) and `admin` (session tokens), asked by API, pages."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.platform.errors import Forbidden
from blossom.platform.languages import noted

SCOPES = {
    "campaigns:read": noted("Read campaigns, their progress, recipients and figures"),
    "campaigns:write": noted("Write, change and delete campaigns"),
    "campaigns:send": noted("Send, schedule, pause, resume, cancel and retry campaigns, and send test texts"),
    "templates:read": noted("Read templates and preview texts"),
    "templates:write": noted("Write, change and delete templates"),
    "contacts:read": noted("Read contacts and their consent"),
    "contacts:write": noted("Import and change contacts and their consent"),
    "segments:read": noted("Read segments and count them"),
    "segments:write": noted("Write, change and delete segments"),
    "wallet:read": noted("Read the balance and its history"),
    "shop:read": noted("Read the shop's settings"),
    "shop:write": noted("Change the shop's settings"),
    "operator": noted("Read figures of the whole installation, and replay what was given up; for its operator only"),
}
"""Every right that a key can hold."""

OPERATOR = "operator"

SHOP_SCOPES = frozenset(SCOPES) - {OPERATOR}
"""What a merchant may give a key of their own."""


@dataclass(frozen=True)
class Principal:
    """Somebody who was recognised: the shop they act for, their rights, and their name in the audit.

    `actor` is stable and carries no personal data (`api_key:12`, `staff:7`); rate limits are counted by it.
    """

    shop_id: int
    scopes: frozenset[str]
    actor: str

    def require(self, scope: str) -> None:
        """Raise `Forbidden` (403) unless this principal holds `scope`."""
        if scope not in self.scopes:
            raise Forbidden(scope)
