"""A browser that sends a file, as static/js/upload.js does."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse

from tests.admin.conftest import Visitor

HEADER = "Phone,First Name,Accepts SMS Marketing\n"
PARTIAL = {"HX-Request-Type": "partial"}


def announce(visitor: Visitor, size: int, filename: str = "customers.csv") -> TestResponse:
    return visitor.fetch("/contacts/imports", method="POST", data={"filename": filename, "size": size})


def send(visitor: Visitor, content: bytes, filename: str = "customers.csv") -> tuple[str, TestResponse]:
    """Where the file is now, and the answer once all of it is here."""
    announced = announce(visitor, len(content), filename).get_json()
    address, size = announced["address"], announced["partBytes"]
    for number in range(-(-len(content) // size)):
        part = content[number * size : (number + 1) * size]
        taken = visitor.fetch(f"{address}/parts/{number + 1}", method="PUT", data=part)
        assert taken.status_code == 204, taken.get_data(as_text=True)
    return address, visitor.fetch(f"{address}/received", method="POST", headers=PARTIAL)


def post(visitor: Visitor, address: str, **form: Any) -> TestResponse:
    return visitor.fetch(address, method="POST", data=form, headers=PARTIAL)
