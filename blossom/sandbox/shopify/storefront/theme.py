"""The shop's theme: a layout and a home page in Liquid, and the app's embed block as the extension's files have it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import liquid

from blossom.sandbox.shopify import payloads
from blossom.sandbox.shopify.state import Shop
from blossom.sandbox.shopify.storefront.catalogue import PRODUCTS

_TEMPLATES = Path(__file__).with_name("templates")
_EXTENSION = Path(__file__).resolve().parents[4] / "extensions" / "consent-form"
_SCHEMA = re.compile(r"{%-?\s*schema\s*-?%}(.*?){%-?\s*endschema\s*-?%}", re.DOTALL)
_MOST_OUTPUT = 2_000_000


class _Theme(liquid.Environment):
    output_stream_limit = _MOST_OUTPUT


def home(shop: Shop, locale: str, proxy_path: str) -> str:
    """The shop's home page."""
    sold = [
        {"handle": each.handle, "title": each.title, "about": each.about, "price": payloads.money(each.price)}
        for each in PRODUCTS.values()
    ]
    facts = _facts(shop, locale) | {"products": sold}
    return _layout(shop, locale, _render(_template("index"), facts), proxy_path)


def page(shop: Shop, locale: str, fragment: str) -> str:
    """What the app answered as `application/liquid`, rendered and put into the layout."""
    try:
        content = _render(fragment, _facts(shop, locale))
    except liquid.exceptions.LiquidError as error:
        content = f"Liquid error: {type(error).__name__}"
    return _layout(shop, locale, content, None)


def embed_schema() -> dict[str, Any]:
    """The embed block's schema, as the extension has it."""
    found = _SCHEMA.search(_block())
    assert found, "the block has a schema"
    schema = json.loads(found.group(1))
    assert isinstance(schema, dict)
    return schema


def _layout(shop: Shop, locale: str, content: str, proxy_path: str | None) -> str:
    facts = _facts(shop, locale) | {"content_for_layout": content}
    if proxy_path is not None:
        settings = {each["id"]: each.get("default") for each in embed_schema()["settings"]} | {"proxy_path": proxy_path}
        block = _SCHEMA.sub("", _block())
        facts["embed"] = _render(block, _facts(shop, locale) | {"block": {"settings": settings}})
        facts["embed_css"] = (_EXTENSION / "assets" / str(embed_schema()["stylesheet"])).read_text(encoding="utf-8")
    return _render(_template("layout"), facts)


def _facts(shop: Shop, locale: str) -> dict[str, Any]:
    """The objects of Shopify's Liquid that the templates use, and one that must never be shown by an app's page."""
    return {
        "shop": {"name": shop.name, "email": shop.email, "currency": shop.currency},
        "request": {"locale": {"iso_code": locale}},
        "localization": {"country": {"iso_code": shop.country}},
    }


def _render(source: str, facts: dict[str, Any]) -> str:
    environment = _Theme()
    words = _words(str(facts["request"]["locale"]["iso_code"]).partition("-")[0])
    environment.add_filter("t", lambda key: words.get(str(key), str(key)))
    return environment.from_string(source).render(**facts)


@cache
def _words(language: str) -> dict[str, str]:
    """The block's words: key, with dots, → text."""
    file = _EXTENSION / "locales" / f"{language}.json"
    named = file if language.isalpha() and file.is_file() else _EXTENSION / "locales" / "en.default.json"
    return dict(_flat(json.loads(named.read_text(encoding="utf-8"))))


def _flat(tree: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    flat = []
    for key, value in tree.items():
        flat += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(f"{above}{key}", str(value))]
    return flat


@cache
def _template(name: str) -> str:
    return (_TEMPLATES / f"{name}.liquid").read_text(encoding="utf-8")


@cache
def _block() -> str:
    return (_EXTENSION / "blocks" / "consent.liquid").read_text(encoding="utf-8")
