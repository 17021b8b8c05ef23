"""What the campaigns' routes answer. Times are UTC; credits are whole numbers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from blossom.campaigns.rules.ab_test import Winner
from blossom.campaigns.rules.schedule import ScheduleKind
from blossom.campaigns.rules.states import CampaignState, Priority
from blossom.messaging.rules.states import MessageState
from blossom.platform.api import Answer, Page

_NOT_YET = "null until discounts and reports exist: it can't be known yet."
_UNCOUNTED = "null when it can't be counted: the text is faulty, or nobody was chosen."


class TextStandingAnswer(Answer):
    """What one of several texts came to so far."""

    text: str = Field(description="Its letter.")
    share: int = Field(description="Per cent of the audience that it is tried on.")
    recipients: int = Field(description="Who got it or is to; of the winner, the rest too.")
    sent: int = Field(description="Those of them without a final word yet.")
    delivered: int
    failed: int
    clicked: int = Field(description="People who have opened a link of it.")
    is_winner: bool


class AbStandingAnswer(Answer):
    """How a test of texts stands."""

    texts: list[TextStandingAnswer]
    waiting: int = Field(description="People of the rest, who get the winner.")
    decides_at: datetime | None = Field(
        description="When clicks decide; null while the test goes on, where somebody is to choose, and once it is over."
    )
    winner: str | None = Field(description="Its letter.")
    chosen_by: str | None = Field(description="`clicks`, or who chose.")
    chosen_at: datetime | None


class StatsAnswer(Answer):
    """What a campaign came to."""

    campaign_id: int
    sent: int = Field(description="Sent, delivered and failed ones.")
    delivered: int
    failed: int
    unsubscribes: int = Field(description="Recipients who opted out themselves, this being the last text before it.")
    clicks: int | None = Field(
        description="Links that recipients have opened, each recipient's link once; null for a text that shortens none."
    )
    redemptions: int | None = Field(description=_NOT_YET)
    orders: int | None = Field(description=_NOT_YET)
    revenue: int | None = Field(description="Minor units of the shop's currency; " + _NOT_YET)
    delivered_rate: float | None = Field(description="delivered / sent, 0 to 1; null when nothing was sent.")
    conversion_rate: float | None = Field(description="redemptions / delivered, 0 to 1; " + _NOT_YET)
    first_sent_at: datetime | None
    ab_test: AbStandingAnswer | None = Field(
        default=None, description="Of a campaign that tests texts and is sent; only where one campaign was asked for."
    )


class StatsListAnswer(Answer):
    """The figures of several campaigns."""

    items: list[StatsAnswer]
    not_found: list[int] = Field(description="Ids that were asked for and that no campaign of this shop has.")


class ScheduleAnswer(Answer):
    """When a campaign is planned for."""

    kind: ScheduleKind
    at: datetime | None = Field(description="The moment, when `kind` is `at`.")
    local_at: str | None = Field(description="The recipients' wall time, when `kind` is `local`; it has no offset.")
    due_at: datetime = Field(
        description="When the campaign is taken up; for `local`, when the time comes first anywhere."
    )


class FailureAnswer(Answer):
    """Why a campaign failed, or stopped."""

    code: str
    message: str | None


class AbTestAnswer(Answer):
    """Several texts, each on a share of the audience."""

    texts: list[str] = Field(description="Texts B, C and D; the campaign's own is A.")
    shares: list[int] = Field(description="Whole per cent, one for each text with A.")
    winner: Winner | None = Field(description="null when all are shared out, so that there is no rest.")
    after_minutes: int | None


class CampaignAnswer(Answer):
    """A campaign."""

    id: int
    name: str
    body: str
    ab_test: AbTestAnswer | None
    audience: dict[str, Any] | None
    status: CampaignState
    priority: Priority
    schedule: ScheduleAnswer | None
    dispatch_id: int | None
    failure: FailureAnswer | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int
    stats: StatsAnswer | None = Field(description="Only in a list that was asked for with `withStats`.")


class CampaignPage(Page[CampaignAnswer]):
    """Campaigns, the newest first."""


class StatusAnswer(Answer):
    """How a campaign stands."""

    id: int
    status: CampaignState
    dispatch_id: int | None
    failure: FailureAnswer | None
    started_at: datetime | None
    finished_at: datetime | None


class CancelAnswer(StatusAnswer):
    """A cancelled campaign, and what that stopped."""

    left: int = Field(description="Texts that have left, or may have.")
    cancelled: int = Field(description="Texts that never will.")
    in_flight: int = Field(description="Texts in calls being made; they end by themselves.")
    released_credits: int = Field(description="Set free by this call; 0 when it had been cancelled before.")


class RetryAnswer(StatusAnswer):
    """A campaign that is being sent again in part."""

    retried: int
    left_out: dict[str, int] = Field(description="Reason → messages that are not sent again.")
    credits: int = Field(description="Held for it.")


class TestSendAnswer(Answer):
    """A test that is on its way."""

    dispatch_id: int
    recipients: int


class ProgressAnswer(Answer):
    """How far the texting is."""

    id: int
    status: CampaignState
    total: int
    processed: int = Field(description="Those with an outcome.")
    sent: int = Field(description="Those that the provider took; with the delivered ones.")
    delivered: int
    failed: int
    pending: int = Field(description="Those still to go, with those in a call being made (`sending`).")
    sending: int
    waiting: int = Field(description="Those of `pending` who get the winner of a test that is not known yet.")
    skipped: int
    cancelled: int
    unconfirmed: int
    progress: float = Field(description="0 to 100.")
    percent: float = Field(description="The same as `progress`.")
    messages_per_second: float = Field(description="Over the last ten seconds.")
    seconds_left: int | None = Field(description="null when nothing moves.")
    next_due_at: datetime | None = Field(description="When the next recipients that wait may be texted.")
    left_out: dict[str, int] = Field(description="Reason → people of the audience who get no text.")
    failure: FailureAnswer | None


class CountryCostAnswer(Answer):
    """What a country's texts cost."""

    country: str
    recipients: int
    segments: int
    credits: int


