"""How campaigns stand and what they came to; what the provider says of their texts."""

from __future__ import annotations

from blossom.campaigns import queries
from blossom.campaigns import service as campaigns
from blossom.campaigns.api.examples import PROGRESS, STATS
from blossom.campaigns.api.rendering import (
    progress_answer,
    recipient_answer,
    stats_answer,
    status_answer,
)
from blossom.campaigns.api.routes import api
from blossom.campaigns.forms.answers import (
    ProgressAnswer,
    QueueStatsAnswer,
    RecipientsAnswer,
    RefreshAnswer,
    RefreshBulkAnswer,
    StatsAnswer,
    StatsListAnswer,
    StatusAnswer,
)
from blossom.campaigns.forms.inputs import RecipientsQuery, RefreshBulkInput, RefreshInput, StatsQuery
from blossom.messaging import queries as progress
from blossom.messaging import service as messaging
from blossom.platform.api import Principal, Reply, encode_pair

_ASKING = {"not_found": 404, "too_many_questions": 429}
_CACHE = {"X-Cache": "HIT when the figures were cached, else MISS. A change of them is never missed."}


@api.get("/campaigns/<int:campaign_id>/status", scope="campaigns:read", answer=StatusAnswer, summary="How it stands")
def campaign_status(caller: Principal, campaign_id: int) -> StatusAnswer:
    return status_answer(queries.get_campaign(caller.shop_id, campaign_id))


@api.get(
    "/campaigns/<int:campaign_id>/progress",
    scope="campaigns:read",
    answer=ProgressAnswer,
    summary="How far the texting is",
    description="total = sent + failed + skipped + cancelled + unconfirmed + pending.",
    answer_example=PROGRESS,
)
def campaign_progress(caller: Principal, campaign_id: int) -> ProgressAnswer:
    campaign = queries.get_campaign(caller.shop_id, campaign_id)
    found = progress.progress(caller.shop_id, campaign.dispatch_id) if campaign.dispatch_id else None
    return progress_answer(campaign, found)


@api.get(
    "/campaigns/<int:campaign_id>/recipients",
    scope="campaigns:read",
    query=RecipientsQuery,
    answer=RecipientsAnswer,
    summary="Who got it, and who did not",
    description="Phones are masked (`+30…408`) unless the key holds `contacts:read` as well.",
)
def campaign_recipients(caller: Principal, campaign_id: int, query: RecipientsQuery) -> RecipientsAnswer:
    campaign = queries.get_campaign(caller.shop_id, campaign_id)
    found = (
        progress.stretch(
            caller.shop_id,
            campaign.dispatch_id,
            state=query.status,
            exactly=True,
            after=progress.Place(*query.cursor) if query.cursor else None,
            limit=query.page_size,
        )
        if campaign.dispatch_id
        else progress.Stretch([], None)
    )
    return RecipientsAnswer(
        items=[
            recipient_answer(
                row, phone_in_clear="contacts:read" in caller.scopes, is_tested=campaign.ab_test is not None
            )
            for row in found.rows
        ],
        page_size=query.page_size,
        next_cursor=encode_pair(found.after.batch, found.after.message_id) if found.after else None,
    )


@api.get(
    "/campaigns/<int:campaign_id>/stats",
    scope="campaigns:read",
    answer=StatsAnswer,
    summary="What it came to",
    description="How a test of texts stands is counted anew each time.",
    headers=_CACHE,
    answer_example=STATS,
)
def campaign_stats(caller: Principal, campaign_id: int) -> Reply:
    campaign = queries.get_campaign(caller.shop_id, campaign_id)
    stats, cached = queries.campaign_stats(campaign)
    return Reply(
        stats_answer(stats, queries.ab_test(caller.shop_id, campaign)), {"X-Cache": "HIT" if cached else "MISS"}
    )


@api.get(
    "/campaigns/stats",
    scope="campaigns:read",
    query=StatsQuery,
    answer=StatsListAnswer,
    summary="What several came to",
    headers=_CACHE,
)
def many_stats(caller: Principal, query: StatsQuery) -> Reply:
    found = queries.stats_of(caller.shop_id, queries.many_campaigns(caller.shop_id, query.ids))
    answer = StatsListAnswer(
        items=[stats_answer(stats) for stats, _ in found.values()],
        not_found=[number for number in dict.fromkeys(query.ids) if number not in found],
    )
    return Reply(answer, {"X-Cache": "HIT" if found and all(cached for _, cached in found.values()) else "MISS"})


@api.get(
    "/campaigns/queue/stats",
    scope="operator",
    answer=QueueStatsAnswer,
    summary="The whole installation's queue; for its operator only",
)
def queue_stats(caller: Principal) -> QueueStatsAnswer:
    found = progress.queue_stats()
    return QueueStatsAnswer(
        waiting=found.waiting,
        active=found.active,
        completed=found.completed,
        failed=found.failed,
        total=found.total,
        per_second=found.per_second,
        oldest_due=found.oldest_due,
    )


@api.post(
    "/mitto/refresh-status",
    scope="campaigns:send",
    body=RefreshInput,
    answer=RefreshAnswer,
    summary="Ask the provider about one text",
    errors=_ASKING,
    own_transactions=True,
)
def refresh_status(caller: Principal, body: RefreshInput) -> RefreshAnswer:
    return _refreshed(campaigns.refresh_status(caller.shop_id, body.provider_message_id))


@api.post(
    "/mitto/refresh-status-bulk",
    scope="campaigns:send",
    body=RefreshBulkInput,
    answer=RefreshBulkAnswer,
    summary="Ask the provider about a campaign's texts",
    description=f"Up to {campaigns.MOST_AT_ONCE} of the last day that no receipt has told of, the oldest first.",
    errors=_ASKING,
    own_transactions=True,
)
def refresh_status_bulk(caller: Principal, body: RefreshBulkInput) -> RefreshBulkAnswer:
    results = [_refreshed(found) for found in campaigns.refresh_campaign(caller.shop_id, body.campaign_id)]
    return RefreshBulkAnswer(
        total=len(results),
        updated=sum(result.updated for result in results),
        failed=sum(result.error is not None for result in results),
        results=results,
    )


def _refreshed(found: messaging.Refreshed) -> RefreshAnswer:
    return RefreshAnswer(
        provider_message_id=found.provider_message_id,
        status=found.status,
        updated=found.status is not None,
        error=found.error,
    )
