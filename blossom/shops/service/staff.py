"""Staff members, known by their number at Shopify and nothing else."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from blossom.platform import clock
from blossom.platform.db import session, transaction
from blossom.shopify import oauth
from blossom.shops import queries
from blossom.shops.models import StaffMember
from blossom.shops.service import claiming

SEEN_EVERY = timedelta(minutes=1)
"""`last_seen_at` is no log: one write a minute tells enough."""

RIGHTS_LAST = timedelta(hours=12)
"""What Shopify lets a member do is asked for again after this time, whenever they load a page."""

RIGHTS_END = timedelta(hours=36)
"""After this time what Shopify told holds no more: somebody who loads no page can't keep what was taken from them."""


def note_staff(shop_id: int, shopify_user_id: int) -> StaffMember:
    """Whoever has this number at Shopify was here now. Flushes; who calls commits."""
    now = clock.now()
    member = queries.staff_member(shop_id, shopify_user_id)
    if member is None:
        session.execute(
            insert(StaffMember)
            .values(shop_id=shop_id, shopify_user_id=shopify_user_id, first_seen_at=now, last_seen_at=now)
            .on_conflict_do_nothing()
        )
        member = queries.staff_member(shop_id, shopify_user_id)
        assert member is not None
    elif member.last_seen_at <= now - SEEN_EVERY:
        free = select(StaffMember.id).where(StaffMember.id == member.id).with_for_update(skip_locked=True)
        session.execute(
            update(StaffMember)
            .where(StaffMember.shop_id == shop_id, StaffMember.id.in_(free))
            .values(last_seen_at=now)
            .execution_options(synchronize_session=False)
        )
    return member


def rights_are_old(member: StaffMember) -> bool:
    """Whether `read_rights` should be called before the member is trusted to act."""
    return member.scopes_read_at is None or member.scopes_read_at <= clock.now() - RIGHTS_LAST


def known_rights(member: StaffMember) -> list[str] | None:
    """The app's scopes that the member holds, as far as Shopify's word still holds; None if it has to be asked."""
    if member.scopes_read_at is None or member.scopes_read_at <= clock.now() - RIGHTS_END:
        return None
    return member.scopes


def read_rights(shop_id: int, domain: str, id_token: str) -> None:
    """Ask Shopify what the session token's member may do through the app, and note it. The token that comes with the
    answer, names and addresses are let go. Manages its transactions. Raises `ShopifyError`."""
    claiming.hold_nothing()
    tokens = oauth.exchange(domain, id_token, online=True)
    if tokens.user_id is None or tokens.user_scopes is None:
        return
    with transaction():
        member = note_staff(shop_id, tokens.user_id)
        member.scopes, member.scopes_read_at = list(tokens.user_scopes), clock.now()
