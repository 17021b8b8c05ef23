"""What every HTML answer has: headers that fence it in, and errors as pages of their own."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Flask, Response, g, make_response, render_template, request

from blossom.platform import htmx
from blossom.platform.errors import BlossomError

PROGRAMS = ("/api/", "/webhooks/", "/healthz", "/readyz")
"""Where programs call: they get errors as JSON."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",  # the admin's frame comes with Shopify's sessions, by validated shop
    )
)

EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # addresses may hold a pass
}
"""Headers of all that is answered, HTML or not."""


def init(app: Flask) -> None:
    """Put the headers on every answer of `app`, and give its templates what they share."""
    app.add_template_filter(local_time, "local")

    @app.after_request
    def _fence_in(response: Response) -> Response:
        for name, value in EVERY_ANSWER.items():
            response.headers.setdefault(name, value)
        if response.mimetype == "text/html":
            response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response


def local_time(at: datetime, zone: str) -> str:
    """A moment as people of that zone read it: `20 Nov 2026, 21:14 (Europe/Athens)`."""
    there = at.astimezone(ZoneInfo(zone))
    return f"{there.day} {there:%b %Y, %H:%M} ({zone})"


def wanted() -> bool:
    """Whether the request at hand is a person's, who reads pages, rather than a program's."""
    return not (request.path + "/").startswith(tuple(prefix.rstrip("/") + "/" for prefix in PROGRAMS))


def error(fault: BlossomError) -> Response:
    """The page, or for htmx the partial, that tells of `fault`."""
    template = "errors/_error.html" if htmx.wants_partial() else "errors/page.html"
    response = make_response(render_template(template, fault=fault, request_id=g.get("request_id")), fault.status)
    response.vary.update(htmx.ASKED_BY)
    return response
