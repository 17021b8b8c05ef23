"""Money for tests."""

from __future__ import annotations

from datetime import timedelta
from itertools import count

from sqlalchemy import func, update

from blossom.platform import clock
from blossom.platform.db import session
from blossom.wallet import rules, service
from blossom.wallet.models import PriceListRow

_number = count(1)


def create_wallet(shop_id: int, balance: int = 1000) -> None:
    """A wallet with `balance` credits in it."""
    service.open_wallet(shop_id)
    service.top_up(shop_id, balance, reference=f"gift:{next(_number)}")


def end_prices() -> None:
    """From now on no shop has a price list, as before an operator has set one."""
    session.execute(update(PriceListRow).values(valid_to=func.least(PriceListRow.valid_to, clock.now())))


def create_reservation(shop_id: int, amount: int = 100, **overrides: object) -> rules.Reservation:
    """An open reservation of `amount` > 0 for a day."""
    values = {"reference": f"elsewhere:{next(_number)}", "expires_at": clock.now() + timedelta(days=1), **overrides}
    reservation = service.reserve(shop_id, amount, **values)  # type: ignore[arg-type]  # overrides are reserve()'s own
    assert reservation is not None
    return reservation
