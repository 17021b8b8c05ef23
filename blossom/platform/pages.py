"""What every HTML answer has: who sees it, headers that fence it in, and errors as pages of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from flask import Flask, Response, g, make_response, render_template, request
from jinja2 import pass_context
from jinja2.runtime import Context

from blossom.platform import config, htmx, ids, languages, localised, passes
from blossom.platform.access import OPERATOR, Principal
from blossom.platform.errors import BlossomError, Forbidden, NotFound, Unauthorized
from blossom.platform.languages import noted

PROGRAMS = ("/api/", "/webhooks/", "/healthz", "/readyz")
"""Where programs call: they get errors as JSON."""


@dataclass(frozen=True)
class Frame:
    """The admin's frame around an answer. `ancestors`: the origins that may frame it, each of them validated.

    `bridged`: whether App Bridge is loaded; it acts on the page's address, so one that we refuse goes without it.
    `missing_scopes`: what the shop has yet to grant, in words for `t`; `grant_url` lets it.
    """

    ancestors: tuple[str, ...]
    api_key: str
    app_bridge_url: str
    bridged: bool = True
    missing_scopes: tuple[str, ...] = ()
    grant_url: str = ""


def content_security_policy(frame: Frame | None) -> str:
    """Everything from ourselves; in the admin's frame also App Bridge, and who may frame us."""
    bridge = _origin(frame.app_bridge_url) if frame and frame.bridged else ""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {bridge}".rstrip(),
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src 'self' {bridge}".rstrip(),
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors " + (" ".join(frame.ancestors) if frame else "'none'"),
        )
    )


EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # addresses may hold a pass
}
"""Headers of all that is answered, HTML or not."""

ONLY_HTTPS = "max-age=31536000"
"""A browser that was here by https goes nowhere else for a year. Subdomains are not ours to bind."""


def init(app: Flask) -> None:
    """Put the headers on every answer of `app`, and give its templates what they share."""
    app.jinja_env.globals.update(t=languages.t, tn=languages.tn, language=languages.reader)
    app.jinja_env.filters.update(
        number=_number,
        percent=_percent,
        money=_money,
        moment=_moment,
        day=_day,
        clock_time=_clock_time,
        country=_country,
    )
    app.context_processor(lambda: {"frame": g.get("frame"), "operates": _operates()})

    @app.after_request
    def _fence_in(response: Response) -> Response:
        for name, value in EVERY_ANSWER.items():
            response.headers.setdefault(name, value)
        if config.current().app_url.startswith("https://"):
            response.headers.setdefault("Strict-Transport-Security", ONLY_HTTPS)
        if response.mimetype == "text/html":
            response.headers.setdefault("Content-Language", languages.reader())
            response.headers.setdefault("Content-Security-Policy", content_security_policy(g.get("frame")))
        return response


LOCALE = "locale"
"""The query parameter by which the admin names the language that it shows to its reader."""

LOCALE_HEADER = "Blossom-Locale"
"""The header by which a page names its language in all that it fetches (`ui/layout.html`)."""


def begin() -> None:
    """Nobody is known, and nothing framed, at the beginning of a request (in tests they share a context).

    Words are in the language that the address or the fetching page names, else in what the browser accepts (App Bridge
    names the admin's there); the address keeps it over the bounce page, so no cookie is needed.
    """
    g.pop("principal", None)
    g.pop("frame", None)
    languages.write_for(languages.choose(named_locale(), request.headers.get("Accept-Language")))


def named_locale() -> str | None:
    """The language that the request at hand names for its words, as it was given."""
    return request.args.get(LOCALE) or request.headers.get(LOCALE_HEADER)


def stand_in(frame: Frame) -> None:
    """Let the answer to the request at hand stand in `frame`."""
    g.frame = frame


def _operates() -> bool:
    """Whether whoever asks runs the installation, and is shown the way to its queue."""
    known: Principal | None = g.get("principal")
    return known is not None and OPERATOR in known.scopes


def admit(principal: Principal) -> None:
    """Note who makes the request at hand; `caller` tells it."""
    g.principal = principal


