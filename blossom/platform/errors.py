"""The one family of errors that reaches a person; `app.py` renders it once, as a page, a partial or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blossom.platform.languages import noted


class BlossomError(Exception):
    """Something that the caller can be told about.

    `message`: one sentence for a person. `code`: stable, snake_case, for programs. `status`: HTTP status.
    `details`: JSON-ready facts (never personal data). `actionable`: what to do about it, for a person.
    `headers`: of the answer, where a program on the other side acts on them.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int = 400,
        details: dict[str, Any] | None = None,
        actionable: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.details = details or {}
        self.actionable = actionable
        self.headers = dict(headers or {})

    def as_json(self, request_id: str | None) -> dict[str, Any]:
        """The one shape of an error in the JSON API (spec §2)."""
        return {
            "ok": False,
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "actionable": self.actionable,
            "request_id": request_id,
        }


_THINGS = {
    "campaign": noted("campaign"),
    "connection to Shopify": noted("connection to Shopify"),
    "contact": noted("contact"),
    "file of refused lines": noted("file of refused lines"),
    "import": noted("import"),
    "list": noted("list"),
    "message": noted("message"),
    "month": noted("month"),
    "page": noted("page"),
    "price list": noted("price list"),
    "segment": noted("segment"),
    "shop": noted("shop"),
    "template": noted("template"),
    "text": noted("text"),
}
"""What pages are about, for translation; the API alone asks for other things."""


class NotFound(BlossomError):
    """No such thing in this shop. Another shop's thing gives the same answer, so that nothing leaks."""

    def __init__(self, what: str) -> None:
        super().__init__(
            noted("There is no such %(what)s in this shop.", what=_THINGS.get(what, what)),
            code="not_found",
            status=404,
            actionable=noted("Check the id; it may have been deleted, or belong to another shop."),
        )


class Unauthorized(BlossomError):
    """Nobody we know: no key or token, or a wrong one."""

    def __init__(self, message: str = noted("This call needs an API key or a session token.")) -> None:
        super().__init__(
            message,
            code="unauthorized",
            status=401,
            actionable=noted(
                "Send `Authorization: Bearer` and a key made for this shop, or App Bridge's session token."
            ),
        )


class Forbidden(BlossomError):
    """We know who asks, and they may not."""

    def __init__(self, needed: str) -> None:
        super().__init__(
            noted("This is not allowed without the right “%(needed)s”.", needed=needed),
            code="forbidden",
            status=403,
            details={"needed": needed},
            actionable=noted("Ask the shop's owner for it, or use a key that has it."),
        )


class InvalidInput(BlossomError):
    """What was sent can't be used. `details["fields"]` maps each field's path to what is wrong with it."""

    def __init__(self, fields: dict[str, str], message: str = noted("Some of what you sent can't be used.")) -> None:
        super().__init__(
            message,
            code="invalid_input",
            status=422,
            details={"fields": fields},
            actionable=noted("Correct the fields named in details and send it again."),
        )
