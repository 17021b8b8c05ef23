"""The storefront's jobs. Rows say what is due, so each may run twice, late, or not at all."""

from __future__ import annotations

import structlog

from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.platform import clock, queue
from blossom.platform.db import transaction
from blossom.storefront import service as storefront

log = structlog.get_logger()


@queue.job("storefront.settle")
def settle(shop_id: int, request_id: int) -> None:
    with transaction():
        storefront.settle(shop_id, request_id)


@queue.job("storefront.sweep")
def sweep() -> None:
    """Settle the forms whose job was lost, let go of what nobody confirmed, forget codes that have left, and old forms.

    A form that can't be settled costs the others nothing.
    """
    with transaction():
        owed = consents.unsettled_requests(clock.now())
    for shop_id, request_id in owed:
        try:
            settle(shop_id, request_id)
        except Exception:
            log.exception("storefront.not_settled", shop_id=shop_id, request_id=request_id)
    with transaction():
        consent.lapse_requests()
    with transaction():
        storefront.forget_codes()
    with transaction():
        consent.prune_requests()
