"""The JSON API's thin layer: pydantic models are the contract, a registry of routes is what is served and documented.

    api = Api("campaigns")

    @api.post("/campaigns/<int:campaign_id>/enqueue", scope="campaigns:send", answer=Enqueued,
              summary="Send a campaign", errors={"invalid_status": 409})
    def enqueue(caller: Principal, campaign_id: int) -> Enqueued: ...

A view gets the caller, the ids of its path, and `body` and `query` as parsed models where the route names them; it
returns its answer model, or a `Reply` to add headers. Whatever is wrong leaves as a `BlossomError`.
"""

from blossom.platform.access import Principal
from blossom.platform.api.bodies import read_whole
from blossom.platform.api.paging import (
    Cursor,
    Page,
    PageQuery,
    PairCursor,
    decode_cursor,
    decode_pair,
    encode_cursor,
    encode_pair,
)
from blossom.platform.api.registry import Api, Reply, Route
from blossom.platform.api.serving import init
from blossom.platform.api.shapes import Answer, Input, Int64, Query, Text
from blossom.platform.lines import one_visible_line

__all__ = [
    "Answer",
    "Api",
    "Cursor",
    "Input",
    "Int64",
    "Page",
    "PageQuery",
    "PairCursor",
    "Principal",
    "Query",
    "Reply",
    "Route",
    "Text",
    "decode_cursor",
    "decode_pair",
    "encode_cursor",
    "encode_pair",
    "init",
    "one_visible_line",
    "read_whole",
]
