"""Creating and updating people, thousands at once, by a few statements; no row passes through the ORM."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Integer,
    LargeBinary,
    Row,
    SmallInteger,
    Table,
    Text,
    bindparam,
    case,
    column,
    exists,
    func,
    select,
    text,
    update,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeEngine

from blossom.contacts.models import Contact
from blossom.contacts.rules.people import Person
from blossom.platform import bulk, clock, crypto, gsm
from blossom.platform.crypto import ShopCipher
from blossom.platform.db import lock_for_transaction, session

Pick = Callable[[ShopCipher, Person], Any]

_COLUMNS: dict[str, tuple[str, TypeEngine[Any], Pick]] = {
    # column → (the field that it belongs to, its type, its value)
    "phone_sealed": ("phone", LargeBinary(), lambda c, p: c.seal(p.phone.e164, "phone")),
    "phone_country": ("phone", Text(), lambda c, p: p.phone.country),
    "email_sealed": ("email", LargeBinary(), lambda c, p: c.seal(p.email, "email")),
    "email_hash": ("email", LargeBinary(), lambda c, p: None if p.email is None else c.lookup(p.email.lower())),
    "first_name_sealed": ("first_name", LargeBinary(), lambda c, p: c.seal(p.first_name, "first_name")),
    "first_name_size": ("first_name", SmallInteger(), lambda c, p: gsm.signed_size(p.first_name or "")),
    "last_name_sealed": ("last_name", LargeBinary(), lambda c, p: c.seal(p.last_name, "last_name")),
    "last_name_size": ("last_name", SmallInteger(), lambda c, p: gsm.signed_size(p.last_name or "")),
    "country": ("country", Text(), lambda c, p: p.country),
    "zone": ("zone", Text(), lambda c, p: p.zone),
    "zone_is_own": ("zone", Boolean(), lambda c, p: p.zone_is_own),
    "locale": ("locale", Text(), lambda c, p: p.locale),
    "tags": ("tags", ARRAY(Text()), lambda c, p: p.tags),
    "total_spent_minor": ("total_spent", BigInteger(), lambda c, p: p.total_spent_minor),
    "orders_count": ("orders_count", Integer(), lambda c, p: p.orders_count),
    "shopify_customer_id": ("customer_id", BigInteger(), lambda c, p: p.shopify_customer_id),
}

FIELDS = frozenset(field for field, _, _ in _COLUMNS.values())
"""All fields of a person that can be given."""


class Outcome(StrEnum):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Saved:
    """One person's contact."""

    contact_id: int
    phone_hash: bytes
    outcome: Outcome


def save_people(shop_id: int, people: Sequence[Person], given: Collection[str] = FIELDS) -> list[Saved]:
    """Create or update a contact for each person, within the caller's transaction; results in the same order.

    No phone and no customer id may stand twice in `people`; each must have its `zone`. Only the fields in `given`
    (of `FIELDS`) are overwritten on a contact that exists; the others are used for new ones alone. A customer whose
    number changed keeps the contact, unless the new number is another contact's: then that one becomes the customer's.
    A person who is known exactly so already costs one read.
    """
    if not people:
        return []
    lock_for_transaction("contacts.save", shop_id)
    cipher = crypto.for_shop(shop_id)
    given = frozenset(given) | {"phone"}
    hashes = [cipher.lookup(person.phone.e164) for person in people]
    _move_numbers(shop_id, cipher, people, hashes)
    fields = ",".join(sorted(given))
    prints = [fingerprint(cipher, person, fields) for person in people]
    known = {row.phone_hash: row for row in known_by_phone(shop_id, hashes)}
    to_write = [
        i
        for i, phone_hash in enumerate(hashes)
        if (row := known.get(phone_hash)) is None or row.fingerprint != prints[i]
    ]
    ids = {phone_hash: row.id for phone_hash, row in known.items()}
    if to_write:
        rows = [
            {name: pick(cipher, people[i]) for name, (_, _, pick) in _COLUMNS.items()}
            | {"phone_hash": hashes[i], "fingerprint": prints[i]}
            for i in to_write
        ]
        given_rows = {"shop": shop_id, "moment": clock.now(), "rows": bulk.json_rows(rows)}
        ids |= {row.phone_hash: row.id for row in session.execute(_upsert(given), given_rows)}
    written = set(to_write)
    return [
        Saved(ids[phone_hash], phone_hash, _outcome(phone_hash in known, i in written))
        for i, phone_hash in enumerate(hashes)
    ]


def known_by_phone(shop_id: int, phone_hashes: Sequence[bytes]) -> Sequence[Row[Any]]:
    """Contacts with these numbers: `id`, `phone_hash`, `fingerprint`."""
    return session.execute(_BY_PHONE, {"shop": shop_id, "hashes": bulk.bytea_array(phone_hashes)}).all()


def known_under_another_number(
    shop_id: int, people: Sequence[Person], phone_hashes: Sequence[bytes]
) -> list[tuple[bytes | None, int]]:
    """Of customers who are contacts with another number: its hash (None: with none), and which of `people` it is."""
    return [(before, place) for _, before, place in _movers(shop_id, people, phone_hashes)]


def _outcome(was_known: bool, was_written: bool) -> Outcome:
    if not was_known:
        return Outcome.CREATED
    return Outcome.UPDATED if was_written else Outcome.UNCHANGED


