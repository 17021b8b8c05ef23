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
from blossom.people.queries.texts import (
    Conversation,
    Replies,
    Reply,
    Text,
    conversation,
    replies_kept,
    replies_of,
    reply,
)

__all__ = [
    "MEMBERS_COUNTED",
    "Census",
    "Conversation",
    "Listing",
    "Lists",
    "Person",
    "Replies",
    "Reply",
    "Text",
    "Usage",
    "census",
    "conversation",
    "everybody",
    "in_state",
    "listed",
    "lists_of",
    "member_counts",
    "members",
    "of_segment",
    "person",
    "replies_kept",
    "replies_of",
    "reply",
    "usage",
    "with_consent",
    "with_email",
    "with_phone",
]
