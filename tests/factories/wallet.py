"""Money for tests."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from blossom.platform import clock
from blossom.wallet import rules, service

_number = count(1)


def create_wallet(shop_id: int, balance: int = 1000) -> None:
    """A wallet with `balance` credits in it."""
    service.open_wallet(shop_id)
    service.top_up(shop_id, balance, reference=f"gift:{next(_number)}")


def create_reservation(shop_id: int, amount: int = 100, **overrides: object) -> rules.Reservation:
    """An open reservation of `amount` > 0 for a day."""
    values = {"reference": f"dispatch:{next(_number)}", "expires_at": clock.now() + timedelta(days=1), **overrides}
    reservation = service.reserve(shop_id, amount, **values)  # type: ignore[arg-type]  # overrides are reserve()'s own
    assert reservation is not None
    return reservation
