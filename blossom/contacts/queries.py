"""Reading people and imports. Names and numbers come sealed; `Contact.phone` and its like open them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select, text

from blossom.contacts import rules
from blossom.contacts.models import Contact, ContactImport, ImportRefusal
from blossom.platform import bulk, crypto
from blossom.platform.db import session
from blossom.platform.errors import NotFound

FIRST_REFUSED = 20
"""How many refused lines a report shows by itself."""


def contact(shop_id: int, contact_id: int) -> Contact:
    """Raises `NotFound`."""
    found = session.scalar(select(Contact).where(Contact.shop_id == shop_id, Contact.id == contact_id))
    if found is None:
        raise NotFound("contact")
    return found


def contact_by_phone(shop_id: int, e164: str) -> Contact | None:
    """Whose number it is; `e164` as `rules.normalise_phone` gives it."""
    return contact_by_phone_hash(shop_id, crypto.for_shop(shop_id).lookup(e164))


def contact_by_phone_hash(shop_id: int, phone_hash: bytes) -> Contact | None:
    return session.scalar(select(Contact).where(Contact.shop_id == shop_id, Contact.phone_hash == phone_hash))


def customers_read_at(shop_id: int, customer_ids: Collection[int]) -> dict[int, datetime]:
    """By customer: the `updatedAt` at Shopify that their contact was last read at. Those that were, only."""
    rows = session.execute(_READ_AT, {"shop": shop_id, "ids": bulk.bigint_array(customer_ids)})
    return {row.customer_id: row.read_at for row in rows}


def owners_of(shop_id: int, phone_hashes: Collection[bytes]) -> dict[bytes, Row[Any]]:
    """Whose these numbers are: `contact_id`, and `customer_id`, which may be None. Those that are somebody's, only."""
    rows = session.execute(_OWNERS, {"shop": shop_id, "hashes": bulk.bytea_array(phone_hashes)})
    return {row.phone_hash: row for row in rows}


def ids_of_person(
    shop_id: int, *, customer_id: int | None, phone_hash: bytes | None, email_hash: bytes | None
) -> list[int]:
    """Contacts of a person whom Shopify names so: the customer's, and those of the phone and of the address that are no
    other customer's. An address that more than `SHARED_BY` such contacts have is no person's (a till's)."""
    values = {"shop": shop_id, "customer": customer_id, "phone_hash": phone_hash, "email_hash": email_hash}
    by_number = list(session.scalars(_IDS_BY_NUMBER, values))
    by_address = list(session.scalars(_IDS_BY_ADDRESS, {**values, "limit": SHARED_BY + 1})) if email_hash else []
    return sorted({*by_number, *(by_address if len(by_address) <= SHARED_BY else ())})


SHARED_BY = 3


