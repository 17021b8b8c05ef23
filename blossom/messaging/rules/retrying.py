"""Which failed messages may be sent again without the merchant naming them."""

from __future__ import annotations

TRANSIENT_CODES = frozenset(
    {
        "expired",  # the phone was off for as long as the network kept the text
        "unauthorized",  # the account, not the person: mended by whoever holds the keys
        "forbidden",
        "payment_required",
        "insufficient_credit",
        "wrong_address",
        "not_found",
        "could_not_connect",  # Mitto took nothing, as a worker heard too late to try again by itself
        "rate_limited",
        "provider_busy",
    }
)

TRANSIENT_STATUSES = frozenset({"expired", "undelivered"})


def failed_for_now(error: str | None, delivery_status: str | None) -> bool:
    """Whether a failure may be another one tomorrow. A wrong number or a blocked text won't."""
    return (error or "") in TRANSIENT_CODES or (delivery_status or "").lower() in TRANSIENT_STATUSES
