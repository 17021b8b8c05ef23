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
from blossom.people.queries.segments import (
    MEMBERS_COUNTED,
    Census,
    Lists,
    Usage,
    census,
    listed,
    lists_of,
    member_counts,
    members,
    usage,
)

__all__ = [
    "MEMBERS_COUNTED",
    "Census",
    "Listing",
    "Lists",
    "Person",
    "Usage",
    "census",
    "everybody",
    "in_state",
    "listed",
    "lists_of",
    "member_counts",
    "members",
    "person",
    "usage",
    "with_consent",
    "with_email",
    "with_phone",
]
