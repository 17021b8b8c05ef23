"""A receipt in each of the shapes that Mitto's are known to have (facts A5 and B)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson


@dataclass(frozen=True, slots=True)
class Said:
    """What one receipt says."""

    message_id: str
    status: str
    error_code: str | None
    at: str  # ISO 8601, UTC


def _delivery_status(said: Said) -> dict[str, Any]:
    document = {"messageId": said.message_id, "deliveryStatus": said.status, "updatedAt": said.at}
    if said.error_code is not None:
        document["errorCode"] = said.error_code
    return document


def _first_design(said: Said) -> dict[str, Any]:
    delivered = said.status == "Delivered"
    failed = said.error_code is not None or said.status == "EXPIRED"
    return {
        "message_id": said.message_id,
        "status": "failed" if said.status == "Failure" else said.status.lower(),
        "error_code": said.error_code,
        "error_message": "The text was not delivered" if failed else None,
        "delivered_at": said.at if delivered else None,
        "failed_at": said.at if failed else None,
    }


def _internal(said: Said) -> dict[str, Any]:
    return {"messageId": said.message_id, "status": said.status, "errorcode": said.error_code or "0"}


def _classic(said: Said) -> dict[str, Any]:
    status = "FAILED" if said.status == "Failure" else said.status.upper()
    return {"msgid": said.message_id, "status": status, "errorcode": said.error_code or "0"}


SHAPES: dict[str, Callable[[Said], dict[str, Any]]] = {
    "deliveryStatus": _delivery_status,
    "status": _first_design,
    "errorcode": _internal,
    "form": _classic,
    "query": _classic,
}
_ONE_BY_ONE = frozenset({"form", "query"})


@dataclass(frozen=True, slots=True)
class Written:
    """Receipts ready to be posted (`method` GET: as a query)."""

    method: str
    query: str
    content_type: str
    body: bytes


def write(said: list[Said], shape: str) -> Written:
    """`said` in `shape`: a bare object for one, an array for several."""
    documents = [SHAPES[shape](each) for each in said]
    if shape == "query":
        return Written("GET", urlencode(documents[0]), "", b"")
    if shape == "form":
        form = urlencode(documents[0]).encode()
        return Written("POST", "", "application/x-www-form-urlencoded", form)
    return Written("POST", "", "application/json", orjson.dumps(documents if len(documents) > 1 else documents[0]))


def largest_array(shape: str, wanted: int) -> int:
    """How many receipts one body of `shape` can hold, `wanted` at most."""
    return 1 if shape in _ONE_BY_ONE else wanted
