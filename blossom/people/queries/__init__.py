"""What the pages on people show."""

from blossom.people.queries.listing import (
    Listing,
    everybody,
    in_state,
    of_segment,
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
from blossom.people.queries.texts import Text, texts_to

__all__ = [
    "MEMBERS_COUNTED",
    "Census",
    "Listing",
    "Lists",
    "Person",
    "Text",
    "Usage",
    "census",
    "everybody",
    "in_state",
    "listed",
    "lists_of",
    "member_counts",
    "members",
    "of_segment",
    "person",
    "texts_to",
    "usage",
    "with_consent",
    "with_email",
    "with_phone",
]
