"""What can be wrong with money, said so that a merchant knows what to do."""

from __future__ import annotations

from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted


class InsufficientCredit(BlossomError):
    """The shop has not enough free credits. Nothing was written, and the transaction is still usable."""

    def __init__(self, needed: int, available: int) -> None:
        self.needed = needed
        self.available = available
        self.missing = needed - available
        super().__init__(
            noted(
                "This needs %(needed)s credits and %(available)s are free: %(missing)s are missing.",
                needed=needed,
                available=available,
                missing=self.missing,
            ),
            code="insufficient_credit",
            status=402,
            details={"needed": needed, "available": available, "missing": self.missing},
            actionable=noted(
                "Buy at least %(missing)s credits, or make the audience or the text smaller.", missing=self.missing
            ),
        )


class ReferenceReused(BlossomError):
    """A reservation of this reference exists with another amount, so the caller can't have meant the same thing."""

    def __init__(self, reference: str, reserved: int, asked: int) -> None:
        super().__init__(
            noted("Credits are held under this reference already, for another amount."),
            code="reference_reused",
            status=409,
            details={"reference": reference, "reserved": reserved, "asked": asked},
            actionable=noted("Release the reservation first, or reserve under a new reference."),
        )
