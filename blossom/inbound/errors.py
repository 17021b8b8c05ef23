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


class NotFromShopify(BlossomError):
    """The body does not carry Shopify's signature under a secret of ours."""

    def __init__(self) -> None:
        super().__init__(
            "This webhook carries no valid signature of Shopify's.",
            code="unproven",
            status=401,
            actionable="Check that SHOPIFY_API_SECRET is this app's client secret.",
        )


class OddHeader(BlossomError):
    """A header is missing, came twice, or holds what Shopify would not send."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The header {name} is missing, or does not look as Shopify writes it.",
            code="odd_header",
            details={"header": name},
            actionable="See docs/webhooks.md for the headers that are read.",
        )


class NoShopify(BlossomError):
    """This installation is not connected to Shopify."""

    def __init__(self) -> None:
        super().__init__(
            "This installation takes no webhooks of Shopify's.",
            code="not_found",
            status=404,
            actionable="Set SHOPIFY_API_KEY and SHOPIFY_API_SECRET and start again.",
        )


class Hopeless(Exception):
    """A webhook can't be handled, and trying it again would not help. `code` is a word of ours, never what was sent."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotYet(Exception):
    """A webhook can't be handled now; a later try may. `code` as of `Hopeless`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
