"""The shopper's pages, behind Shopify's app proxy: `<prefix>/consent` on the shop's own site is `/proxy/consent` here.

Each request is proven (signature and timestamp of the query), each link begins with the shop's `path_prefix`, and no
answer tells whether a number is known. A GET changes nothing of anybody's consent, so robots that open links from texts
don't either: behind each such code stands a page with one button. (What a short link counts is a click.) There are no
cookies; the consent form carries a signed token of ours, while a code is itself the secret that lets somebody press its
button.

In the theme (`application/liquid`) the page is a fragment that Shopify's Liquid reads, and nothing in it means anything
to Liquid; otherwise it is a page of its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import RequestEntityTooLarge

from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.links.rules import robots
from blossom.platform import clock, config, languages
from blossom.platform.errors import BlossomError, NotFound
from blossom.shopify import domains, signature
from blossom.shops import queries as shops
from blossom.shops import service as shop_service
from blossom.storefront import errors, forms, rules
from blossom.storefront import service as storefront
from blossom.storefront.forms import ConsentForm
from blossom.storefront.service import Visitor

views = Blueprint("storefront", __name__, url_prefix="/proxy")

MAX_BODY_BYTES = 16_384


@views.before_request
def _bound() -> None:
    request.max_content_length = MAX_BODY_BYTES


@views.get("/consent")
def show_form() -> Response:
    """The form, empty. The theme's block names the shopper's `locale` and `country` in the query."""
    visitor = _visitor()
    asked = request.args.get("country", "").upper() or languages.region_of(request.args.get("locale"))
    return _form(visitor, forms.read({"country": asked or ""}, visitor.shop.default_country))


@views.post("/consent")
def send_form() -> Response:
    """The form, filled in. Whatever the number, a form that is whole gets the same answer."""
    visitor = _visitor()
    form = forms.read(request.form, visitor.shop.default_country)
    t = languages.translator(visitor.locale)
    if not storefront.may_send_form(visitor):
        return _form(visitor, form, {"form": t("Too many tries. Please wait a minute, then send it again.")}, 429)
    phone, faults = forms.faults(form, visitor.locale)
    if not form.token:  # the theme's block, in which a number can be typed, but nothing was read and agreed to yet
        faults = {field: fault for field, fault in faults.items() if field == "phone"}
        return _form(visitor, replace(form, agreed=False), faults, 422 if faults else 200)
    facts = storefront.form_of(visitor, form.token)
    if facts is None:
        faults["form"] = t("This page was open for a long time. Nothing is lost: please send it once more.")
    elif facts.wording != rules.wording_hash(storefront.wording(visitor)):
        faults["agreed"] = t("These words have changed in the meantime. Please read them again.")
    if phone is None or facts is None or faults:
        return _form(visitor, form, faults, 422)
    storefront.take_form(visitor, phone, facts)
    return _page(visitor, "storefront/sent.html", double_opt_in=visitor.settings.double_opt_in)


@views.route("/confirm/<code>", methods=["GET", "POST"])
def confirm(code: str) -> Response:
    """The link in the text that asks to confirm: a page with one button, and what it does."""
    visitor = _visitor()
    asked = consent.open_confirmation(visitor.shop.id, code)
    if asked is None:
        return _nowhere(visitor)
    visitor = replace(visitor, locale=languages.choose(asked.locale, None))
    if request.method != "POST":
        return _page(visitor, "storefront/confirm.html", code=code, wording=asked.wording)
    change = consent.confirm(visitor.shop.id, code, ip=visitor.ip, user_agent=visitor.user_agent)
    if change is None:
        return _nowhere(visitor)
    return _page(visitor, "storefront/confirmed.html", opt_out=storefront.opt_out_path(visitor, asked.phone_hash))


@views.route("/unsubscribe/<code>", methods=["GET", "POST"])
def unsubscribe(code: str) -> Response:
    """A person's own opt-out link: a page with one button, and what it does. It lasts as long as what it stood in."""
    visitor = _visitor()
    link = storefront.opt_out_link(visitor, code)
    if link is None:
        return _nowhere(visitor)
    if request.method != "POST":
        return _page(visitor, "storefront/unsubscribe.html", code=code)
    storefront.opt_out(visitor, link)
    return _page(visitor, "storefront/unsubscribed.html")