def contacts(shop_id: int, before_id: int | None = None, limit: int = 50) -> Sequence[Contact]:
    """The newest first; `before_id` is the last id of the page before. One index range, however many there are."""
    query = select(Contact).where(Contact.shop_id == shop_id).order_by(Contact.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(Contact.id < before_id)
    return session.scalars(query).all()


def count(shop_id: int) -> int:
    """How many people the shop has (reads the whole index: for a report, not for each page)."""
    return session.scalar(select(func.count()).select_from(Contact).where(Contact.shop_id == shop_id)) or 0


def has_more_than(shop_id: int, people: int) -> bool:
    """Whether the shop has more contacts than so many; reads no more of them."""
    return bool(session.scalar(_MORE_THAN, {"shop": shop_id, "people": people}))


COUNTED = 10_000
"""Contacts up to which `roughly` counts."""


def roughly(shop_id: int) -> tuple[int, bool]:
    """How many people the shop has, and whether they were counted: up to 10,000 are. Of more, what the database's own
    statistics make of it. As quick for a million as for ten."""
    row = session.execute(_ROUGHLY, {"shop": shop_id, "most": COUNTED + 1}).one()
    if row.counted <= COUNTED:
        return row.counted, True
    return max(row.counted - 1, round(row.estimated or 0)), False


def import_report(shop_id: int, import_id: int) -> rules.ImportReport:
    """The report of a running, finished or failed import. Raises `NotFound`."""
    found = import_counts(shop_id, [import_id]).get(import_id)
    if found is None:
        raise NotFound("import")
    first = refusals(shop_id, import_id, limit=FIRST_REFUSED)
    return replace(found, first_refused=[rules.Refused(row.line, row.column, row.code, row.text) for row in first])


def import_counts(shop_id: int, import_ids: Collection[int]) -> dict[int, rules.ImportReport]:
    """The reports of these imports, of those that there are, without the lines that were refused."""
    rows = session.scalars(
        select(ContactImport)
        .where(ContactImport.shop_id == shop_id, ContactImport.id.in_(import_ids))
        .execution_options(populate_existing=True)
    )
    return {
        found.id: rules.ImportReport(
            import_id=found.id,
            state=rules.ImportState(found.state),
            rows_total=found.rows_total,
            rows_read=found.rows_read,
            created=found.created,
            updated=found.updated,
            unchanged=found.unchanged,
            refused=found.refused,
            refused_by_code=found.refused_by_code,
            tallies=found.tallies,
        )
        for found in rows
    }


def refusals(shop_id: int, import_id: int, after_id: int = 0, limit: int = 100) -> Sequence[ImportRefusal]:
    """The refused lines in the file's order; `after_id` is the last id of the page before."""
    return session.scalars(
        select(ImportRefusal)
        .where(ImportRefusal.shop_id == shop_id, ImportRefusal.import_id == import_id, ImportRefusal.id > after_id)
        .order_by(ImportRefusal.id)
        .limit(limit)
    ).all()


_MORE_THAN = text("SELECT EXISTS (SELECT FROM contacts WHERE shop_id = :shop OFFSET :people)")

# The share of each shop that has many contacts is among the commonest values that ANALYZE has noted.
# Nobody is counted where the statistics know of far more.
_ROUGHLY = text(
    """
    SELECT estimated,
           CASE WHEN estimated > 2 * :most THEN :most
                ELSE (SELECT count(*) FROM (SELECT FROM contacts WHERE shop_id = :shop LIMIT :most) AS few)
           END AS counted
    FROM (
        SELECT (SELECT c.reltuples * known.share FROM pg_class c, pg_stats s
                CROSS JOIN LATERAL unnest(CAST(CAST(s.most_common_vals AS text) AS bigint[]), s.most_common_freqs)
                    AS known(shop_id, share)
                WHERE c.oid = to_regclass('contacts') AND s.schemaname = 'public' AND s.tablename = 'contacts'
                  AND s.attname = 'shop_id' AND known.shop_id = :shop) AS estimated
        OFFSET 0
    ) AS known
    """
)
_READ_AT = text(
    """
    SELECT known.* FROM unnest(CAST(:ids AS bigint[])) AS given(id) CROSS JOIN LATERAL (
        SELECT shopify_customer_id AS customer_id, shopify_updated_at AS read_at FROM contacts
        WHERE shop_id = :shop AND shopify_customer_id = given.id AND shopify_updated_at IS NOT NULL OFFSET 0
    ) AS known
    """
)
_IDS_BY_NUMBER = text(
    """
    SELECT id FROM contacts WHERE shop_id = :shop AND shopify_customer_id = :customer
    UNION SELECT id FROM contacts WHERE shop_id = :shop AND phone_hash = :phone_hash
        AND (shopify_customer_id IS NULL OR shopify_customer_id = :customer)
    """
)
_IDS_BY_ADDRESS = text(
    """
    SELECT id FROM contacts WHERE shop_id = :shop AND email_hash = :email_hash AND shopify_customer_id IS NULL
    LIMIT :limit
    """
)
_OWNERS = text(
    """
    SELECT known.* FROM unnest(CAST(:hashes AS bytea[])) AS given(phone_hash) CROSS JOIN LATERAL (
        SELECT phone_hash, id AS contact_id, shopify_customer_id AS customer_id FROM contacts
        WHERE shop_id = :shop AND phone_hash = given.phone_hash OFFSET 0
    ) AS known
    """
)
