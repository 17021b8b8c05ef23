"""Buying on a shop's own site, without JavaScript: a product, one page to check out on, and thanks.

    POST /cart                            begins a checkout of one product
    GET, POST /checkouts/<token>          who buys, the tick for marketing texts, a discount code, what it comes to
    GET /checkouts/<token>/recover        the way back into an abandoned one, as webhooks name it
    GET /discount/<code>?redirect=/…      keeps a code for the checkout, and goes on to a page of the shop

Two cookies, as on Shopify's sites: the page on which the visit began, with its UTM parameters (`note_landing`), and a
kept discount code. Money isn't asked for: each order is paid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import phonenumbers
from flask import Blueprint, Response, make_response, redirect, render_template, request

from blossom.sandbox.shopify import orders
from blossom.sandbox.shopify.orders import Document
from blossom.sandbox.shopify.state import Shop, State
from blossom.sandbox.shopify.storefront.catalogue import PRODUCTS

LANDING, DISCOUNT = "_landing_page", "discount_code"
_LONGEST = 1_000
_QUANTITIES = tuple("123456789")
_TYPED = ("email", "phone", "first_name", "last_name", "code")
_PAGE = re.compile(r"/(?![/\\])[^\x00-\x1f\x7f]*")  # of the shop, never another site; browsers drop tabs and newlines
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def blueprint(state: State) -> Blueprint:
    """The pages of `state`'s shops."""
    routes = Blueprint("checkout", __name__, template_folder="templates")

    @routes.post("/cart")
    def begin() -> Any:
        with state.lock:
            shop, product = state.shop_at(request.host), PRODUCTS.get(request.form.get("product", ""))
            quantity = request.form.get("quantity", "1")
            if shop is None or product is None or quantity not in _QUANTITIES:
                return _nothing_here(400)
            given: Document = {
                "items": [
                    {
                        "title": product.title,
                        "price": product.price,
                        "quantity": int(quantity),
                        "product_id": product.id,
                        "variant_id": product.variant_id,
                    }
                ],
                "landing_site": request.cookies.get(LANDING, "/")[:_LONGEST],
                "codes": _codes(shop, request.cookies.get(DISCOUNT, "")),
            }
            document = orders.begin_checkout(state, shop, given)
        return redirect(f"/checkouts/{document['token']}", 303)

    @routes.get("/checkouts/<token>")
    def show(token: str) -> Any:
        with state.lock:
            shop, document = _named(state, token)
            if shop is None or document is None:
                return _nothing_here(404)
            if document["completed_at"]:
                return _thanks(shop, document)
            return _form(shop, document, _typed_before(document), {})

    @routes.post("/checkouts/<token>")
    def go_on(token: str) -> Any:
        """`do` is `apply` (the discount code alone is judged) or `pay`."""
        with state.lock:
            shop, document = _named(state, token)
            if shop is None or document is None:
                return _nothing_here(404)
            if document["completed_at"]:  # the button was pressed twice
                return redirect(f"/checkouts/{token}", 303)
            typed = {name: request.form.get(name, "").strip()[:200] for name in _TYPED}
            typed["sms"] = "yes" if shop.consent_at_checkout and request.form.get("sms") else ""
            faults = _faults(shop, typed)
            if request.form.get("do") != "pay":
                faults = {name: fault for name, fault in faults.items() if name == "code"}
            if not faults or faults.keys() == {"code"}:
                document = _change(state, shop, document, typed)
            if faults or request.form.get("do") != "pay":
                return _form(shop, document, typed, faults), 422 if faults else 200
            orders.place(state, shop, token)
        return redirect(f"/checkouts/{token}", 303)

    @routes.get("/checkouts/<token>/recover")
    def recover(token: str) -> Any:
        return redirect(f"/checkouts/{token}")

    @routes.get("/discount/<code>")
    def keep_code(code: str) -> Any:
        where = request.args.get("redirect", "/")
        if not _PAGE.fullmatch(where):
            where = "/"
        answer = redirect(where)
        answer.set_cookie(DISCOUNT, code[:_LONGEST], httponly=True, samesite="Lax")
        return note_landing(make_response(answer))

    return routes