@views.get("/s/<code>")
def follow_link(code: str) -> Response:
    """A short link of a text: to the address that the merchant wrote, and nowhere else."""
    visitor = _visitor()
    if not storefront.may_follow(visitor):
        return _too_many(visitor)
    address = storefront.follow(visitor, code, count=robots.is_person(request.method, dict(request.headers)))
    if address is None:
        return _page(visitor, "storefront/gone.html", 404)
    response = make_response("", 302)
    response.headers["Location"] = address
    return _kept_by_nobody(response)


def _nowhere(visitor: Visitor) -> Response:
    """The answer to a code that leads nowhere."""
    return _page(visitor, "storefront/gone.html", 404) if storefront.may_guess(visitor) else _too_many(visitor)


@views.errorhandler(BlossomError)
def _refuse(fault: BlossomError) -> Response:
    """A request that is not a shopper's on a shop's site: a page of its own, without a shop."""
    return _answer("storefront/refused.html", fault.status, _locale(None), in_theme=False)


@views.errorhandler(RequestEntityTooLarge)
def _refuse_body(_: RequestEntityTooLarge) -> Response:
    return _answer("storefront/refused.html", 413, _locale(None), in_theme=False)


def _visitor() -> Visitor:
    """Who looks, once Shopify's signature proves the request.

    Raises `Unproven`; `NotFound` without Shopify's settings, and for a shop that is not here (any more).
    """
    settings = config.current()
    if not settings.shopify_api_key:
        raise NotFound("page")
    pairs = list(request.args.items(multi=True))
    if not signature.proxy_is_authentic(pairs, settings.shopify_api_secrets, now=clock.now()):
        raise errors.Unproven
    domain = domains.shop_domain(request.args["shop"])
    prefix = rules.path_prefix(request.args.get("path_prefix", ""))
    if domain is None or prefix is None:
        raise errors.Unproven
    shop = shops.by_domain(domain)
    if shop is None or shop.uninstalled_at is not None:
        raise NotFound("shop")
    shop_service.note_proxy_path(shop.id, prefix)
    return Visitor(
        shop=shop,
        settings=consents.settings(shop.id),
        prefix=prefix,
        locale=_locale(request.form.get("locale")),
        customer_id=request.args.get("logged_in_customer_id", "")[:40],
        ip=rules.client_address(request.headers.get("X-Forwarded-For")),
        user_agent=request.headers.get("User-Agent"),
    )


def _locale(of_form: str | None) -> str:
    """The page's language: what the theme or the form names, else what the browser asks for."""
    return languages.choose(request.args.get("locale") or of_form, request.headers.get("Accept-Language"))


def _form(visitor: Visitor, form: ConsentForm, faults: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """The form as it was filled in, with what is wrong, and with a fresh token."""
    return _page(
        visitor,
        "storefront/form.html",
        status,
        form=form,
        faults=faults or {},
        token=storefront.form_token(visitor),
        wording=storefront.wording(visitor),
        countries=languages.countries(visitor.locale),
        example=rules.example_of(form.country),
        privacy_url=visitor.settings.privacy_url,
    )


def _too_many(visitor: Visitor) -> Response:
    return _page(visitor, "storefront/too_many.html", 429)


def _page(visitor: Visitor, template: str, status: int = 200, **context: Any) -> Response:
    """A page of the visitor's shop, in the theme or by itself as the shop has it."""
    return _answer(
        template,
        status,
        visitor.locale,
        in_theme=visitor.settings.in_theme,
        prefix=visitor.prefix,
        shop=visitor.shop,
        **context,
    )


def _answer(template: str, status: int, locale: str, *, in_theme: bool, **context: Any) -> Response:
    layout = "storefront/fragment.html" if in_theme else "storefront/document.html"
    style = None if in_theme else Markup(_style())  # noqa: S704  our own file
    html = render_template(
        template, layout=layout, style=style, locale=locale, t=languages.translator(locale), **context
    )
    if in_theme:
        response = make_response(f"<style>{_style()}</style>\n{rules.harmless_in_liquid(html)}", status)
        response.content_type = "application/liquid; charset=utf-8"
    else:
        response = make_response(html, status)
        response.headers["Content-Security-Policy"] = _policy()
    response.headers["Content-Language"] = locale
    response.vary.add("Accept-Language")
    return _kept_by_nobody(response)


def _kept_by_nobody(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@cache
def _style() -> str:
    """Our style sheet, as it stands in the page: a shop's site has no place for a file of ours."""
    return Path(views.root_path).parents[1].joinpath("static", "css", "storefront.css").read_text(encoding="utf-8")


@cache
def _policy() -> str:
    """Nothing but this page's own style and its own form."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
