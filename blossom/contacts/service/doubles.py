"""Each phone once in a file, and each customer id: what a running import has met stands in a table, line by line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import delete, func, select, text

from blossom.contacts.models import ImportKey
from blossom.contacts.rules.imports import Refused
from blossom.contacts.rules.people import Listed, Reading
from blossom.platform import bulk, crypto
from blossom.platform.crypto import HASH_BYTES
from blossom.platform.db import session


def without_doubles(
    shop_id: int, import_id: int, listed: Sequence[Listed], reading: Reading
) -> tuple[list[Listed], list[Refused]]:
    """Those who stand in the file for the first time, and why others are refused. A customer id counts once, too."""
    cipher = crypto.for_shop(shop_id)
    columns = reading.columns
    header = reading.headers[columns.get("phone", columns.get("address_phone", 0))]
    phones = [cipher.lookup(one.person.phone.e164) for one in listed]
    lines = [(phone, one.line) for phone, one in zip(phones, listed, strict=True)]
    first_by_phone = _claim(shop_id, import_id, lines)
    kept, doubled = [], []
    for phone, one in zip(phones, listed, strict=True):
        first = first_by_phone[phone]
        if first == one.line:
            kept.append(one)
        else:
            why = f"The number stands on line {first} already; that line was imported, this one was not."
            doubled.append(Refused(one.line, header, "phone_doubled", why))
    return _without_doubled_ids(shop_id, import_id, kept), doubled


@dataclass
class Foreseen:
    """What a dry run remembers of the lines before, by hashes of phones: `given_up`, numbers that their contacts would
    have changed for others by then; `unsubscribed`, those of which the file has said so. `new`: yet to be kept."""

    given_up: set[bytes] = field(default_factory=set)
    unsubscribed: set[bytes] = field(default_factory=set)
    new: set[bytes] = field(default_factory=set)

    def give_up(self, phone_hashes: Collection[bytes]) -> None:
        self.new |= {each + _GIVEN_UP for each in phone_hashes}
        self.given_up.update(phone_hashes)

    def unsubscribe(self, phone_hashes: Collection[bytes]) -> None:
        self.new |= {each + _UNSUBSCRIBED for each in phone_hashes}
        self.unsubscribed.update(phone_hashes)


_GIVEN_UP, _UNSUBSCRIBED = b"g", b"u"


def foreseen(shop_id: int, import_id: int) -> Foreseen:
    """What a dry run that goes on has to know."""
    rows = session.scalars(
        select(ImportKey.key).where(
            ImportKey.shop_id == shop_id, ImportKey.import_id == import_id, func.length(ImportKey.key) > HASH_BYTES
        )
    )
    known = Foreseen()
    for key in map(bytes, rows):
        (known.given_up if key.endswith(_GIVEN_UP) else known.unsubscribed).add(key[:HASH_BYTES])
    return known


def remember(shop_id: int, import_id: int, known: Foreseen) -> None:
    """Keep what is new, beside the phones and ids that were met."""
    _claim(shop_id, import_id, [(key, 0) for key in sorted(known.new)])
    known.new.clear()


def forget(shop_id: int, import_id: int) -> None:
    """The import has ended: nothing more is compared with it."""
    session.execute(delete(ImportKey).where(ImportKey.shop_id == shop_id, ImportKey.import_id == import_id))


def _without_doubled_ids(shop_id: int, import_id: int, kept: list[Listed]) -> list[Listed]:
    """A customer listed with a second number is a person of their own, without the id that the first line has."""
    ids = [(_id_key(one), one.line) for one in kept if one.person.shopify_customer_id is not None]
    first_by_id = _claim(shop_id, import_id, ids)
    return [
        one
        if one.person.shopify_customer_id is None or first_by_id[_id_key(one)] == one.line
        else replace(one, person=replace(one.person, shopify_customer_id=None), ignored=(*one.ignored, "customer_id"))
        for one in kept
    ]


def _id_key(one: Listed) -> bytes:
    return int(one.person.shopify_customer_id or 0).to_bytes(8, "big")


def _claim(shop_id: int, import_id: int, keys: Sequence[tuple[bytes, int]]) -> dict[bytes, int]:
    """Write down on which line each key stands first in this import, and tell it for each of `keys`."""
    first: dict[bytes, int] = {}
    for key, line in keys:
        first.setdefault(key, line)
    if not first:
        return first
    new = session.scalars(
        _WRITE_KEYS,
        {
            "shop": shop_id,
            "import": import_id,
            "rows": bulk.json_rows([{"key": key, "line": line} for key, line in first.items()]),
        },
    )
    older = first.keys() - {bytes(key) for key in new}
    if older:
        rows = session.execute(
            select(ImportKey.key, ImportKey.line).where(
                ImportKey.shop_id == shop_id, ImportKey.import_id == import_id, ImportKey.key.in_(older)
            )
        )
        first |= {bytes(row.key): row.line for row in rows}
    return first


_WRITE_KEYS = text(
    """
    INSERT INTO contact_import_keys (shop_id, import_id, key, line)
    SELECT :shop, :import, decode(key, 'hex'), line
    FROM json_to_recordset(CAST(:rows AS json)) AS given(key text, line integer)
    ON CONFLICT DO NOTHING RETURNING key
    """
)
