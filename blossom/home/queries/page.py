"""The home page, as one whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import case, func, select, text

from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import pages as campaigns
from blossom.campaigns.queries.pages import Row
from blossom.campaigns.rules import causes
from blossom.campaigns.rules.listing import Choice
from blossom.campaigns.rules.states import CampaignState
from blossom.contacts import queries as contacts
from blossom.dashboard import queries as dashboard
from blossom.dashboard.queries import Arrival
from blossom.home.queries.summing import Figures, Troubles, figures
from blossom.home.rules import Alert, Facts, Step, StepsTaken, Trend, Troubled, alerts, steps, trends
from blossom.platform import clock, languages
from blossom.platform.db import session
from blossom.replies import queries as replies
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.rules import Balance

FAILED_DAYS = 14
"""For how long a campaign that could not be sent is a matter of attention."""

MOST_SHOWN = 3
"""Of each kind of trouble."""

GOING_SHOWN, LATEST_SHOWN = 8, 5


@dataclass(frozen=True)
class Home:
    """`people`: how many contacts there are, and whether they were counted. `going`: campaigns that are sent, paused or
    planned; `latest`: the newest ones. `steps`: empty once all are done. `arrival` None: the shop was never connected
    to Shopify."""

    shop: Shop
    people: tuple[int, bool]
    credits: Balance
    alerts: Sequence[Alert]
    going: Sequence[Row]
    latest: Sequence[Row]
    figures: Figures
    trends: Sequence[Trend]
    steps: Sequence[Step] = field(default_factory=tuple)
    arrival: Arrival | None = None

    @property
    def steps_done(self) -> int:
        return sum(step.is_done for step in self.steps)


def home(shop_id: int) -> Home:
    """Everything, as it is now. Raises `NotFound` without such a shop."""
    shop = shops.get_shop(shop_id)
    summed, balance = figures(shop), wallet.balance_if_any(shop_id)
    taken = _taken(shop, balance)
    todo = steps(taken)
    return Home(
        shop=shop,
        people=contacts.roughly(shop_id),
        credits=balance,
        alerts=alerts(_facts(shop, summed, balance, has_sent=taken.campaign)),
        going=going(shop_id),
        latest=campaigns.listing(shop_id, Choice(), LATEST_SHOWN).rows,
        figures=summed,
        trends=trends(summed.days),
        steps=() if all(step.is_done for step in todo) else todo,
        arrival=dashboard.arrival(shop_id),
    )


def going(shop_id: int) -> list[Row]:
    """What is on its way, or planned: what is sent first, then what is due next."""
    states = (CampaignState.SENDING.value, CampaignState.PAUSED.value, CampaignState.SCHEDULED.value)
    rank = case({state: place for place, state in enumerate(states)}, value=Campaign.stored_state)
    found = session.scalars(
        select(Campaign)
        .where(Campaign.shop_id == shop_id, Campaign.stored_state.in_(states))
        .order_by(rank, func.coalesce(Campaign.due_at, Campaign.started_at), Campaign.id.desc())
        .limit(GOING_SHOWN)
    ).all()
    return campaigns.rows(shop_id, found)


_TAKEN = text("""
SELECT EXISTS (SELECT FROM contacts WHERE shop_id = :shop_id) AS contacts,
       EXISTS (SELECT FROM consents WHERE shop_id = :shop_id AND state = 'opted_in') AS consent,
       EXISTS (SELECT FROM wallet_entries WHERE shop_id = :shop_id) AS spent,
       EXISTS (SELECT FROM campaigns WHERE shop_id = :shop_id
               AND state IN ('sending', 'paused', 'completed', 'sent', 'failed', 'cancelled')
               AND dispatch_id IS NOT NULL) AS campaign
""")


def _taken(shop: Shop, balance: Balance) -> StepsTaken:
    row = session.execute(_TAKEN, {"shop_id": shop.id}).one()
    return StepsTaken(
        contacts=row.contacts,
        consent=row.consent,
        contact_line=bool(shop.contact_line),
        credits=row.spent or balance.balance > 0,
        campaign=row.campaign,
    )


def _facts(shop: Shop, summed: Figures, balance: Balance, *, has_sent: bool) -> Facts:
    troubled = _campaigns_of(shop.id, summed.troubles)
    return Facts(
        failed=_in_state(shop.id, CampaignState.FAILED),
        out_of_credit=_in_state(shop.id, CampaignState.PAUSED),
        with_failures=[
            Troubled(each.id, each.name, found.failed, found.tried)
            for each, found in troubled
            if found.failed and each.state is CampaignState.COMPLETED
        ][:MOST_SHOWN],
        unconfirmed=[
            Troubled(each.id, each.name, found.unconfirmed, found.tried)
            for each, found in troubled
            if found.unconfirmed
        ][:MOST_SHOWN],
        refused_sender=_refused_sender(shop, summed.troubles),
        credits=balance.available,
        spent=summed.spent,
        has_sent=has_sent,
        unread=replies.unread(shop.id),
    )


def _campaigns_of(shop_id: int, troubles: Sequence[Troubles]) -> list[tuple[Campaign, Troubles]]:
    by_dispatch = {each.dispatch_id: each for each in troubles}
    if not by_dispatch:
        return []
    found = session.scalars(
        select(Campaign)
        .where(Campaign.shop_id == shop_id, Campaign.dispatch_id.in_(by_dispatch))
        .order_by(Campaign.id.desc())
    )
    return [(campaign, by_dispatch[campaign.dispatch_id or 0]) for campaign in found]


def _in_state(shop_id: int, state: CampaignState) -> list[Troubled]:
    """Those that could not be sent lately; of the paused ones those that stopped for want of credit."""
    wanted = Campaign.failure_code == "insufficient_credit"
    if state is CampaignState.FAILED:
        wanted = Campaign.finished_at >= clock.now() - timedelta(days=FAILED_DAYS)
    found = session.scalars(
        select(Campaign)
        .where(Campaign.shop_id == shop_id, Campaign.stored_state == state.value, wanted)
        .order_by(Campaign.id.desc())
        .limit(MOST_SHOWN)
    )
    return [Troubled(each.id, each.name, why=_why(each)) for each in found]


def _why(campaign: Campaign) -> str:
    return causes.stopped(campaign.failure_code, campaign.failure_text or "", languages.reader())


# A sender that is refused is refused from the first batch on, so that a few texts of each dispatch tell.
_REFUSED = text("""
SELECT d.sender
FROM dispatches d
CROSS JOIN LATERAL (
    SELECT first_id, last_id, number FROM batches
    WHERE dispatch_id = d.id AND failed > 0 ORDER BY number LIMIT 1
) b
CROSS JOIN LATERAL (
    SELECT FROM messages m
    WHERE m.id BETWEEN b.first_id AND b.last_id AND m.dispatch_id = d.id AND m.batch_number = b.number
      AND m.state = 'failed' AND m.error = 'sender_refused'
    LIMIT 1
) m
WHERE d.shop_id = :shop_id AND d.id = ANY(CAST(:ids AS bigint[])) AND d.sender = :sender
LIMIT 1
""")


def _refused_sender(shop: Shop, troubles: Sequence[Troubles]) -> str | None:
    """The shop's sender, if Mitto refused texts under it lately."""
    failed = [each.dispatch_id for each in troubles if each.failed][:MOST_SHOWN]
    if not failed:
        return None
    found: str | None = session.scalar(_REFUSED, {"shop_id": shop.id, "ids": failed, "sender": shop.sender})
    return found
