"""The merchant's list of campaigns, a page at a time. However many there are, a page is read through an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, literal, literal_column, select, tuple_
from sqlalchemy.orm import defer

from blossom.campaigns.models import LETTERS, MARKS, Campaign
from blossom.campaigns.queries.listing import get_campaign
from blossom.campaigns.rules.listing import Choice, Mark, Sort
from blossom.campaigns.rules.outcomes import Outcome, outcomes
from blossom.campaigns.rules.states import CampaignState
from blossom.messaging import queries as messaging
from blossom.platform.db import session
from blossom.segments.models import Segment
from blossom.segments.rules import Audience

ON_A_PAGE = 25
_COUNTS = ("delivered", "sent", "failed", "skipped", "unconfirmed", "cancelled", "pending", "sending")


@dataclass(frozen=True)
class Row:
    """A campaign of a list. `progress` None: it was never sent. `names`: of the segments that its audience speaks of;
    one that is no more has none."""

    campaign: Campaign
    audience: Audience | None
    progress: messaging.Progress | None
    names: dict[int, str]

    @property
    def parts(self) -> list[Outcome]:
        """The stretches of its bar; none of one that was never sent."""
        if self.progress is None:
            return []
        return outcomes({name: getattr(self.progress, name) for name in _COUNTS}, self.progress.total)

    @property
    def without(self) -> str:
        """Who is left out, by the names of segments."""
        return ", ".join(self.names.get(each, "…") for each in (self.audience.exclude if self.audience else ()))


@dataclass(frozen=True)
class Listing:
    """`after`: where the next page begins; None at the end."""

    rows: list[Row]
    after: Mark | None


def listing(shop_id: int, choice: Choice, most: int | None = None) -> Listing:
    """A page of the list that was chosen: `most` rows, or `ON_A_PAGE`."""
    most = most or ON_A_PAGE
    query = select(Campaign).where(Campaign.shop_id == shop_id, *_narrowed(choice)).options(defer(Campaign.body))
    found = session.scalars(query.order_by(*_order(choice.sort)).limit(most + 1)).all()
    shown = found[:most]
    return Listing(rows(shop_id, shown), _mark(shown[-1], choice.sort) if len(found) > len(shown) else None)


def row(shop_id: int, campaign_id: int) -> Row:
    """One of them. Raises `NotFound`."""
    return rows(shop_id, [get_campaign(shop_id, campaign_id)])[0]


def _narrowed(choice: Choice) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if choice.state is not None:
        words = [choice.state.value]
        if choice.state is CampaignState.COMPLETED:
            words.append(CampaignState.SENT.value)
        wanted.append(Campaign.stored_state.in_(words))
    if choice.words:
        typed = choice.words.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        wanted.append(Campaign.name_key.like(literal("%").concat(_key_of(typed)).concat("%")))
    if choice.after is not None:
        wanted.append(_beyond(choice.sort, choice.after))
    return wanted


def _key_of(typed: str) -> ColumnElement[str]:
    """The same as `Campaign.name_key`, of words that somebody typed."""
    bare = func.regexp_replace(func.normalize(cast(typed, Text), literal_column("NFD")), MARKS, "", "g")
    return func.translate(func.lower(bare), *LETTERS)


def _beyond(sort: Sort, mark: Mark) -> ColumnElement[bool]:
    if sort is Sort.NEWEST:
        return Campaign.id < mark.campaign_id
    if sort is Sort.OLDEST:
        return Campaign.id > mark.campaign_id
    if sort is Sort.NAME:
        return tuple_(Campaign.name_key, Campaign.id) > tuple_(mark.value, mark.campaign_id)
    assert isinstance(mark.value, int), "read_mark() has seen to it"
    return tuple_(Campaign.updated_at, Campaign.id) < tuple_(_EPOCH + mark.value * _MICROSECOND, mark.campaign_id)


def _order(sort: Sort) -> list[ColumnElement[Any]]:
    if sort is Sort.NEWEST:
        return [Campaign.id.desc()]
    if sort is Sort.OLDEST:
        return [Campaign.id.asc()]
    if sort is Sort.NAME:
        return [Campaign.name_key.asc(), Campaign.id.asc()]
    return [Campaign.updated_at.desc(), Campaign.id.desc()]


def _mark(last: Campaign, sort: Sort) -> Mark:
    if sort is Sort.NAME:
        return Mark(last.id, last.name_key)
    if sort is Sort.CHANGED:
        return Mark(last.id, (last.updated_at - _EPOCH) // _MICROSECOND)
    return Mark(last.id)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def rows(shop_id: int, campaigns: Sequence[Campaign]) -> list[Row]:
    """These campaigns, in their order, with what a list shows of them."""
    sent = [campaign.dispatch_id for campaign in campaigns if campaign.dispatch_id is not None]
    progress = messaging.progress_many(shop_id, sent) if sent else {}
    audiences = {each.id: Audience.from_json(each.audience) if each.audience else None for each in campaigns}
    named = {segment_id for audience in audiences.values() if audience for segment_id in audience.named}
    names: dict[int, str] = {}
    if named:
        found = session.execute(
            select(Segment.id, Segment.name).where(Segment.shop_id == shop_id, Segment.id.in_(named))
        )
        names = {each.id: each.name for each in found}
    return [
        Row(campaign, audiences[campaign.id], progress.get(campaign.dispatch_id or 0), names) for campaign in campaigns
    ]
