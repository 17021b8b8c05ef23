"""How a file is bounded, which steps it takes, and how all that is put in words. Pure."""

from blossom.uploads.rules.steps import (
    FILE_KEPT,
    IN_HAND,
    MOST_BYTES,
    MOST_OPEN,
    MOST_TRIES,
    OPEN,
    PART_BYTES,
    REFUSED_KEPT,
    WORKING,
    State,
    part_count,
    part_size,
    retry_after,
)

__all__ = [
    "FILE_KEPT",
    "IN_HAND",
    "MOST_BYTES",
    "MOST_OPEN",
    "MOST_TRIES",
    "OPEN",
    "PART_BYTES",
    "REFUSED_KEPT",
    "WORKING",
    "State",
    "part_count",
    "part_size",
    "retry_after",
]
