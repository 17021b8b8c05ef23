"""Forgetting people's consent: what they agreed to goes, that they said no stays, by the keyed hash of the phone alone.

The one place that takes something out of events: where a person sat when they acted (`ip`, `user_agent`), and which
contact they were. A trigger lets nothing else through, and that only in a transaction that says so.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, text

from blossom.consent.models import ConsentPush, OptInRequest
from blossom.consent.rules import Deed, Source
from blossom.consent.service.changes import Step, apply
from blossom.platform import bulk
from blossom.platform.db import remove_rows, session


def erase_people(shop_id: int, phone_hashes: Collection[bytes], *, actor: str) -> None:
    """Forget what these phones agreed to, and what Shopify was to be told of them. An opt-out stands. Flushes."""
    if not phone_hashes:
        return
    apply(shop_id, [Step(each, Deed.FORGET, Source.SHOPIFY, actor=actor) for each in sorted(phone_hashes)])
    session.execute(delete(ConsentPush).where(ConsentPush.shop_id == shop_id, ConsentPush.phone_hash.in_(phone_hashes)))
    session.execute(_SAY, {"what": "person"})
    session.execute(_EMPTY, {"shop": shop_id, "phone_hashes": bulk.bytea_array(sorted(phone_hashes))})
    session.execute(_SAY, {"what": ""})


def erase_forms(shop_id: int, phone_hashes: Collection[bytes]) -> None:
    """Delete the forms that these phones sent. Before anything of their contacts or consent is touched: whoever settles
    or confirms a form has it first, and goes on to those."""
    session.execute(
        delete(OptInRequest).where(OptInRequest.shop_id == shop_id, OptInRequest.phone_hash.in_(phone_hashes))
    )


def erase_shop(shop_id: int, limit: int) -> int:
    """Remove consent and its events, of a shop that is to be forgotten; up to `limit` rows, how many; 0: none is left.
    Nothing is lost with the proof: the key by which a phone would be found in it is destroyed."""
    session.execute(_SAY, {"what": "shop"})
    gone = 0
    for table in _OF_A_SHOP:
        gone = gone or remove_rows(table, shop_id, limit)
    session.execute(_SAY, {"what": ""})
    return gone


_SAY = text("SELECT set_config('blossom.erasing', :what, true)")

_EMPTY = text(
    """
    UPDATE consent_events SET ip = NULL, user_agent = NULL, contact_id = NULL, details = '{}'
    WHERE shop_id = :shop AND phone_hash = ANY(CAST(:phone_hashes AS bytea[]))
    """
)

_OF_A_SHOP = ("opt_in_requests", "consent_pushes", "consents", "consent_events", "consent_settings")
