"""What the home page shows, gathered from the domains."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.campaigns import queries as campaigns
from blossom.campaigns.models import Campaign
from blossom.contacts import queries as contacts
from blossom.customers import queries as customers
from blossom.customers.models import CustomerComparison
from blossom.customers.rules import Progress
from blossom.messaging import queries as messaging
from blossom.platform.errors import NotFound
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.rules import Balance

CAMPAIGNS_SHOWN = 20


@dataclass(frozen=True)
class Figures:
    """Texts of a campaign that have left, and those of them that arrived. `campaigns.stats_of` knows more and costs
    statements a campaign."""

    sent: int
    delivered: int


@dataclass(frozen=True)
class Home:
    """`campaigns`: a page of them, the newest first, with what of each has left. `older_than`: where the next page
    begins. `arrival` None: the shop was never connected to Shopify."""

    shop: Shop
    contacts: int
    credits: Balance
    campaigns: list[tuple[Campaign, Figures]]
    campaigns_total: int
    older_than: int | None
    arrival: Arrival | None


@dataclass(frozen=True)
class Arrival:
    """How far Shopify's customers have come in. `progress` None: about to be asked for. `comparison` None: not yet."""

    shop: Shop
    progress: Progress | None
    comparison: CustomerComparison | None

    @property
    def is_open(self) -> bool:
        """Whether it will change within seconds, and by itself."""
        return self.progress is None or self.progress.is_open


def home(shop_id: int, before_id: int | None = None) -> Home:
    """The shop's figures now. `before_id`: campaigns older than that one. Raises `NotFound` without such a shop."""
    shop = shops.get_shop(shop_id)
    found, total = campaigns.list_campaigns(shop_id, before_id=before_id, limit=CAMPAIGNS_SHOWN + 1)
    shown = found[:CAMPAIGNS_SHOWN]
    progress = messaging.progress_many(shop_id, [each.dispatch_id for each in shown if each.dispatch_id is not None])
    return Home(
        shop=shop,
        contacts=contacts.count(shop_id),
        credits=_credits(shop_id),
        campaigns=[(campaign, _figures(progress.get(campaign.dispatch_id or 0))) for campaign in shown],
        campaigns_total=total,
        older_than=shown[-1].id if len(found) > len(shown) else None,
        arrival=arrival(shop_id),
    )


def arrival(shop_id: int) -> Arrival | None:
    """None for a shop that was never connected to Shopify. Raises `NotFound` without such a shop."""
    shop = shops.get_shop(shop_id)
    if shops.installation(shop_id) is None:
        return None
    return Arrival(shop, customers.latest_import(shop_id), customers.comparison(shop_id))


def contacts_count(shop_id: int) -> int:
    """How many contacts the shop has."""
    return contacts.count(shop_id)


def _figures(progress: messaging.Progress | None) -> Figures:
    if progress is None:
        return Figures(0, 0)
    return Figures(progress.sent + progress.delivered + progress.failed, progress.delivered)


def _credits(shop_id: int) -> Balance:
    try:
        return wallet.balance(shop_id)
    except NotFound:  # a shop from before wallets, or one made by hand
        return Balance(0, 0)
