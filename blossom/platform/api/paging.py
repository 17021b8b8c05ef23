"""Two ways through a long list: `page` and `pageSize`, or `cursor`, which stays in step while rows come in."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Annotated, Generic, TypeVar

from pydantic import BeforeValidator, Field

from blossom.platform.api.shapes import Answer, Query

MAX_PAGE_SIZE = 100

_CURSOR = struct.Struct(">BQ")
_CURSOR_VERSION = 1
_PAIR = struct.Struct(">BIQ")
_PAIR_VERSION = 2

Item = TypeVar("Item")


def encode_cursor(last_id: int) -> str:
    """An opaque mark after the row `last_id`."""
    return base64.urlsafe_b64encode(_CURSOR.pack(_CURSOR_VERSION, last_id)).decode()


def decode_cursor(cursor: str) -> int:
    """The id in a cursor. Raises ValueError on anything that `encode_cursor` did not make.

    It needs no signature: the id in it only narrows a query that is bound to the caller's shop anyway.
    """
    try:
        version, last_id = _CURSOR.unpack(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, UnicodeEncodeError):
        raise ValueError("is not a cursor of this API") from None
    if version != _CURSOR_VERSION or not 0 < last_id < 2**63 or encode_cursor(last_id) != cursor:
        raise ValueError("is not a cursor of this API")
    return int(last_id)


def encode_pair(group: int, last_id: int) -> str:
    """An opaque mark after the row `last_id` of a group, for lists that are walked group by group."""
    return base64.urlsafe_b64encode(_PAIR.pack(_PAIR_VERSION, group, last_id)).decode()


def decode_pair(cursor: str) -> tuple[int, int]:
    """Group and id. Raises ValueError as `decode_cursor`, and needs no signature either."""
    try:
        version, group, last_id = _PAIR.unpack(base64.b64decode(cursor.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, struct.error, UnicodeEncodeError):
        raise ValueError("is not a cursor of this API") from None
    fits = group < 2**31 and 0 < last_id < 2**63
    if version != _PAIR_VERSION or not fits or encode_pair(group, last_id) != cursor:
        raise ValueError("is not a cursor of this API")
    return group, last_id


def _read(value: object) -> object:
    return decode_cursor(value) if isinstance(value, str) else value


def _read_pair(value: object) -> object:
    return decode_pair(value) if isinstance(value, str) else value


Cursor = Annotated[
    int,
    BeforeValidator(_read, json_schema_input_type=str),
    Field(description="`nextCursor` of the answer before; then `page` is not looked at."),
]
"""In a query model: arrives as text, is read as the id after which to go on."""

PairCursor = Annotated[
    tuple[int, int],
    BeforeValidator(_read_pair, json_schema_input_type=str),
    Field(description="`nextCursor` of the answer before."),
]
"""The same for `encode_pair`."""


class PageQuery(Query):
    page: int = Field(default=1, ge=1, le=1_000_000)
    page_size: int = Field(default=20, ge=1, le=MAX_PAGE_SIZE)
    cursor: Cursor | None = None

    @property
    def offset(self) -> int:
        return 0 if self.cursor else (self.page - 1) * self.page_size


class Page(Answer, Generic[Item]):
    """One page of a list. `page` and `nextCursor` are null where they don't apply."""

    items: list[Item]
    page: int | None = Field(description="Null when a cursor was given.")
    page_size: int
    total: int = Field(description="Rows in the whole list.")
    next_cursor: str | None = Field(description="Send it as `cursor` for what follows; null at the end.")
