"""Whether a call that is about to be made is paid for: what a dispatch holds, less what its open calls may cost.

The reservation was made from the sizes of names, which is exact but for rare texts (an upper-cased “ß” grows); what
goes beyond it comes from the shop's free credits, and when those are short, the call is not made.
"""

from __future__ import annotations

from sqlalchemy import text

from blossom.platform.db import session

_STANDING = text("""
SELECT r.amount - r.captured - r.released AS held, w.balance - w.reserved AS available,
       (SELECT coalesce(sum(a.credits), 0) FROM attempts a
        WHERE a.dispatch_id = :dispatch_id AND a.state = 'calling') AS in_calls
FROM reservations r JOIN wallets w ON w.shop_id = r.shop_id
WHERE r.shop_id = :shop_id AND r.id = :reservation_id
""")

_LOCK = text("SELECT shop_id FROM wallets WHERE shop_id = :shop_id FOR NO KEY UPDATE")

_ROOM = 4
"""While a dispatch holds this many times what its open calls and the next may cost, no lock is needed to be sure."""


def missing_for(shop_id: int, dispatch_id: int, reservation_id: int | None, credits: int) -> int:
    """How many credits are missing for a call that costs up to `credits`; 0: it may be made.

    Near the end of the money the shop's wallet is locked until the transaction ends, so that two workers don't count
    on the same credits.
    """
    if credits == 0:
        return 0
    if reservation_id is None:
        return credits
    keys = {"shop_id": shop_id, "dispatch_id": dispatch_id, "reservation_id": reservation_id}
    standing = session.execute(_STANDING, keys).one()
    if standing.held >= _ROOM * (standing.in_calls + credits):
        return 0
    session.execute(_LOCK, {"shop_id": shop_id})
    standing = session.execute(_STANDING, keys).one()
    return int(max(0, standing.in_calls + credits - standing.held - standing.available))
