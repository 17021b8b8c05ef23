"""What pages need of htmx 4: one URL for page and partial, and the events of its streams (streams.py)."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, make_response, redirect, render_template, request

ASKED_BY = ("HX-Request", "HX-Request-Type", "HX-Boosted", "HX-History-Restore-Request")
"""The headers that decide between page and partial, so caches must tell their values apart."""


def wants_partial() -> bool:
    """Whether htmx asks for a part of a page. A boosted link and a step back in history need the whole."""
    headers = request.headers
    return (
        headers.get("HX-Request") == "true"
        and headers.get("HX-Request-Type") != "full"
        and "HX-Boosted" not in headers
        and "HX-History-Restore-Request" not in headers
    )


def page_or_partial(page: str, partial: str, **context: Any) -> Response:
    """Render the template `partial` when htmx asks for it, else `page`, which includes that partial.

    The answer belongs to whoever may see it now: it is never stored by a cache.
    """
    response = make_response(render_template(partial if wants_partial() else page, **context))
    response.vary.update(ASKED_BY)
    response.headers["Cache-Control"] = "no-store"
    return response


def toast(response: Response, words: str) -> Response:
    """Let the admin say `words` for a moment, beside what `response` shows. Escaped: a header holds no Greek letter."""
    response.headers["HX-Trigger"] = json.dumps({"toast": {"words": words}}, ensure_ascii=True)
    return response


def lead_to(address: str, words: str = "") -> Response:
    """Have the page at `address` shown, and let the admin say `words`: htmx fetches it with the session; a browser
    without JavaScript is redirected, and hears nothing."""
    if request.headers.get("HX-Request") != "true":
        return make_response(redirect(address, 303))
    response = make_response("")
    there = {"path": address, "target": "body", "swap": "innerHTML"}
    response.headers["HX-Location"] = json.dumps(there, separators=(",", ":"))
    return toast(response, words) if words else response


def event(data: str, name: str | None = None) -> str:
    """One server-sent event. Without a name, htmx swaps `data` in; a named one becomes an event in the page."""
    lines = [f"event: {name}"] if name else []
    return "\n".join([*lines, *(f"data: {line}" for line in data.splitlines() or [""])]) + "\n\n"


COMMENT = ":\n\n"
"""Keeps a quiet stream open, and notices a client that has gone."""
