"""One line of a customer file as a person. Refuses what can't be texted; what is merely odd is left out and counted."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import phones, zones
from blossom.contacts.rules.imports import ListedConsent, Refused, listed_consent
from blossom.contacts.rules.phones import Phone


@dataclass(frozen=True, slots=True)
class Person:
    """What a shop knows of a person who can be texted. Empty text is None; amounts are minor units (hundredths)."""

    phone: Phone
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    country: str | None = None
    zone: str | None = None  # None: the caller's own default
    zone_is_own: bool = False
    locale: str | None = None
    tags: tuple[str, ...] = ()
    total_spent_minor: int = 0
    orders_count: int = 0
    shopify_customer_id: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A person as a file lists them. `consent` is None where the list says nothing of this very number."""

    line: int
    person: Person
    consent: ListedConsent | None
    ignored: tuple[str, ...]  # fields whose cell could not be read
    own_number: bool = True  # not their address's


@dataclass(frozen=True)
class Reading:
    """How the lines of one file are read."""

    columns: Mapping[str, int]  # our field → index
    headers: Sequence[str]
    default_country: str
    shop_zone: str


NAME_LIMIT = 255  # Shopify's own; a longer one is a line that has slipped
TAGS_LIMIT = 250

_SPACE = re.compile(r"\s+")
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8}){0,3}")
_CUSTOMER_ID = re.compile(r"(?:gid://shopify/Customer/)?(\d{1,18})")
_AMOUNT = re.compile(r"-?\d+(?:\.\d{1,4})?")


def read_person(cells: Sequence[str], line: int, reading: Reading) -> Listed | Refused:
    """The person of this line, or why it is refused. Missing cells at the end are empty (Excel leaves them out)."""
    if len(cells) > len(reading.headers) and any(cell.strip() for cell in cells[len(reading.headers) :]):
        text = f"The line has {len(cells)} cells, the header names {len(reading.headers)}: is a comma unquoted?"
        return Refused(line, None, "csv_columns", text)
    get = _Cells(cells, reading.columns)
    country = zones.country_of(get("country"))
    read = _read_phone(get, line, reading, country)
    if isinstance(read, Refused):
        return read
    phone, consent, own_number = read
    first_name, last_name = one_line(get("first_name")), one_line(get("last_name"))
    for field, name in (("first_name", first_name), ("last_name", last_name)):
        if name is not None and len(name) > NAME_LIMIT:
            text = f"The name has {len(name)} characters; at most {NAME_LIMIT} can be right."
            return Refused(line, _header(reading, field), "name_too_long", text)
    own_zone = get("zone").strip() or None
    zone, is_own = zones.zone_of(
        own=own_zone, country=country, province=get("province"), phone=phone, shop_zone=reading.shop_zone
    )
    email, locale = email_of(get("email")), locale_of(get("locale"))
    spent, orders = _minor(get("total_spent")), _count(get("orders_count"))
    customer_id = _customer_id(get("customer_id"))
    person = Person(
        phone=phone,
        first_name=first_name,
        last_name=last_name,
        email=email,
        country=country or phone.country,
        zone=zone,
        zone_is_own=is_own,
        locale=locale,
        tags=_tags(get("tags")),
        total_spent_minor=spent or 0,
        orders_count=orders or 0,
        shopify_customer_id=customer_id,
    )
    understood = {
        "email": email,
        "country": country,
        "zone": is_own or None,
        "locale": locale,
        "total_spent": spent,
        "orders_count": orders,
        "customer_id": customer_id,
        "sms_consent": consent,
    }
    ignored = tuple(field for field, value in understood.items() if value is None and get(field).strip())
    return Listed(line, person, consent, ignored, own_number)


class _Cells:
    """The cells of a line by our fields; a field without a column, or beyond the line's end, is empty."""

    __slots__ = ("_cells", "_columns")

    def __init__(self, cells: Sequence[str], columns: Mapping[str, int]) -> None:
        self._cells, self._columns = cells, columns

    def __call__(self, field: str) -> str:
        index = self._columns.get(field, -1)
        return self._cells[index] if 0 <= index < len(self._cells) else ""


def _read_phone(
    get: _Cells, line: int, reading: Reading, country: str | None
) -> tuple[Phone, ListedConsent | None, bool] | Refused:
    """The customer's own number, with what the list says of consent; else the address's, of which it says nothing; and
    whether it is their own."""
    field, raw, consent = "phone", get("phone"), listed_consent(get("sms_consent"))
    if not raw.strip(" '’"):
        field, raw, consent = "address_phone", get("address_phone"), None
    # A number without a country code is read where its owner lives, and then where the shop is.
    places = [country, reading.default_country] if country and phones.is_country(country) else [reading.default_country]
    first: PhoneRefused | None = None
    for place in dict.fromkeys(places):
        try:
            return phones.normalise_phone(raw, str(place)), consent, field == "phone"
        except PhoneRefused as refused:
            first = first or refused
    assert first is not None
    masked = f" ({phones.mask_phone(raw)})" if raw.strip() else ""
    header = _header(reading, field if raw.strip() else "phone")
    return Refused(line, header, first.code, first.message + masked)


def _header(reading: Reading, field: str) -> str | None:
    index = reading.columns.get(field)
    return None if index is None else reading.headers[index]


def one_line(cell: str) -> str | None:
    """One line, composed, without control and other invisible characters (joiners of emoji and of scripts stay)."""
    text = _SPACE.sub(" ", cell).strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = "".join(c for c in text if c.isprintable() or c in "\u200c\u200d").strip()
    return text or None


def email_of(cell: str) -> str | None:
    """The address, if it looks like one."""
    return _match(_EMAIL, cell.strip().lstrip("'"))


def locale_of(cell: str) -> str | None:
    """The locale, if it looks like one."""
    return _match(_LOCALE, cell)


def _match(pattern: re.Pattern[str], cell: str) -> str | None:
    cell = cell.strip()
    return cell if pattern.fullmatch(cell) else None


def _tags(cell: str) -> tuple[str, ...]:
    return clean_tags(cell.split(",")) if cell else ()


def clean_tags(given: Iterable[str]) -> tuple[str, ...]:
    """Each once, in their order, those of a tag's length; so many as a customer may have."""
    tags = map(one_line, given)
    return tuple(dict.fromkeys(tag for tag in tags if tag is not None and len(tag) <= NAME_LIMIT))[:TAGS_LIMIT]


def _minor(cell: str) -> int | None:
    """Hundredths of "1,234.50", "1.234,50", "12,5" or "€ 12": a mark before the last one or two digits is decimal."""
    text = re.sub(r"[^\d.,-]", "", cell)
    if not text:
        return None
    marks = max(text.rfind("."), text.rfind(","))
    decimals = text[marks + 1 :] if marks >= 0 and len(text) - marks <= 3 else ""
    whole = text[:marks] if decimals else text
    whole = whole.replace(".", "").replace(",", "")
    joined = f"{whole or '0'}.{decimals or '0'}"
    if not _AMOUNT.fullmatch(joined) or len(joined) > 18:
        return None
    sign = -1 if whole.startswith("-") else 1
    return int(whole or "0") * 100 + sign * int(decimals.ljust(2, "0")[:2] or "0")


def _count(cell: str) -> int | None:
    text = cell.strip().lstrip("'")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _customer_id(cell: str) -> int | None:
    matched = _CUSTOMER_ID.fullmatch(cell.strip().lstrip("'’"))
    return int(matched.group(1)) if matched else None
