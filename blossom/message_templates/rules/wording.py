"""What pages say of texts: variables, triggers, and cheaper ways to write. Pure, but for the reader's language."""

from __future__ import annotations

from typing import NamedTuple

from blossom.message_templates.rules.catalogue import Trigger, variables
from blossom.platform.languages import noted, t

CURE_WORDS = {
    "typographic": noted("Write quotes, dashes and spaces plainly"),
    "emoji": noted("Leave emoji out"),
    "plain_letters": noted("Write letters without their accents"),
    "greek_values": noted("Write Greek names in capitals"),
    "greek_capitals": noted("Write Greek in capitals"),
    "everything": noted("Make every cheaper change"),
}

TRIGGER_WORDS = {
    Trigger.CAMPAIGN: noted("Campaigns"),
    Trigger.ABANDONED_CHECKOUT: noted("Abandoned checkout"),
    Trigger.ORDER: noted("Order"),
    Trigger.FULFILLMENT: noted("Fulfillment"),
    Trigger.WELCOME: noted("Welcome"),
    Trigger.BACK_IN_STOCK: noted("Back in stock"),
}

VARIABLE_WORDS = {
    "first_name": noted("First name"),
    "last_name": noted("Last name"),
    "full_name": noted("Full name"),
    "shop_name": noted("Your shop's name"),
    "sender": noted("Sender"),
    "opt_out_link": noted("Opt-out link"),
    "order_number": noted("Order number"),
    "order_total": noted("Order total"),
    "item_count": noted("Number of items"),
    "order_date": noted("Order date"),
    "joined_at": noted("Date of consent"),
    "cart_total": noted("Cart total"),
    "product_title": noted("Product"),
    "checkout_url": noted("Link to the checkout"),
    "tracking_company": noted("Carrier"),
    "tracking_number": noted("Tracking number"),
    "tracking_url": noted("Tracking link"),
    "delivery_date": noted("Delivery date"),
    "variant_title": noted("Variant"),
    "product_price": noted("Price"),
    "product_url": noted("Link to the product"),
}


class Snippet(NamedTuple):
    """A variable, what to call it, and how it is written into a text."""

    name: str
    words: str
    code: str


def snippets(trigger: Trigger) -> list[Snippet]:
    """The variables of a trigger, each with a word for people without a value where some are."""
    return [
        Snippet(
            variable.name,
            t(VARIABLE_WORDS[variable.name]),
            "{{ %s }}" % (f'{variable.name} | default: "{t("there")}"' if variable.nullable else variable.name),
        )
        for variable in variables(trigger).values()
    ]