def caller(page: str) -> Principal:
    """Who asks for `page` (its path, `campaigns/42`) and may act for a shop.

    Whoever came through the admin's frame; in an installation without Shopify, the holder of a pass to this very page.
    Raises `PassRefused`; `NotFound` for a good pass to another page.
    """
    known: Principal | None = g.get("principal")
    if known is not None:
        return known
    settings = config.current()
    return passes.holder(settings, request.args.get("pass", ""), page)


def caller_with(scope: str) -> Principal:
    """Who asks for the page at hand, and holds this right. Raises as `caller`; `Forbidden` without it."""
    known = caller(request.path.strip("/"))
    known.require(scope)
    return known


def row_asked(name: str) -> int | None:
    """After which row a list goes on, as `name` of the address says; None at its beginning. Raises `NotFound` for what
    is no row's id."""
    given = request.args.get(name, "")
    found = ids.read_id(given)
    if given and found is None:
        raise NotFound("page")
    return found


# The filters take the context, which they don't need: a filter that does not is run on constants while a template is
# compiled, for whoever happens to read it first.


@pass_context
def _number(_: Context, value: float) -> str:
    return localised.number(value, languages.reader())


@pass_context
def _percent(_: Context, value: float) -> str:
    return localised.percent(value, languages.reader())


@pass_context
def _money(_: Context, minor: int, currency: str | None = None) -> str:
    return localised.money(minor, languages.reader(), currency)


@pass_context
def _moment(_: Context, at: datetime, zone: str) -> str:
    return localised.moment(at, zone, languages.reader())


@pass_context
def _day(_: Context, at: datetime, zone: str) -> str:
    return localised.day(at, zone, languages.reader())


@pass_context
def _clock_time(_: Context, at: datetime, zone: str) -> str:
    return localised.clock_time(at, zone)


@pass_context
def _country(_: Context, code: str) -> str:
    return languages.country(code)


def wanted() -> bool:
    """Whether the request at hand is a person's, who reads pages, rather than a program's."""
    return not (request.path + "/").startswith(tuple(prefix.rstrip("/") + "/" for prefix in PROGRAMS))


def error(fault: BlossomError, headers: Mapping[str, str] | None = None) -> Response:
    """The page that tells of `fault`; or for htmx the words, which take no part of the page that asked away."""
    partial = htmx.wants_partial()
    fault = _in_words(fault)
    template = "errors/_trouble.html" if partial else "errors/page.html"
    response = make_response(render_template(template, fault=fault, request_id=g.get("request_id")), fault.status)
    if partial:
        response.headers["HX-Retarget"] = "#trouble"
        response.headers["HX-Reswap"] = "innerHTML"
    response.headers.update(headers or {})
    response.vary.update(htmx.ASKED_BY)
    return response


def _in_words(fault: BlossomError) -> BlossomError:
    """The same to somebody of a shop's staff, whom what programs are told says nothing."""
    message: str
    actionable: str
    if isinstance(fault, Forbidden):
        message = noted("Your Shopify account may not do this.")
        actionable = noted("Nothing was changed. Ask the store's owner for the right to, then open Blossom again.")
    elif isinstance(fault, Unauthorized):
        message = noted("We don't know who you are.")
        actionable = noted("Nothing was changed. Open Blossom from your Shopify admin.")
    elif isinstance(fault, NotFound):
        message = fault.message
        actionable = noted("It may have been deleted. Go to the page that listed it, or begin at Home.")
    elif fault.status in _FOR_PEOPLE:
        message, actionable = _FOR_PEOPLE[fault.status]
    else:
        return fault
    return BlossomError(message, code=fault.code, status=fault.status, details=fault.details, actionable=actionable)


_FOR_PEOPLE = {
    404: (
        noted("There is nothing at this address."),
        noted("The address may be mistyped, or from an older version of Blossom. Begin at Home."),
    ),
    405: (noted("This page can't be asked so."), noted("Nothing was changed. Begin at Home.")),
    413: (noted("That is too much at once."), noted("Nothing was changed. Send less, or a smaller file.")),
}
"""What Flask itself refuses: its words, and those of the API, speak of methods and headers."""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
