"""`/campaigns/<id>/results`: what a campaign came to. Nothing is counted in the request but for small campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flask import Response

from blossom.campaigns import errors, queries
from blossom.campaigns import service as campaigns
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import AbStanding, TextStanding
from blossom.campaigns.rules import causes, charts
from blossom.campaigns.rules.ab_test import AbTest
from blossom.campaigns.rules.charts import Chart, Series, Step
from blossom.campaigns.rules.tally import Cause, Country, Tally
from blossom.campaigns.service import Figures
from blossom.campaigns.views import words
from blossom.campaigns.views.routes import views
from blossom.messaging import queries as messaging
from blossom.messaging.queries import Progress
from blossom.platform import htmx, languages, localised, pages
from blossom.platform.languages import noted, t
from blossom.shops import queries as shops
from blossom.shops.models import Shop

_STEPS = {
    "recipients": noted("Recipients"),
    "left": noted("Handed to Mitto"),
    "delivered": noted("Delivered"),
    "clicked": noted("Opened a link"),
}
EVENTS = {"delivered": noted("Delivered"), "failed": noted("Failed")}
CLICKS = {"clicked": noted("Opened their first link")}


@dataclass(frozen=True)
class Drawn:
    """A series with its picture and the words for its events and times."""

    series: Series
    chart: Chart
    events: dict[str, str]
    labels: list[str]

    @property
    def lasts(self) -> str:
        """How much time a column stands for."""
        minutes = self.series.minutes
        if minutes >= 1440:
            return t("%(number)s days", number=minutes // 1440) if minutes > 1440 else t("a day")
        if minutes >= 60:
            return t("%(number)s hours", number=minutes // 60) if minutes > 60 else t("an hour")
        return t("%(number)s minutes", number=minutes) if minutes > 1 else t("a minute")


@dataclass(frozen=True)
class Results:
    """What the page and the report tell. `tally` None: it is being counted for the first time. `test`: how the texts
    did, if there are several."""

    campaign: Campaign
    shop: Shop
    progress: Progress
    figures: Figures
    test: AbStanding | None

    @property
    def tally(self) -> Tally | None:
        return self.figures.tally

    @property
    def rule(self) -> AbTest | None:
        """How its texts were tested."""
        return AbTest.from_json(self.campaign.ab_test) if self.campaign.ab_test else None

    @property
    def decided_after(self) -> str:
        """How long after the test's last text its winner is decided, in words."""
        return words.decided_after(self.rule) if self.rule else ""

    @property
    def compared(self) -> list[tuple[TextStanding, float]]:
        """Each text with the length of its bar: in percent of the longest, which is the text opened most."""
        texts = self.test.texts if self.test else []
        most = max((each.clicked_rate or 0 for each in texts), default=0)
        return [(each, 100 * (each.clicked_rate or 0) / most if most else 0.0) for each in texts]

    @property
    def left(self) -> int:
        """Texts that left, whatever became of them (spec §2: sent + delivered + failed)."""
        return self.progress.sent + self.progress.delivered + self.progress.failed

    @property
    def delivered_rate(self) -> float | None:
        """In percent."""
        return 100 * self.progress.delivered / self.left if self.left else None

    @property
    def funnel(self) -> list[tuple[str, Step]]:
        """Each step with its name."""
        steps = [("recipients", self.progress.total), ("left", self.left), ("delivered", self.progress.delivered)]
        if self.tally is not None and self.tally.clickers is not None:
            steps.append(("clicked", self.tally.clickers))
        return [(t(_STEPS[step.key]), step) for step in charts.funnel(steps)]

    @property
    def over_time(self) -> Drawn | None:
        return self._drawn(EVENTS)

    @property
    def clicks_over_time(self) -> Drawn | None:
        return self._drawn(CLICKS)

    @property
    def countries(self) -> list[tuple[str, Country]]:
        """Each country with its name in the reader's language."""
        found = self.tally.countries if self.tally else []
        return [(languages.country(each.country), each) for each in found]

    @property
    def causes(self) -> list[tuple[causes.Words, Cause]]:
        found = self.tally.causes if self.tally else []
        return [(causes.words(each.error, each.delivery_status), each) for each in found]

    def _drawn(self, events: Mapping[str, str]) -> Drawn | None:
        series = charts.over_time(self.tally.minutes if self.tally else {}, list(events), self.shop.timezone)
        if not series.buckets:
            return None
        named = {event: t(label) for event, label in events.items()}
        labels = [_label(bucket.begins, series.minutes, self.shop.timezone) for bucket in series.buckets]
        return Drawn(series, charts.columns(series, list(events)), named, labels)


@views.get("/campaigns/<int:campaign_id>/results")
def results(campaign_id: int) -> Response:
    """The page; its part asks for itself anew until the figures are good."""
    caller = pages.caller_with("campaigns:read")
    return htmx.page_or_partial(
        "campaigns/results.html", "campaigns/_results.html", results=results_of(caller.shop_id, campaign_id)
    )


def results_of(shop_id: int, campaign_id: int) -> Results:
    """Raises `NotFound`, `NothingSent`."""
    campaign = queries.get_campaign(shop_id, campaign_id)
    if campaign.dispatch_id is None:
        raise errors.NothingSent()
    progress = messaging.progress(shop_id, campaign.dispatch_id)
    test = queries.ab_test(shop_id, campaign)
    return Results(campaign, shops.get_shop(shop_id), progress, campaigns.figures(campaign, progress), test)


def _label(begins: datetime, minutes: int, zone: str) -> str:
    """When a bucket begins, in the zone: its day; with the time of day where buckets are shorter."""
    locale = languages.reader()
    if minutes >= 1440:
        return localised.day(begins, zone, locale)
    return f"{localised.day(begins, zone, locale)}, {localised.clock_time(begins, zone)}"
