"""From rows to answers."""

from __future__ import annotations

from blossom.campaigns.forms.answers import (
    AbStandingAnswer,
    AbTestAnswer,
    CampaignAnswer,
    CampaignPreviewAnswer,
    CountryCostAnswer,
    CreditAnswer,
    FailureAnswer,
    ProgressAnswer,
    PutOffAnswer,
    ReasonAnswer,
    RecipientAnswer,
    SampleAnswer,
    ScheduleAnswer,
    StatsAnswer,
    StatusAnswer,
    TextPreviewAnswer,
    TextStandingAnswer,
)
from blossom.campaigns.models import Campaign
from blossom.campaigns.queries import AbStanding, CampaignStats
from blossom.campaigns.rules.ab_test import LETTERS
from blossom.campaigns.rules.schedule import ScheduleKind
from blossom.campaigns.rules.states import Priority
from blossom.messaging.queries import Preview, Progress, RecipientRow, Sample
from blossom.wallet.rules import Balance


def campaign_answer(campaign: Campaign, stats: CampaignStats | None = None) -> CampaignAnswer:
    return CampaignAnswer(
        id=campaign.id,
        name=campaign.name,
        body=campaign.body,
        ab_test=AbTestAnswer(**campaign.ab_test) if campaign.ab_test else None,
        audience=campaign.audience,
        status=campaign.state,
        priority=Priority(campaign.priority),
        schedule=_schedule(campaign),
        dispatch_id=campaign.dispatch_id,
        failure=_failure(campaign.failure_code, campaign.failure_text),
        started_at=campaign.started_at,
        finished_at=campaign.finished_at,
        created_at=campaign.created_at,
        updated_at=campaign.updated_at,
        version=campaign.version,
        stats=None if stats is None else stats_answer(stats),
    )


def status_answer(campaign: Campaign) -> StatusAnswer:
    return StatusAnswer(
        id=campaign.id,
        status=campaign.state,
        dispatch_id=campaign.dispatch_id,
        failure=_failure(campaign.failure_code, campaign.failure_text),
        started_at=campaign.started_at,
        finished_at=campaign.finished_at,
    )


def stats_answer(stats: CampaignStats, standing: AbStanding | None = None) -> StatsAnswer:
    answer = StatsAnswer.model_validate(stats, from_attributes=True)
    return answer.model_copy(update={"ab_test": _standing(standing)}) if standing else answer


def _standing(standing: AbStanding) -> AbStandingAnswer:
    return AbStandingAnswer(
        texts=[
            TextStandingAnswer(
                text=each.letter,
                share=each.share,
                recipients=each.recipients,
                sent=each.sent,
                delivered=each.delivered,
                failed=each.failed,
                clicked=each.clicked,
                is_winner=each.is_winner,
            )
            for each in standing.texts
        ],
        waiting=standing.waiting,
        decides_at=standing.decides_at,
        winner=None if standing.winner is None else LETTERS[standing.winner],
        chosen_by=standing.chosen_by,
        chosen_at=standing.chosen_at,
    )


def progress_answer(campaign: Campaign, progress: Progress | None) -> ProgressAnswer:
    """`progress` None: the campaign was never sent."""
    if progress is None:
        counts = dict.fromkeys(
            ("total", "processed", "sent", "delivered", "failed", "pending", "sending", "skipped", "cancelled"), 0
        )
        return ProgressAnswer(
            id=campaign.id,
            status=campaign.state,
            **counts,
            unconfirmed=0,
            waiting=0,
            progress=0,
            percent=0,
            messages_per_second=0,
            seconds_left=None,
            next_due_at=None,
            left_out={},
            failure=_failure(campaign.failure_code, campaign.failure_text),
        )
    return ProgressAnswer(
        id=campaign.id,
        status=campaign.state,
        total=progress.total,
        processed=progress.processed,
        sent=progress.sent + progress.delivered,
        delivered=progress.delivered,
        failed=progress.failed,
        pending=progress.pending + progress.sending,
        sending=progress.sending,
        waiting=progress.waiting,
        skipped=progress.skipped,
        cancelled=progress.cancelled,
        unconfirmed=progress.unconfirmed,
        progress=progress.percent,
        percent=progress.percent,
        messages_per_second=progress.messages_per_second,
        seconds_left=progress.seconds_left,
        next_due_at=progress.next_due_at,
        left_out=progress.left_out,
        failure=_failure(progress.failure_code, progress.failure_text),
    )


