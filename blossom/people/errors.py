"""What a merchant can't do with a person."""

from __future__ import annotations

from blossom.platform.errors import BlossomError


class NothingToOptOut(BlossomError):
    """The contact has no phone number, so no texts, and no consent either."""

    def __init__(self) -> None:
        super().__init__(
            "This contact has no phone number, so there is nothing to opt out of.",
            code="no_phone",
            status=409,
            actionable="Nothing was changed.",
        )