def note_landing(answer: Response) -> Response:
    """Remember where this visit began. Coming again by a link with UTM parameters is another visit."""
    query = request.query_string.decode("latin-1")
    comes_anew = any(name.startswith("utm_") for name, _ in parse_qsl(query))
    if LANDING not in request.cookies or comes_anew:
        address = f"{request.path}?{query}" if query else request.path
        answer.set_cookie(LANDING, address[:_LONGEST], httponly=True, samesite="Lax")
    return answer


def _named(state: State, token: str) -> tuple[Shop | None, Document | None]:
    shop = state.shop_at(request.host)
    return shop, shop.checkouts.get(token) if shop else None


def _codes(shop: Shop, code: str) -> list[Document]:
    amount = shop.discounts.get(code.upper())
    return [] if amount is None else [{"code": code.upper(), "amount": amount}]


def _phone(shop: Shop, typed: str) -> str | None:
    """In E.164, read as a number of the shop's country; None for what is no number."""
    try:
        number = phonenumbers.parse(typed, shop.country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _faults(shop: Shop, typed: Mapping[str, str]) -> dict[str, str]:
    """What is wrong: field → in words."""
    faults = {}
    if not typed["email"] and not typed["phone"]:
        faults["email"] = "Enter an e-mail address or a phone number"
    if typed["email"] and not _EMAIL.fullmatch(typed["email"]):
        faults["email"] = "Enter a valid e-mail address"
    if typed["phone"] and _phone(shop, typed["phone"]) is None:
        faults["phone"] = "Enter a valid phone number"
    if typed["sms"] and not typed["phone"]:
        faults["phone"] = "Enter the phone number for the texts"
    if not typed["last_name"]:
        faults["last_name"] = "Enter a last name"
    if typed["code"] and not _codes(shop, typed["code"]):
        faults["code"] = "Enter a valid discount code"
    return faults


def _change(state: State, shop: Shop, document: Document, typed: Mapping[str, str]) -> Document:
    """The checkout with what was typed so far; the app is told."""
    items = [
        {
            "title": item["title"],
            "price": orders.hundredths(item["price"]),
            "quantity": item["quantity"],
            "product_id": item["product_id"],
            "variant_id": item["variant_id"],
        }
        for item in document["line_items"]
    ]
    given: Document = {
        "items": items,
        "landing_site": document["landing_site"],
        "codes": _codes(shop, typed["code"]),
        "email": typed["email"] if _EMAIL.fullmatch(typed["email"]) else None,
        "phone": _phone(shop, typed["phone"]),
        "first_name": typed["first_name"] or None,
        "last_name": typed["last_name"] or None,
        "sms": bool(typed["sms"]),
    }
    return orders.begin_checkout(state, shop, given, document["token"])


def _typed_before(document: Document) -> dict[str, str]:
    address = document["shipping_address"]
    return {
        "email": document["email"] or "",
        "phone": document["phone"] or "",
        "first_name": address["first_name"] or "",
        "last_name": address["last_name"] or "",
        "code": document["discount_codes"][0]["code"] if document["discount_codes"] else "",
        "sms": "yes" if document["buyer_accepts_sms_marketing"] else "",
    }


def _form(shop: Shop, document: Document, typed: Mapping[str, str], faults: Mapping[str, str]) -> str:
    return render_template("checkout.html", shop=shop, checkout=document, typed=typed, faults=faults)


def _thanks(shop: Shop, document: Document) -> str:
    order = next(each for each in shop.orders.values() if each["checkout_token"] == document["token"])
    return render_template("thanks.html", shop=shop, order=order)


def _nothing_here(status: int) -> Response:
    return Response("There is nothing at this address.", status, content_type="text/plain; charset=utf-8")
