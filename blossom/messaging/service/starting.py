"""How a dispatch begins: what is to be texted to whom is written down, and a worker told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from blossom.links import service as links
from blossom.message_templates.rules import language
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.models import Dispatch, DispatchText
from blossom.messaging.rules.states import PRIORITIES, RANKS, DispatchKind, DispatchState
from blossom.messaging.rules.texts import SEVERAL
from blossom.platform import clock, queue
from blossom.platform.db import session
from blossom.segments.rules import Audience
from blossom.shops import service as shop_service
from blossom.wallet import queries as prices


@dataclass(frozen=True)
class DispatchPlan:
    """What to text to whom. `source`: Liquid with the opt-out line. `local_at`: ISO date and time without a zone,
    read on each recipient's clocks. `on_change`: the job that is told (shop_id, dispatch_id) when the state changes.

    `others`: further texts that are tested, each on a share of the audience; `shares`: of all texts, whole per cent.
    `decide_after`: how long after the test's last call clicks decide which text the rest gets; None: somebody chooses.
    """

    shop_id: int
    audience: Audience
    source: str
    sender: str
    kind: DispatchKind = DispatchKind.CAMPAIGN
    trigger: str = Trigger.CAMPAIGN.value
    priority: str = "normal"
    not_before: datetime | None = None
    local_at: datetime | None = None
    on_change: str | None = None
    others: Sequence[str] = ()
    shares: Sequence[int] = ()
    decide_after: timedelta | None = None


def start_dispatch(plan: DispatchPlan) -> Dispatch:
    """Begin to text an audience. Quick at any size: a worker fixes the audience and reserves its cost.

    Raises `TextError` when the text can't be rendered at all, `ShopLeft`.
    """
    shop_service.require_installed(plan.shop_id)
    sources = (plan.source, *plan.others)
    texts = [language.compile_text(source, Trigger(plan.trigger)) for source in sources]
    now = clock.now()
    dispatch = Dispatch(
        shop_id=plan.shop_id,
        kind=plan.kind.value,
        state=DispatchState.PREPARING.value,
        rank=RANKS[plan.kind],
        priority=PRIORITIES[plan.priority],
        source=SEVERAL if plan.others else plan.source,
        trigger=plan.trigger,
        sender=plan.sender,
        audience=plan.audience.to_json(),
        not_before=plan.not_before,
        local_at=plan.local_at.isoformat() if plan.local_at else None,
        on_change=plan.on_change,
        price_list_id=prices.price_list_at(plan.shop_id, now).id,
        created_at=now,
        decide_after=plan.decide_after,
    )
    session.add(dispatch)
    session.flush()
    links_before = 0
    for number, compiled in enumerate(texts):
        keep_links(dispatch, compiled, links_before)
        if plan.others:
            _keep_text(dispatch, number, sources[number], plan.shares[number], links_before)
        links_before += len(compiled.links)
    queue.enqueue(
        "messaging.prepare_dispatch",
        queue="prepare",
        shop_id=plan.shop_id,
        dispatch_id=dispatch.id,
        timeout_seconds=3600,
    )
    return dispatch


def keep_links(dispatch: Dispatch, compiled: language.CompiledText, before: int = 0) -> None:
    """Write down where the text's short links lead, by the numbers that their codes will hold: after those of `before`
    links in other texts of the dispatch."""
    addresses = {before + link.number: link.address for link in compiled.links if link.address is not None}
    links.keep_targets(dispatch.shop_id, dispatch.id, addresses)


def _keep_text(dispatch: Dispatch, number: int, source: str, share: int, links_before: int) -> None:
    session.add(
        DispatchText(
            dispatch_id=dispatch.id,
            number=number,
            shop_id=dispatch.shop_id,
            source=source,
            share=share,
            links_before=links_before,
        )
    )
    session.flush()
