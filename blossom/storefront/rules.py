"""What the shopper's pages say and check, as far as it needs no database. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta

from itsdangerous import BadData, URLSafeSerializer
from phonenumbers import (
    PhoneNumberFormat,
    PhoneNumberType,
    country_code_for_region,
    example_number_for_type,
    format_number,
    region_code_for_country_code,
)

from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import Phone, normalise_phone, phones
from blossom.platform import gsm
from blossom.platform.languages import Translate, noted

FORM_LIFETIME = timedelta(hours=2)
"""How long an open form may lie before it is sent. Sent later, it comes back filled in, with a fresh token."""

_PREFIX = re.compile(r"/(?:apps|a|community|tools)/[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


def path_prefix(given: str) -> str | None:
    """Where the shop's proxy stands (`/apps/blossom`), or None for what can't be such a place."""
    return given if len(given) < 100 and _PREFIX.fullmatch(given) else None


def client_address(forwarded_for: str | None) -> str | None:
    """The shopper's address: the first that the proxies name. It is a claim, good for counting and for the record."""
    first = (forwarded_for or "")[:100].partition(",")[0].strip()
    try:
        return str(ipaddress.ip_address(first))
    except ValueError:
        return None


def counted_as(address: str) -> str:
    """Whose visits these are: the address's, or its network's (/64) for IPv6, where one line has all of it."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    return str(ip.ipv4_mapped or ipaddress.IPv6Network((ip.packed, 64), strict=False))


def harmless_in_liquid(html: str) -> str:
    """HTML that says the same to a browser and nothing to Liquid: braces as character references.

    Applied to all that we answer, not to what was typed only: our pages use no Liquid, so no brace in them is meant.
    """
    return html.replace("{", "&#123;").replace("}", "&#125;")


@dataclass(frozen=True)
class FormFacts:
    """What a form's token proves when it comes back."""

    shop_id: int
    name: str  # unguessable; the same form sent twice is one
    customer_id: str  # Shopify's, of who is logged in; empty for nobody
    wording: str  # hash of what was shown
    issued_at: int  # seconds


def wording_hash(wording: str) -> str:
    return hashlib.sha256(wording.encode()).hexdigest()[:16]


def sign_form(facts: FormFacts, keys: list[bytes]) -> str:
    """The token of a form; the last key signs."""
    return str(_serializer(keys).dumps([facts.shop_id, facts.name, facts.customer_id, facts.wording, facts.issued_at]))


def read_form(token: str, keys: list[bytes], now: datetime) -> FormFacts | None:
    """What the token proves, or None: forged, of another make, or too old."""
    if len(token) > 500:
        return None
    try:
        facts = FormFacts(*_serializer(keys).loads(token))
    except (BadData, TypeError):
        return None
    age = now.timestamp() - facts.issued_at
    return facts if -60 <= age <= FORM_LIFETIME.total_seconds() else None


def _serializer(keys: list[bytes]) -> URLSafeSerializer:
    return URLSafeSerializer(
        keys, salt="shopper-form", signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
    )


_FAULTS = {
    phones.MISSING: noted("Please enter your mobile number."),
    phones.SEVERAL: noted("That looks like more than one number. Please enter one."),
    phones.TOO_SHORT: noted("That number is too short for %(country)s. A mobile number there looks like %(example)s."),
    phones.TOO_LONG: noted("That number is too long for %(country)s. A mobile number there looks like %(example)s."),
    phones.NOT_VALID: noted(
        "No number of %(country)s begins like that. A mobile number there looks like %(example)s. Is the country right?"
    ),
    phones.NOT_MOBILE: noted("That number can't receive texts. Please enter a mobile number, such as %(example)s."),
}
NO_COUNTRY_CODE = noted(
    "No country's numbers begin like that. A mobile number with its country's code looks like %(example)s."
)
_NOT_A_NUMBER = noted(
    "That doesn't look like a phone number. Please use digits only, such as %(example)s; +, spaces, dashes and "
    "brackets are fine."
)


def read_phone(typed: str, country: str) -> Phone | str:
    """The number, or the code of what is wrong with it (`contacts.rules.phones`)."""
    try:
        return normalise_phone(typed, country)
    except PhoneRefused as refused:
        return refused.code


def country_of(typed: str, chosen: str) -> str | None:
    """Whose number was typed: the country's whose code it begins with, else the `chosen` one's. None: nobody's code."""
    kept = "".join(c for c in unicodedata.normalize("NFKC", typed) if c.isdecimal() or c == "+")
    digits = kept.replace("+", "")  # a slip of the finger puts one anywhere, or two
    abroad = digits.removeprefix("00")
    if not (kept.startswith("+") or abroad != digits) or not abroad:
        return chosen
    found = [region_code_for_country_code(int(abroad[:length])) for length in (1, 2, 3)]
    country = next((code for code in found if phones.is_country(code)), None)
    calling = country_code_for_region(chosen)
    return chosen if country and abroad.startswith(str(calling)) else country


def phone_fault(code: str, country_name: str, country: str, t: Translate) -> str:
    """What is wrong with a number of this country, kindly, exactly, and with one that would be right."""
    return t(_FAULTS.get(code, _NOT_A_NUMBER), country=country_name, example=example_of(country))


def example_of(country: str, *, abroad: bool = False) -> str:
    """A mobile number of the country as people there write it, or as they do `abroad`."""
    number = example_number_for_type(country, PhoneNumberType.MOBILE)
    form = PhoneNumberFormat.INTERNATIONAL if abroad else PhoneNumberFormat.NATIONAL
    return str(format_number(number, form)) if number else "+30 691 234 5678"


def confirmation_text(shop_name: str, link: str, t: Translate) -> str:
    """The text that asks to confirm; Greek in capitals of the GSM alphabet, which makes it half as dear."""
    words = t(
        noted("%(shop)s: do you want our texts? Confirm here: %(link)s Not you? Ignore this."),
        shop=shop_name,
        link=link,
    )
    return gsm.greek_capitals(words)