def preview_answer(preview: Preview) -> CampaignPreviewAnswer:
    expected = preview.estimate
    sizes = expected.by_segments
    return CampaignPreviewAnswer(
        recipient_count=expected.recipients,
        left_out=preview.left_out,
        estimated_cost=expected.credits,
        segments_total=expected.segments,
        segments_min=min(sizes, default=None),
        segments_max=max(sizes, default=None),
        cost_by_country=[
            CountryCostAnswer(
                country=cost.country, recipients=cost.recipients, segments=cost.segments, credits=cost.credits
            )
            for cost in expected.by_country
        ],
        samples=[_sample(sample) for sample in preview.samples],
        texts=[
            TextPreviewAnswer(
                text=LETTERS[each.number],
                share=each.share,
                recipients=each.people,
                segments_min=min(each.of_all.by_segments, default=None),
                segments_max=max(each.of_all.by_segments, default=None),
                estimated_cost=each.credits,
                sample=_sample(each.sample) if each.sample else None,
            )
            for each in preview.texts
        ],
        can_send=preview.can_send,
        reasons=[
            ReasonAnswer(code=objection.code, message=objection.message, actionable=objection.actionable)
            for objection in preview.objections
        ],
        credit=_credit(preview.credit),
        first_at=preview.first_at,
        last_at=preview.last_at,
        put_off=[PutOffAnswer(until=until, recipients=number) for until, number in preview.put_off.items()],
    )


def _sample(sample: Sample) -> SampleAnswer:
    return SampleAnswer(
        contact_id=sample.contact_id,
        phone=sample.phone_masked,
        text=sample.text,
        segments=sample.segments,
        encoding=sample.encoding,
    )


def refused_preview(reasons: list[ReasonAnswer], credit: Balance) -> CampaignPreviewAnswer:
    """Of a campaign that can't be counted: its text is faulty, or nobody was chosen."""
    return CampaignPreviewAnswer(
        recipient_count=None,
        left_out={},
        estimated_cost=None,
        segments_total=None,
        segments_min=None,
        segments_max=None,
        cost_by_country=[],
        samples=[],
        texts=[],
        can_send=False,
        reasons=reasons,
        credit=_credit(credit),
        first_at=None,
        last_at=None,
        put_off=[],
    )


def recipient_answer(row: RecipientRow, *, phone_in_clear: bool, is_tested: bool = False) -> RecipientAnswer:
    """`is_tested`: the campaign has several texts."""
    return RecipientAnswer(
        id=row.id,
        phone=row.phone if phone_in_clear or row.phone is None else f"{row.phone[:3]}…{row.phone[-3:]}",
        country=row.country,
        text=LETTERS[row.text_number] if is_tested and row.text_number is not None else None,
        status=row.state,
        reason=row.reason,
        error=row.error,
        delivery_status=row.delivery_status,
        mitto_message_id=row.provider_message_id,
        bulk_id=row.bulk_id,
        due_at=row.due_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        failed_at=row.failed_at,
        retry_count=row.retry_count,
        segments=row.segments,
        credits=row.credits,
    )


def _schedule(campaign: Campaign) -> ScheduleAnswer | None:
    if campaign.schedule_kind is None or campaign.due_at is None:
        return None
    return ScheduleAnswer(
        kind=ScheduleKind(campaign.schedule_kind),
        at=campaign.scheduled_at,
        local_at=campaign.local_at.isoformat() if campaign.local_at else None,
        due_at=campaign.due_at,
    )


def _failure(code: str | None, text: str | None) -> FailureAnswer | None:
    return FailureAnswer(code=code, message=text) if code else None


def _credit(balance: Balance) -> CreditAnswer:
    return CreditAnswer(balance=balance.balance, reserved=balance.reserved, available=balance.available)
