"""Which variables a text may use, by what sends it.

Names are flat, as in `{{ first_name }}`. A variable is *nullable* if some people lack it: a text must say what stands
in its place (`| default: "friend"`) or ask first (`{% if first_name %}`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from blossom.message_templates.rules import short_links
from blossom.message_templates.rules.values import FULL_NAME_LENGTH, NAME_LENGTH, Money, Value


class Trigger(StrEnum):
    CAMPAIGN = "campaign"
    ABANDONED_CHECKOUT = "abandoned_checkout"
    ORDER = "order"
    FULFILLMENT = "fulfillment"
    WELCOME = "welcome"
    BACK_IN_STOCK = "back_in_stock"


MARKETING = frozenset({Trigger.CAMPAIGN, Trigger.ABANDONED_CHECKOUT, Trigger.WELCOME, Trigger.BACK_IN_STOCK})
"""Triggers whose texts must say how to opt out. The others answer an order that the reader placed."""

SENDING_NOW = frozenset({Trigger.CAMPAIGN})
"""Triggers that something sends today. Texts for the others can be written, saved and previewed ahead of it."""


class VariableType(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    DATE = "date"
    URL = "url"


@dataclass(frozen=True, slots=True)
class Variable:
    """`source`: where its value comes from. `limit`: the most characters of it that a text shows (texts and URLs).
    `personal`: differs from recipient to recipient of one campaign, so that a cost must be estimated over it."""

    name: str
    type: VariableType
    source: str
    example_en: Value
    example_el: Value
    nullable: bool = False
    personal: bool = True
    limit: int = NAME_LENGTH

    def example(self, language: str) -> Value:
        return self.example_el if language.partition("-")[0].lower() == "el" else self.example_en


_text, _number, _money, _date, _url = VariableType
_day = datetime(2026, 11, 25, 14, 30, tzinfo=UTC)

_person = (
    Variable("first_name", _text, "the contact", "Maria", "Μαρία", nullable=True),
    Variable("last_name", _text, "the contact", "Jones", "Παπαδοπούλου", nullable=True),
    Variable(
        "full_name",
        _text,
        "the contact: first and last name, or the one there is",
        "Maria Jones",
        "Μαρία Παπαδοπούλου",
        nullable=True,
        limit=FULL_NAME_LENGTH,
    ),
)
_shop = (
    Variable("shop_name", _text, "the shop's settings", "Olive & Thyme", "Ελιά & Θυμάρι", personal=False, limit=100),
    Variable("sender", _text, "the sender of this text", "OliveThyme", "OliveThyme", personal=False, limit=16),
)
_opt_out_example = short_links.opt_out_address_of(short_links.EXAMPLE_SITE, short_links.STAND_IN)
_opt_out_link = Variable(
    short_links.OPT_OUT_LINK,
    _url,
    "this text: a page on the shop's own site with one button, which ends the texts to this number",
    _opt_out_example,
    _opt_out_example,
    limit=400,
)
_order = (
    Variable("order_number", _text, "the order", "#1042", "#1042", limit=30),
    Variable("order_total", _money, "the order", Money("49.90", "EUR"), Money("49.90", "EUR")),
    Variable("item_count", _number, "the order: pieces in all", 3, 3),
    Variable("order_date", _date, "the order, in the shop's time zone", _day, _day),
)

_by_trigger: dict[Trigger, tuple[Variable, ...]] = {
    Trigger.CAMPAIGN: (),
    Trigger.WELCOME: (Variable("joined_at", _date, "when the contact gave consent", _day, _day),),
    Trigger.ABANDONED_CHECKOUT: (
        Variable("cart_total", _money, "the checkout", Money("49.90", "EUR"), Money("49.90", "EUR")),
        Variable("item_count", _number, "the checkout: pieces in all", 3, 3),
        Variable("product_title", _text, "the checkout's first product", "Linen shirt", "Λινό πουκάμισο", limit=80),
        Variable(
            "checkout_url",
            _url,
            "the checkout's own page",
            "https://shop.example/recover/8f3k2",
            "https://shop.example/recover/8f3k2",
            limit=300,
        ),
    ),
    Trigger.ORDER: _order,
    Trigger.FULFILLMENT: (
        *_order,
        Variable("tracking_company", _text, "the fulfillment", "ACS", "ACS", nullable=True, limit=40),
        Variable("tracking_number", _text, "the fulfillment", "7012345678", "7012345678", nullable=True, limit=40),
        Variable(
            "tracking_url",
            _url,
            "the fulfillment",
            "https://track.example/7012345678",
            "https://track.example/7012345678",
            nullable=True,
            limit=300,
        ),
        Variable("delivery_date", _date, "the carrier's estimate", _day, _day, nullable=True),
    ),
    Trigger.BACK_IN_STOCK: (
        Variable("product_title", _text, "the product", "Linen shirt", "Λινό πουκάμισο", limit=80),
        Variable("variant_title", _text, "the variant", "Blue / M", "Μπλε / M", nullable=True, limit=80),
        Variable("product_price", _money, "the variant", Money("39.00", "EUR"), Money("39.00", "EUR")),
        Variable(
            "product_url",
            _url,
            "the product's page",
            "https://shop.example/products/linen-shirt",
            "https://shop.example/products/linen-shirt",
            limit=300,
        ),
    ),
}

_catalogue: dict[Trigger, Mapping[str, Variable]] = {
    trigger: {
        variable.name: variable
        for variable in (*_person, *_shop, *((_opt_out_link,) if trigger in MARKETING else ()), *own)
    }
    for trigger, own in _by_trigger.items()
}


def variables(trigger: Trigger) -> Mapping[str, Variable]:
    """The variables that a text for `trigger` may use, by name, in the order to show them."""
    return _catalogue[trigger]


def examples(trigger: Trigger, language: str = "en") -> dict[str, Value]:
    """A value for each variable, to preview a text with."""
    return {name: variable.example(language) for name, variable in variables(trigger).items()}
