"""Why a webhook was not taken. None of these quotes what was sent."""

from __future__ import annotations

from typing import Any

from blossom.platform.errors import BlossomError


class Unproven(BlossomError):
    """No valid proof, or none is configured, so that nobody can have one."""

    def __init__(self, *, configured: bool) -> None:
        if configured:
            message = "This webhook carries no valid proof."
            actionable = "Sign the raw body with the shared secret, or send the token that the webhook was given."
        else:
            message = "This installation takes no webhooks: it has no secret and no token to prove them by."
            actionable = "Set MITTO_HMAC_SECRET or MITTO_WEBHOOK_TOKEN and start again."
        super().__init__(message, code="unproven", status=401, actionable=actionable)


class UnknownShop(BlossomError):
    def __init__(self) -> None:
        super().__init__(
            "The address names a shop that is not here.",
            code="unknown_shop",
            status=404,
            actionable="Register the webhook again with the shop's myshopify.com domain, or with none.",
        )


class Unreadable(BlossomError):
    """Nothing in the body can be used. `refused`: which elements, and what is wrong with each."""

    def __init__(self, message: str, refused: list[dict[str, Any]] | None = None) -> None:
        super().__init__(
            message,
            code="unreadable",
            details={"refused": refused} if refused else {},
            actionable="See docs/webhooks.md for the shapes that are read.",
        )


class TryAgain(BlossomError):
    """It could not be stored, so it was not taken: the sender should repeat it."""

    def __init__(self) -> None:
        super().__init__(
            "This could not be stored just now.",
            code="unavailable",
            status=503,
            details={"retry_after_seconds": 5},
            actionable="Send it again; a repeat is harmless.",
        )
