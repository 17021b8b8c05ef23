"""What the home page shows, gathered from the domains."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.campaigns import queries as campaigns
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import CampaignStats
from blossom.contacts import queries as contacts
from blossom.platform.errors import NotFound
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.rules import Balance

CAMPAIGNS_SHOWN = 20


@dataclass(frozen=True)
class Home:
    """`campaigns`: a page of them, the newest first, with figures. `older_than`: what the next page begins at."""

    shop: Shop
    contacts: int
    credits: Balance
    campaigns: list[tuple[Campaign, CampaignStats]]
    campaigns_total: int
    older_than: int | None


def home(shop_id: int, before_id: int | None = None) -> Home:
    """The shop's figures now. `before_id`: campaigns older than that one. Raises `NotFound` without such a shop."""
    shop = shops.get_shop(shop_id)
    found, total = campaigns.list_campaigns(shop_id, before_id=before_id, limit=CAMPAIGNS_SHOWN + 1)
    shown = found[:CAMPAIGNS_SHOWN]
    stats = campaigns.stats_of(shop_id, shown)
    return Home(
        shop=shop,
        contacts=contacts.count(shop_id),
        credits=_credits(shop_id),
        campaigns=[(campaign, stats[campaign.id][0]) for campaign in shown],
        campaigns_total=total,
        older_than=shown[-1].id if len(found) > len(shown) else None,
    )


def _credits(shop_id: int) -> Balance:
    try:
        return wallet.balance(shop_id)
    except NotFound:  # a shop from before wallets, or one made by hand
        return Balance(0, 0)
