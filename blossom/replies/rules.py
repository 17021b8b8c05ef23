"""Which of the texts that people sent are meant. Pure."""

from __future__ import annotations

from enum import StrEnum


class Kept(StrEnum):
    """`REPLIES`: all beside keywords, which Blossom itself acts on. `UNREAD`: of those what nobody has read."""

    REPLIES = "replies"
    UNREAD = "unread"
    ALL = "all"
