"""Reading how far customers and contacts are in step."""

from __future__ import annotations

from sqlalchemy import exists, or_, select

from blossom.consent.models import ConsentPush
from blossom.customers.models import CustomerComparison, CustomerImport
from blossom.customers.rules import LATER_THERE, OPEN_STATES, OTHER_NUMBER, ImportState, Progress, Push, PushState
from blossom.platform.db import session
from blossom.platform.languages import joined, noted
from blossom.shopify.errors import trouble
from blossom.shops.models import Installation, Shop


def latest_import(shop_id: int) -> Progress | None:
    """The import that runs, or the last one; None: there was never one."""
    found = session.scalars(
        select(CustomerImport)
        .where(CustomerImport.shop_id == shop_id)
        .order_by(CustomerImport.id.desc())
        .limit(1)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if found is None:
        return None
    return Progress(
        import_id=found.id,
        state=ImportState(found.state),
        lines_total=found.lines_total,
        lines_read=found.lines_read,
        created=found.created,
        updated=found.updated,
        unchanged=found.unchanged,
        older=found.older,
        without_phone=found.without_phone,
        refused=found.refused,
        asked_at=found.asked_at,
        finished_at=found.finished_at,
        fault=found.fault,
        refused_by_code=dict(found.refused_by_code),
    )


def comparison(shop_id: int) -> CustomerComparison | None:
    """How the nightly comparison stands; None before the first import is done."""
    return session.scalars(
        select(CustomerComparison)
        .where(CustomerComparison.shop_id == shop_id)
        .execution_options(populate_existing=True)
    ).one_or_none()


def has_open_import(shop_id: int) -> bool:
    open_one = exists().where(CustomerImport.shop_id == shop_id, CustomerImport.state.in_(OPEN_STATES))
    return bool(session.scalar(select(open_one)))


def is_comparing(shop_id: int) -> bool:
    """Whether a comparison is in some worker's hands, or was when it died."""
    in_hand = exists().where(CustomerComparison.shop_id == shop_id, CustomerComparison.in_hand_until.is_not(None))
    return bool(session.scalar(select(in_hand)))


def owed_imports(limit: int = 100) -> list[int]:
    """Shops that have come (back) to Blossom and whose customers were not asked for since: of all shops."""
    asked_since = exists().where(
        CustomerImport.shop_id == Installation.shop_id,
        or_(CustomerImport.asked_at >= Installation.granted_at, CustomerImport.state.in_(OPEN_STATES)),
    )
    return list(
        session.scalars(
            select(Installation.shop_id)
            .join(Shop, Shop.id == Installation.shop_id)
            .where(
                Installation.granted_at.is_not(None),
                Installation.access_token_sealed.is_not(None),
                Installation.access_lost_at.is_(None),
                Shop.uninstalled_at.is_(None),
                ~asked_since,
            )
            .order_by(Installation.granted_at)
            .limit(limit)
        )
    )


def push_of(shop_id: int, phone_hash: bytes) -> Push | None:
    """Whether Shopify has been told of this phone's consent; None: nothing was ever owed."""
    row = session.scalars(
        select(ConsentPush)
        .where(ConsentPush.shop_id == shop_id, ConsentPush.phone_hash == phone_hash)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        return None
    if row.next_try_at is not None or row.settled_at is None:
        return Push(PushState.OWED, row.owed_since, row.tries, _words(row), row.next_try_at)
    state = PushState.REFUSED if row.fault else PushState.DONE
    return Push(state, row.settled_at, row.tries, _words(row), told=row.told)


def _words(row: ConsentPush) -> str | None:
    if row.fault is None:
        return None
    if row.fault == OTHER_NUMBER:
        return noted("Shopify's customer has another number by now, so this one's consent can't stand there.")
    if row.fault == LATER_THERE:
        return noted(
            "Shopify holds a later word of this person, and keeps it. Blossom goes by what it was told itself."
        )
    words = trouble(row.fault)
    return joined(words, row.refusal) if row.refusal else words