class SampleAnswer(Answer):
    """The text as one real recipient would get it."""

    contact_id: int
    phone: str = Field(description="Masked.")
    text: str
    segments: int
    encoding: str


class TextPreviewAnswer(Answer):
    """One of several texts."""

    text: str = Field(description="Its letter.")
    share: int
    recipients: int = Field(description="So many it is tried on.")
    segments_min: int | None
    segments_max: int | None
    estimated_cost: int = Field(description="Of trying it, about: who gets it is left to chance.")
    sample: SampleAnswer | None


class CreditAnswer(Answer):
    """The shop's credits."""

    balance: int
    reserved: int
    available: int


class ReasonAnswer(Answer):
    """Why it can't be sent."""

    code: str
    message: str
    actionable: str | None
    text: str | None = Field(default=None, description="The letter of the text that is at fault, if there are several.")
    line: int | None = None
    column: int | None = None


class PutOffAnswer(Answer):
    """Recipients who wait until quiet hours end."""

    until: datetime
    recipients: int


class CampaignPreviewAnswer(Answer):
    """Whom sending would reach and what it would cost."""

    recipient_count: int | None = Field(description=_UNCOUNTED)
    left_out: dict[str, int] = Field(description="Reason → people of the audience who get no text.")
    estimated_cost: int | None = Field(
        description="Credits; of several texts, the most that they can take; " + _UNCOUNTED
    )
    segments_total: int | None = Field(description=_UNCOUNTED)
    segments_min: int | None = Field(description="Of one text; null as well when it would reach nobody.")
    segments_max: int | None = Field(description="Of one text; null as well when it would reach nobody.")
    cost_by_country: list[CountryCostAnswer]
    samples: list[SampleAnswer]
    texts: list[TextPreviewAnswer] = Field(description="Each of the texts that are tested; empty without a test.")
    can_send: bool
    reasons: list[ReasonAnswer]
    credit: CreditAnswer
    first_at: datetime | None = Field(description="When the first recipient may get it.")
    last_at: datetime | None = Field(description="When the last may.")
    put_off: list[PutOffAnswer] = Field(description="Who is asleep at the planned time, and gets it in their morning.")


class RecipientAnswer(Answer):
    """One text to one person."""

    id: int
    phone: str | None = Field(description="Masked for a key without `contacts:read`.")
    country: str
    text: str | None = Field(
        description="The letter of the text that they get; null without a test, and while the winner is not known."
    )
    status: MessageState
    reason: str | None = Field(description="Of a skip.")
    error: str | None
    delivery_status: str | None = Field(description="The provider's own word.")
    mitto_message_id: str | None
    bulk_id: str | None
    due_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    failed_at: datetime | None
    retry_count: int
    segments: int
    credits: int


class RecipientsAnswer(Answer):
    """A campaign's recipients."""

    items: list[RecipientAnswer]
    page_size: int
    next_cursor: str | None


class QueueStatsAnswer(Answer):
    """Batches of the whole installation, of dispatches that are open or ended in the last 24 hours."""

    waiting: int
    active: int
    completed: int
    failed: int
    total: int
    per_second: float = Field(description="Texts a second, over the last minute.")
    oldest_due: datetime | None = Field(description="Since when the oldest batch waits that could go.")


class RefreshAnswer(Answer):
    """What the provider says of a text now."""

    provider_message_id: str
    status: str | None = Field(
        description="The provider's word; null when it does not know the id, or was not reached."
    )
    updated: bool
    error: str | None


class RefreshBulkAnswer(Answer):
    """What the provider says of up to 100 texts that no receipt has told of."""

    total: int
    updated: int
    failed: int
    results: list[RefreshAnswer]
