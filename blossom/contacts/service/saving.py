"""Creating and updating people, thousands at once, by statements over arrays; no row passes through the ORM."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    DateTime,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    bindparam,
    case,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine

from blossom.contacts.models import Contact
from blossom.contacts.rules.people import Person
from blossom.platform import clock, crypto, gsm
from blossom.platform.crypto import ShopCipher
from blossom.platform.db import lock_for_transaction, session

Pick = Callable[[ShopCipher, Person], Any]

_TAG_MARK = "\x1f"  # no tag has it: names are printable. An array of arrays would be flattened by unnest.

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
    "tags": ("tags", Text(), lambda c, p: _TAG_MARK.join(p.tags)),
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
    prints = [_fingerprint(cipher, person, fields) for person in people]
    known = {
        row.phone_hash: row
        for row in session.execute(
            select(_at.phone_hash, _at.id, _at.fingerprint).where(
                _at.shop_id == shop_id, _at.phone_hash == func.any(literal(hashes, ARRAY(LargeBinary)))
            )
        )
    }
    to_write = [
        i
        for i, phone_hash in enumerate(hashes)
        if (row := known.get(phone_hash)) is None or bytes(row.fingerprint or b"") != prints[i]
    ]
    ids = {phone_hash: row.id for phone_hash, row in known.items()}
    if to_write:
        values: dict[str, Any] = {
            f"given_{name}": [pick(cipher, people[i]) for i in to_write] for name, (_, _, pick) in _COLUMNS.items()
        }
        values |= {
            "shop": shop_id,
            "moment": clock.now(),
            "given_phone_hash": [hashes[i] for i in to_write],
            "given_fingerprint": [prints[i] for i in to_write],
        }
        ids |= {row.phone_hash: row.id for row in session.execute(_upsert(given), values)}
    written = set(to_write)
    return [
        Saved(ids[phone_hash], phone_hash, _outcome(phone_hash in known, i in written))
        for i, phone_hash in enumerate(hashes)
    ]


def _outcome(was_known: bool, was_written: bool) -> Outcome:
    if not was_known:
        return Outcome.CREATED
    return Outcome.UPDATED if was_written else Outcome.UNCHANGED


def _fingerprint(cipher: ShopCipher, person: Person, fields: str) -> bytes:
    """Of all that is given and of what is given at all: another file with other columns is another print."""
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
    )
    return cipher.lookup(repr(facts))


_contacts = cast(Table, Contact.__table__)  # plain statements: the ORM would take arrays of values for its own
_at = _contacts.c


def _unnested(types: dict[str, TypeEngine[Any]]) -> TableValuedAlias:
    """The arrays bound as `given_<name>`, as a table called `given` with these columns."""
    arrays = [bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in types.items()]
    columns: list[ColumnElement[Any]] = [column(name, kind) for name, kind in types.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="given")


@lru_cache(maxsize=64)
def _upsert(given: frozenset[str]) -> Any:
    rows = _unnested(
        {"phone_hash": LargeBinary(), "fingerprint": LargeBinary()} | {n: t for n, (_, t, _) in _COLUMNS.items()}
    )
    picked: dict[str, ColumnElement[Any]] = {name: rows.c[name] for name in ("phone_hash", "fingerprint", *_COLUMNS)}
    picked["tags"] = func.string_to_array(rows.c.tags, _TAG_MARK)
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


def _move_numbers(shop_id: int, cipher: ShopCipher, people: Sequence[Person], hashes: Sequence[bytes]) -> None:
    """Give customers who are known under another number their new one, or free the customer id for its new owner."""
    customers = {p.shopify_customer_id: i for i, p in enumerate(people) if p.shopify_customer_id is not None}
    if not customers:
        return
    theirs = session.execute(
        select(_at.id, _at.shopify_customer_id, _at.phone_hash).where(
            _at.shop_id == shop_id,
            _at.shopify_customer_id == func.any(literal(list(customers), ARRAY(BigInteger))),
        )
    ).all()
    moved = [
        (row.id, customers[row.shopify_customer_id])
        for row in theirs
        if row.phone_hash != hashes[customers[row.shopify_customer_id]]
    ]
    if not moved:
        return
    rows = _unnested({"contact_id": BigInteger(), "phone_hash": LargeBinary(), "phone_sealed": LargeBinary()})
    other = _contacts.alias()
    taken = exists().where(other.c.shop_id == shop_id, other.c.phone_hash == rows.c.phone_hash)
    is_it = (_at.shop_id == shop_id, _at.id == rows.c.contact_id)
    values = {
        "given_contact_id": [contact_id for contact_id, _ in moved],
        "given_phone_hash": [hashes[i] for _, i in moved],
        "given_phone_sealed": [cipher.seal(people[i].phone.e164, "phone") for _, i in moved],
    }
    free_the_id = update(_contacts).where(*is_it, taken).values(shopify_customer_id=None, fingerprint=None)
    take_the_number = (
        update(_contacts)
        .where(*is_it, ~taken, or_(_at.phone_hash.is_(None), _at.phone_hash != rows.c.phone_hash))
        .values(phone_hash=rows.c.phone_hash, phone_sealed=rows.c.phone_sealed, fingerprint=None)
    )
    for statement in (free_the_id, take_the_number):
        session.execute(statement, values)