def fingerprint(cipher: ShopCipher, person: Person, fields: str) -> bytes:
    """Of all that is given and of what is given at all: another file with other columns is another print. Of names that
    are GSM in capitals the size, too: rows written before sizes told so are written again."""
    names = (person.first_name, person.last_name)
    told = [size for name in names if name and gsm.is_gsm_in_capitals(size := gsm.signed_size(name))]
    facts = (
        person.phone.e164,
        person.first_name,
        person.last_name,
        person.email,
        person.country,
        person.zone,
        person.zone_is_own,
        person.locale,
        person.tags,
        person.total_spent_minor,
        person.orders_count,
        person.shopify_customer_id,
        fields,
        *told,
    )
    return cipher.lookup(repr(facts))


# One probe of a unique index for each value. Plain `= ANY` on a table that was just filled, before its statistics are,
# was planned as a scan that compares each row with each value: 20,000 rows took 30 s instead of 3.
_BY_PHONE = text(
    """
    SELECT known.* FROM unnest(CAST(:hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT id, phone_hash, fingerprint FROM contacts
        WHERE shop_id = :shop AND phone_hash = given.phone_hash OFFSET 0
    ) AS known
    """
)
_BY_CUSTOMER = text(
    """
    SELECT known.* FROM unnest(CAST(:ids AS bigint[])) AS given(id) CROSS JOIN LATERAL (
        SELECT id, shopify_customer_id, phone_hash FROM contacts
        WHERE shop_id = :shop AND shopify_customer_id = given.id OFFSET 0
    ) AS known
    """
)

_contacts = cast(Table, Contact.__table__)  # plain statements: the ORM would take arrays of values for its own
_at = _contacts.c


def _given(types: dict[str, TypeEngine[Any]]) -> dict[str, ColumnElement[Any]]:
    """The columns of `:rows` (`bulk.json_rows`), each as an expression of its type."""
    columns: list[ColumnElement[Any]] = [
        column(name, Text() if isinstance(kind, LargeBinary) else kind) for name, kind in types.items()
    ]
    rows = sql_cast(bindparam("rows", type_=Text()), JSON)
    table = func.json_to_recordset(rows).table_valued(*columns).render_derived(name="given", with_types=True)
    return {
        name: func.decode(table.c[name], "hex", type_=kind) if isinstance(kind, LargeBinary) else table.c[name]
        for name, kind in types.items()
    }


@lru_cache(maxsize=64)
def _upsert(given: frozenset[str]) -> Any:
    picked = _given(
        {"phone_hash": LargeBinary(), "fingerprint": LargeBinary()} | {n: t for n, (_, t, _) in _COLUMNS.items()}
    )
    moment = bindparam("moment", type_=DateTime(timezone=True))
    picked |= {"shop_id": bindparam("shop", type_=BigInteger), "created_at": moment, "updated_at": moment}
    statement = insert(_contacts).from_select(list(picked), select(*picked.values()))
    new = statement.excluded
    changed: dict[str, Any] = {name: new[name] for name, (field, _, _) in _COLUMNS.items() if field in given}
    if "zone" in given:  # what is derived never replaces what the person said
        keep = _at.zone_is_own & ~new.zone_is_own
        changed["zone"] = case((keep, _at.zone), else_=new.zone)
        changed["zone_is_own"] = _at.zone_is_own | new.zone_is_own
    if "customer_id" in given:  # a line without an id takes none away
        changed["shopify_customer_id"] = func.coalesce(new.shopify_customer_id, _at.shopify_customer_id)
    changed |= {"fingerprint": new.fingerprint, "updated_at": new.updated_at}
    return statement.on_conflict_do_update(index_elements=[_at.shop_id, _at.phone_hash], set_=changed).returning(
        _at.id, _at.phone_hash
    )


def _movers(shop_id: int, people: Sequence[Person], hashes: Sequence[bytes]) -> list[tuple[int, bytes | None, int]]:
    """Customers who are known under another number: their contact, that number's hash, their place in `people`."""
    customers = {p.shopify_customer_id: i for i, p in enumerate(people) if p.shopify_customer_id is not None}
    if not customers:
        return []
    theirs = session.execute(_BY_CUSTOMER, {"shop": shop_id, "ids": bulk.bigint_array(customers)})
    return [
        (row.id, row.phone_hash, customers[row.shopify_customer_id])
        for row in theirs
        if row.phone_hash != hashes[customers[row.shopify_customer_id]]
    ]


def _move_numbers(shop_id: int, cipher: ShopCipher, people: Sequence[Person], hashes: Sequence[bytes]) -> None:
    """Give customers who are known under another number their new one, or free the customer id for its new owner."""
    moved = [(contact_id, place) for contact_id, _, place in _movers(shop_id, people, hashes)]
    if not moved:
        return
    rows = _given({"contact_id": BigInteger(), "phone_hash": LargeBinary(), "phone_sealed": LargeBinary()})
    other = _contacts.alias()
    taken = exists().where(other.c.shop_id == shop_id, other.c.phone_hash == rows["phone_hash"])
    is_it = (_at.shop_id == shop_id, _at.id == rows["contact_id"])
    values = bulk.json_rows(
        [
            {
                "contact_id": contact_id,
                "phone_hash": hashes[i],
                "phone_sealed": cipher.seal(people[i].phone.e164, "phone"),
            }
            for contact_id, i in moved
        ]
    )
    free_the_id = update(_contacts).where(*is_it, taken).values(shopify_customer_id=None, fingerprint=None)
    take_the_number = (
        update(_contacts)
        .where(*is_it, ~taken, _at.phone_hash.is_distinct_from(rows["phone_hash"]))
        .values(phone_hash=rows["phone_hash"], phone_sealed=rows["phone_sealed"], fingerprint=None)
    )
    for statement in (free_the_id, take_the_number):
        session.execute(statement, {"rows": values})
