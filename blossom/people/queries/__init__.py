"""What the pages on people show."""

from blossom.people.queries.listing import (
    Listing,
    everybody,
    in_state,
    with_consent,
    with_email,
    with_phone,
)
from blossom.people.queries.person import Person, person

__all__ = [
    "Listing",
    "Person",
    "everybody",
    "in_state",
    "person",
    "with_consent",
    "with_email",
    "with_phone",
]
