"""What the page of a campaign shows at one moment, for whoever looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from blossom.campaigns import queries
from blossom.campaigns import service as campaigns
from blossom.campaigns.models import Campaign, StatusRefresh
from blossom.campaigns.queries import AbStanding
from blossom.campaigns.rules import causes, outcomes
from blossom.campaigns.rules.ab_test import AbTest
from blossom.campaigns.rules.outcomes import Outcome
from blossom.campaigns.rules.states import STATE_WORDS, Action, CampaignState, may
from blossom.campaigns.rules.tally import Cause, Tally
from blossom.campaigns.service import Figures
from blossom.campaigns.views.words import decided_after
from blossom.messaging import queries as messaging
from blossom.messaging.queries import Progress
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock, config, localised, pages
from blossom.platform.access import Principal
from blossom.platform.languages import reader, t
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop

RECEIPTS_AWAITED = timedelta(minutes=10)
"""For how long after the last text the page stays live for receipts."""


@dataclass(frozen=True)
class Viewer:
    """Who looks. `may_send`: may pause, cancel and send again. `may_read_phones`: sees numbers whole. `linked`: other
    pages are open to them as well, which a pass to one page does not do."""

    shop_id: int
    may_send: bool
    may_read_phones: bool
    linked: bool


def viewer(page: str) -> Viewer:
    """Raises as `pages.caller`; `Forbidden` without the right to read campaigns. `page`: the path that a pass opens."""
    caller = pages.caller(page)
    caller.require("campaigns:read")
    return of(caller)


def of(caller: Principal) -> Viewer:
    return Viewer(
        caller.shop_id,
        may_send="campaigns:send" in caller.scopes,
        may_read_phones="contacts:read" in caller.scopes,
        linked=caller.actor != "pass",
    )


@dataclass(frozen=True)
class Picture:
    """`progress` None: it was never sent. `figures` None: none are needed. `test`: how its texts do, if there are
    several. `settled`: nothing will change by itself. `awaited`: Shopify's segments that are read first, by name."""

    campaign: Campaign
    shop: Shop
    viewer: Viewer
    progress: Progress | None
    outcomes: list[Outcome]
    left_out: list[tuple[str, int]]
    figures: Figures | None
    refresh: StatusRefresh | None
    test: AbStanding | None
    settled: bool
    awaited: Sequence[str] = ()

    @property
    def state(self) -> str:
        return t(STATE_WORDS[self.campaign.state])

    @property
    def rule(self) -> AbTest | None:
        """How its texts are tested; None for the one text of most campaigns."""
        return AbTest.from_json(self.campaign.ab_test) if self.campaign.ab_test else None

    @property
    def decided_after(self) -> str:
        """How long after the test's last text its winner is decided, in words."""
        return decided_after(self.rule) if self.rule else ""

    @property
    def is_preparing(self) -> bool:
        return self.progress is not None and self.progress.state is DispatchState.PREPARING

    @property
    def failure(self) -> str | None:
        found = self.campaign if self.campaign.failure_text or self.progress is None else self.progress
        return t(causes.stopped(found.failure_code, found.failure_text, reader())) if found.failure_text else None

    @property
    def tally(self) -> Tally | None:
        return self.figures.tally if self.figures else None

    @property
    def skipped(self) -> list[tuple[str, int]]:
        if self.tally is None:
            return []
        return [(t(causes.skipped(reason)), people) for reason, people in self.tally.reasons.items()]

    @property
    def causes(self) -> list[tuple[causes.Words, Cause]]:
        """Why texts failed, the commonest first; words are for `t`."""
        found = self.tally.causes if self.tally else []
        return [(causes.words(each.error, each.delivery_status), each) for each in found]

    def may(self, action: str) -> bool:
        """Whether a button for it is shown; its value as of `Action`, or `refresh`, `retry_unconfirmed`."""
        if not (self.viewer.may_send and self.viewer.linked):
            return False
        state, progress = self.campaign.state, self.progress
        if action == "edit":
            return may(Action.EDIT, state)
        if action in ("pause", "resume"):
            return may(Action[action.upper()], state) and progress is not None
        if action == "cancel":
            return may(Action.CANCEL, state)
        if action == "choose_winner":
            return self.test is not None and self.test.may_choose
        if progress is None:
            return False
        if action == "refresh":
            return progress.sent > 0 and self._is_lately_sent
        if not may(Action.RETRY, state):
            return False
        if action == "retry_unconfirmed":
            return progress.unconfirmed > 0
        return progress.failed > 0 and (self.tally is None or self.tally.again > 0)

    @property
    def _is_lately_sent(self) -> bool:
        """Mitto is asked after texts of the last day alone (`messaging.refresh_unanswered`)."""
        at = self.progress.last_progress_at if self.progress else None
        return at is not None and at > clock.now() - timedelta(hours=config.current().unconfirmed_hours)

    @property
    def announcement(self) -> str:
        """For screen readers: changes every tenth of the way, not with every number."""
        if self.progress is None or not self.progress.total:
            return f"{self.state}."
        if self.campaign.state is CampaignState.SENDING:
            done = int(self.progress.percent // 10) * 10
            return t("%(state)s: %(percent)s percent done.", state=self.state, percent=done)
        if not self.settled:
            return t("%(state)s. Receipts are coming in.", state=self.state)
        told = [f"{t(each.label)} {localised.number(each.count, reader())}" for each in self.outcomes if each.count]
        return f"{self.state}. {', '.join(told)}."


def picture(looks: Viewer, campaign_id: int) -> Picture:
    """Raises `NotFound`."""
    campaign, shop = queries.get_campaign(looks.shop_id, campaign_id), shops.get_shop(looks.shop_id)
    if campaign.dispatch_id is None:
        unsent = (CampaignState.DRAFT, CampaignState.SCHEDULED)
        return Picture(campaign, shop, looks, None, [], [], None, None, None, settled=campaign.state not in unsent)
    progress = messaging.progress(looks.shop_id, campaign.dispatch_id)
    figures = campaigns.figures(campaign, progress) if progress.failed or progress.skipped else None
    refresh = queries.refresh_of(looks.shop_id, campaign.id)
    is_asking = refresh is not None and refresh.ended_at is None
    return Picture(
        campaign,
        shop,
        looks,
        progress,
        outcomes.outcomes(counts_of(progress), progress.total),
        left_out=_left_out(progress),
        figures=figures,
        refresh=refresh,
        test=queries.ab_test(looks.shop_id, campaign),
        settled=_is_settled(campaign, progress) and (figures is None or figures.good) and not is_asking,
        awaited=_awaited(campaign, progress),
    )


def _awaited(campaign: Campaign, progress: Progress) -> list[str]:
    if progress.state is not DispatchState.PREPARING or campaign.audience is None:
        return []
    readings = campaigns.readings_of(campaign.shop_id, Audience.from_json(campaign.audience))
    return [each.name for each in readings if not each.is_fresh(clock.now())]


def counts_of(progress: Progress) -> dict[str, int]:
    """A dispatch's counts by state."""
    return {key: getattr(progress, key) for key in outcomes.STATES}


def _is_settled(campaign: Campaign, progress: Progress) -> bool:
    """Whether the counts stand still: the campaign has ended, and its receipts are in or long overdue."""
    if campaign.finished_at is None or progress.finished_at is None:
        return False
    return progress.sent == 0 or clock.now() > progress.finished_at + RECEIPTS_AWAITED


def _left_out(progress: Progress) -> list[tuple[str, int]]:
    told: dict[str, int] = {}
    for reason, people in progress.left_out.items():
        words = t(causes.skipped(reason))
        told[words] = told.get(words, 0) + people
    return sorted(((words, people) for words, people in told.items() if people), key=lambda row: -row[1])
