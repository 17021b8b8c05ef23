"""What a merchant can't do with a person."""

from __future__ import annotations

from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted


class NothingToOptOut(BlossomError):
    """The contact has no phone number, so no texts, and no consent either."""

    def __init__(self) -> None:
        super().__init__(
            noted("This contact has no phone number, so there is nothing to opt out of."),
            code="no_phone",
            status=409,
            actionable=noted("Nothing was changed."),
        )


class SegmentInUse(BlossomError):
    """A campaign that is still to be sent names the segment, and would go to somebody else without it, or to nobody."""

    def __init__(self) -> None:
        super().__init__(
            noted("A campaign that has not been sent yet uses this segment."),
            code="segment_in_use",
            status=409,
            actionable=noted("Choose another audience for that campaign, or cancel or delete it, first."),
        )


class AlreadyContact(BlossomError):
    """Somebody has this number already; `details["contact_id"]` says who."""

    def __init__(self, contact_id: int) -> None:
        super().__init__(
            noted("You have a contact with this number already."),
            code="already_contact",
            status=409,
            details={"contact_id": contact_id},
        )
