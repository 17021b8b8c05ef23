"""`/queue`, for who runs the installation: how much waits, how fast it goes, and the webhooks that were given up."""

from __future__ import annotations

import redis
from flask import Blueprint, Response, request

from blossom.inbound import queries, service
from blossom.inbound.rules import replays
from blossom.messaging import queries as messaging
from blossom.platform import clock, htmx, pages, queue
from blossom.platform.access import OPERATOR, Principal
from blossom.platform.languages import t, tn
from blossom.platform.queue import QueueDepth
from blossom.shops import queries as shops

views = Blueprint("inbound", __name__)

ON_A_PAGE = 50


@views.get("/queue")
def show_queue() -> Response:
    """The page, or for htmx its figures, which it asks for every few seconds."""
    return _figures(pages.caller_with(OPERATOR))


@views.get("/queue/given-up")
def show_given_up() -> Response:
    """Webhooks that were given up, the oldest first, a page at a time."""
    caller = pages.caller_with(OPERATOR)
    return _given_up(caller, pages.row_asked("after") or 0)


@views.post("/queue/given-up")
def replay() -> Response:
    """Have those that were ticked handled again, from the first try on."""
    caller = pages.caller_with(OPERATOR)
    replayed = service.replay(replays.read_ids(request.form.getlist("id")))
    words = tn("%(num)s is handled again", "%(num)s are handled again", len(replayed))
    return htmx.toast(_given_up(caller, 0), words if replayed else t("None of them waits any more"))


def _figures(caller: Principal) -> Response:
    return htmx.page_or_partial(
        "inbound/queue.html",
        "inbound/_queue.html",
        shop=shops.get_shop(caller.shop_id),
        texts=messaging.queue_stats(),
        jobs=_depths(),
        backlog=queries.backlog(),
        counted=queries.COUNTED,
        now=clock.now(),
    )


def _given_up(caller: Principal, after: int) -> Response:
    found = queries.waiting_webhooks(after, ON_A_PAGE + 1)
    return htmx.page_or_partial(
        "inbound/given_up.html",
        "inbound/_given_up.html",
        shop=shops.get_shop(caller.shop_id),
        webhooks=found[:ON_A_PAGE],
        after=after,
        older_than=found[ON_A_PAGE - 1].id if len(found) > ON_A_PAGE else None,
    )


def _depths() -> list[QueueDepth] | None:
    """None: Redis can't be reached."""
    try:
        return queue.depths()
    except redis.RedisError:
        return None
