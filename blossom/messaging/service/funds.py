"""Whether a call that is about to be made is paid for: what a dispatch holds, less what its open calls may cost.

The reservation was made from the sizes of names, which is exact but for rare texts (an upper-cased “ß” grows); what
goes beyond it comes from the shop's free credits, and when those are short, the call is not made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from blossom.messaging.service import recording
from blossom.messaging.service.claiming import Claim
from blossom.platform import clock
from blossom.platform.db import session
from blossom.wallet import service as wallet
from blossom.wallet.errors import InsufficientCredit

_STANDING = text("""
SELECT r.amount - r.captured - r.released AS held,
       (SELECT coalesce(sum(a.credits), 0) FROM attempts a
        WHERE a.dispatch_id = :dispatch_id AND a.state = 'calling' AND a.id <> :attempt_id) AS in_calls
FROM reservations r
WHERE r.shop_id = :shop_id AND r.id = :reservation_id
""")

_LOCK = text("SELECT shop_id FROM wallets WHERE shop_id = :shop_id FOR NO KEY UPDATE")

_ROOM = 4
"""While a dispatch holds this many times what its open calls and the next may cost, no lock is needed to be sure."""


_COVER = timedelta(hours=1)
"""How long credits are held for one call beside its dispatch's; the lease of an attempt is far shorter."""


@dataclass(frozen=True)
class Cover:
    """`missing`: credits that a call lacks; 0: it may be made. `reservation_id`: what is held for it alone, to be
    released when the call has ended."""

    missing: int = 0
    reservation_id: int | None = None


def cover(claim: Claim, reservation_id: int | None, credits: int) -> Cover:
    """See that a call that was begun and costs up to `credits` is paid for.

    Near the end of what the dispatch holds, the shop's wallet is locked until the transaction ends, and what this call
    needs beyond that is held for it alone: neither another worker nor another campaign can count on the same credits.
    """
    if credits == 0:
        return Cover()
    if reservation_id is None:
        return Cover(missing=credits)
    keys = {
        "shop_id": claim.shop_id,
        "dispatch_id": claim.dispatch_id,
        "attempt_id": claim.attempt_id,
        "reservation_id": reservation_id,
    }
    standing = session.execute(_STANDING, keys).one()
    if standing.held >= _ROOM * (standing.in_calls + credits):
        return Cover()
    session.execute(_LOCK, {"shop_id": claim.shop_id})
    standing = session.execute(_STANDING, keys).one()
    beyond = min(credits, int(standing.in_calls) + credits - int(standing.held))
    if beyond <= 0:
        return Cover()
    expires_at = clock.now() + _COVER
    try:
        held = wallet.reserve(
            claim.shop_id, beyond, recording.attempt_reference(claim.attempt_id), expires_at=expires_at
        )
    except InsufficientCredit as error:
        return Cover(missing=error.missing)
    return Cover(reservation_id=held.id if held else None)
