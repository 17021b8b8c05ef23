"""What can go wrong with Shopify, as a closed table: whether a second try helps, and a merchant's words.

No text of Shopify's enters what a person or a log gets: it may quote a customer.
"""

from __future__ import annotations

from blossom.platform.errors import BlossomError


class InvalidSessionToken(BlossomError):
    """Not a token of Shopify's for this app at this moment. `stale`: it was one, or will be in a moment: a fresh one
    helps. `why` is for the log."""

    def __init__(self, why: str, *, stale: bool = False) -> None:
        super().__init__(
            "This session has ended, or is not one of ours.",
            code="invalid_session_token",
            status=401,
            actionable="Open Blossom from the Shopify admin.",
        )
        self.why = why
        self.stale = stale
