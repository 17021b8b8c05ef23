from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from blossom.audit import queries as audit
from blossom.campaigns import errors, queries, service
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState, Priority
from blossom.consent import service as consent
from blossom.consent.rules import Source
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchState
from blossom.platform import clock
from blossom.platform.errors import InvalidInput, NotFound
from blossom.segments import service as segments
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet.errors import InsufficientCredit
from tests.factories.campaigns import (
    add_messages,
    create_campaign,
    create_completed,
    create_sending,
    end_dispatch,
    make_ready,
)
from tests.factories.consent import create_subscriber
from tests.factories.wallet import create_wallet, end_prices
from tests.personas import Personas

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TOMORROW = datetime.fromisoformat("2026-11-21T10:00")  # on the shop's clocks


@pytest.fixture
def ours(personas: Personas) -> Shop:
    make_ready(personas.ours)
    return personas.ours


def _state(session: Session, campaign: Campaign) -> CampaignState:
    session.refresh(campaign)
    return campaign.state


def _dispatches(session: Session) -> list[Dispatch]:
    return list(session.scalars(select(Dispatch)))


# --- written, changed, thrown away


def test_a_draft_may_be_unfinished(ours: Shop) -> None:
    campaign = service.create_campaign(ours.id, name="Later", actor="test")
    assert (campaign.state, campaign.body, campaign.audience, campaign.version) == (CampaignState.DRAFT, "", None, 1)


def test_an_audience_names_segments_of_the_shop_only(ours: Shop, personas: Personas) -> None:
    theirs = segments.create_segment(personas.theirs.id, "Theirs")
    with pytest.raises(InvalidInput):
        create_campaign(ours, audience=Audience(segments=(theirs.id,)))
    mine = segments.create_segment(ours.id, "Mine")
    assert create_campaign(ours, audience=Audience(segments=(mine.id,))).audience == {"segments": [mine.id]}


def test_a_change_counts_the_version_and_refuses_who_read_an_older_one(ours: Shop) -> None:
    campaign = create_campaign(ours)
    service.update_campaign(ours.id, campaign.id, {"name": "Sale 2"}, version=1, actor="test")
    assert (campaign.name, campaign.version) == ("Sale 2", 2)
    with pytest.raises(errors.ChangedMeanwhile):
        service.update_campaign(ours.id, campaign.id, {"name": "Sale 3"}, version=1, actor="test")
    assert campaign.name == "Sale 2"


def test_a_planned_campaign_stays_fit_for_its_hour(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
    with pytest.raises(errors.CannotSend):
        service.update_campaign(ours.id, campaign.id, {"body": "Hi {{ nobody }}"}, actor="test")
    session.refresh(campaign)
    assert "nobody" not in campaign.body
    service.update_campaign(ours.id, campaign.id, {"body": "Better. Reply STOP to opt out"}, actor="test")
    assert campaign.body.startswith("Better")


def test_what_never_left_can_be_thrown_away(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    service.delete_campaign(ours.id, campaign.id, actor="test")
    with pytest.raises(NotFound):
        queries.get_campaign(ours.id, campaign.id)


def test_what_was_sent_is_kept(ours: Shop) -> None:
    sending = create_sending(ours)
    with pytest.raises(errors.InvalidStatus):
        service.delete_campaign(ours.id, sending.id, actor="test")
    service.cancel_campaign(ours.id, sending.id, actor="test")
    with pytest.raises(errors.InvalidStatus):
        service.delete_campaign(ours.id, sending.id, actor="test")


def test_a_copy_is_a_draft_whatever_became_of_the_original(ours: Shop) -> None:
    original = create_completed(ours, priority=Priority.HIGH)
    copy = service.duplicate_campaign(ours.id, original.id, actor="test")
    assert copy.state is CampaignState.DRAFT
    assert (copy.name, copy.body, copy.audience) == ("Sale (copy)", original.body, original.audience)
    assert (copy.priority, copy.dispatch_id) == ("high", None)


# --- planned


def test_planned_at_a_moment_of_the_shops_clocks_and_planned_anew(ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
        assert campaign.state is CampaignState.SCHEDULED
        assert campaign.scheduled_at == campaign.due_at == datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, local=True, actor="test")
    assert (campaign.schedule_kind, campaign.scheduled_at, campaign.local_at) == ("local", None, TOMORROW)
    assert campaign.due_at == datetime(2026, 11, 20, 20, 0, tzinfo=UTC)


def test_taken_off_its_schedule_it_is_a_draft(ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
    for _ in range(2):
        service.unschedule_campaign(ours.id, campaign.id, actor="test")
        assert (campaign.state, campaign.due_at, campaign.schedule_kind) == (CampaignState.DRAFT, None, None)


@pytest.mark.parametrize(
    "overrides", [{"body": "Hi {{ first_nam }}"}, {"body": ""}, {"audience": None}], ids=["faulty", "empty", "nobody"]
)
def test_what_could_not_be_sent_at_any_hour_is_not_planned(
    session: Session, ours: Shop, overrides: dict[str, object]
) -> None:
    campaign = create_campaign(ours, **overrides)
    with clock.frozen_at(NOW), pytest.raises(errors.CannotSend) as refused:
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
    assert refused.value.details["reasons"]
    assert _state(session, campaign) is CampaignState.DRAFT


def test_a_time_that_has_passed_is_refused(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW), pytest.raises(errors.InvalidSchedule):
        service.schedule_campaign(ours.id, campaign.id, datetime.fromisoformat("2026-11-20T13:59"), actor="test")
    assert _state(session, campaign) is CampaignState.DRAFT


# --- enqueued


def test_enqueued_it_is_sending_and_owns_a_dispatch(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours, body="Sale until Sunday", priority=Priority.LOW)
    with clock.frozen_at(NOW):
        service.enqueue_campaign(ours.id, campaign.id, actor="test")
    [dispatch] = _dispatches(session)
    assert (campaign.state, campaign.dispatch_id, campaign.started_at) == (CampaignState.SENDING, dispatch.id, NOW)
    assert (dispatch.shop_id, dispatch.state, dispatch.on_change) == (ours.id, "preparing", "campaigns.settle")
    assert dispatch.audience == {"all": True}
    assert dispatch.source == "Sale until Sunday\nReply STOP to opt out"


def test_enqueued_again_it_gives_the_same_answer(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    again = service.enqueue_campaign(ours.id, campaign.id, actor="test")
    assert again.dispatch_id == campaign.dispatch_id
    assert len(_dispatches(session)) == 1


def test_a_planned_campaign_enqueued_by_hand_goes_now(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
        service.enqueue_campaign(ours.id, campaign.id, actor="test")
    assert (campaign.state, campaign.schedule_kind) == (CampaignState.SENDING, None)
    assert _dispatches(session)[0].not_before is None


def test_a_paused_one_enqueued_goes_on_with_the_same_dispatch(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    service.pause_campaign(ours.id, campaign.id, actor="test")
    service.enqueue_campaign(ours.id, campaign.id, actor="test")
    assert campaign.state is CampaignState.SENDING
    [dispatch] = _dispatches(session)
    assert dispatch.state == "preparing"


@pytest.mark.parametrize("state", ["completed", "sent", "failed", "cancelled"])
def test_what_has_ended_is_not_enqueued(session: Session, ours: Shop, state: str) -> None:
    campaign = create_campaign(ours)
    session.execute(
        text("UPDATE campaigns SET state = :state, finished_at = now() WHERE id = :id"),
        {"state": state, "id": campaign.id},
    )
    with pytest.raises(errors.InvalidStatus) as refused:
        service.enqueue_campaign(ours.id, campaign.id, actor="test")
    assert refused.value.details["status"] == ("completed" if state == "sent" else state)
    assert _dispatches(session) == []


def _without_people(shop: Shop) -> None:
    create_wallet(shop.id)


def _without_prices(shop: Shop) -> None:
    make_ready(shop)
    end_prices()


def _without_credit(shop: Shop) -> None:
    make_ready(shop, credits=1)


@pytest.mark.parametrize(
    ("prepare", "overrides", "code"),
    [
        (make_ready, {"body": "Hi {{ first_nam }}"}, "unknown_variable"),
        (make_ready, {"audience": None}, "no_audience"),
        (_without_people, {}, "no_recipients"),
        (_without_prices, {}, "no_prices"),
    ],
)
def test_what_is_not_fit_is_refused_with_reasons_and_left_as_it_was(
    session: Session,
    personas: Personas,
    prepare: Callable[[Shop], None],
    overrides: dict[str, object],
    code: str,
) -> None:
    prepare(personas.ours)
    campaign = create_campaign(personas.ours, **overrides)
    with pytest.raises(errors.CannotSend) as refused:
        service.enqueue_campaign(personas.ours.id, campaign.id, actor="test")
    assert code in [reason["code"] for reason in refused.value.details["reasons"]]
    assert _state(session, campaign) is CampaignState.DRAFT
    assert (campaign.started_at, _dispatches(session)) == (None, [])


def test_too_little_credit_is_refused_with_what_is_missing(session: Session, personas: Personas) -> None:
    _without_credit(personas.ours)
    campaign = create_campaign(personas.ours)
    with pytest.raises(InsufficientCredit) as refused:
        service.enqueue_campaign(personas.ours.id, campaign.id, actor="test")
    assert refused.value.details["missing"] > 0
    assert _state(session, campaign) is CampaignState.DRAFT


def test_a_segment_thrown_away_since_is_a_reason(session: Session, ours: Shop) -> None:
    segment = segments.create_segment(ours.id, "Mine")
    campaign = create_campaign(ours, audience=Audience(segments=(segment.id,)))
    session.execute(text("DELETE FROM segments WHERE id = :id"), {"id": segment.id})
    with pytest.raises(errors.CannotSend) as refused:
        service.enqueue_campaign(ours.id, campaign.id, actor="test")
    assert refused.value.details["reasons"][0]["code"] == "segment_gone"


# --- by the clock


def test_when_its_hour_has_come_it_is_sent_and_only_once(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
    due_at = campaign.due_at
    assert due_at is not None
    assert queries.due_campaigns(due_at - timedelta(seconds=1)) == []
    assert service.enqueue_due_campaign(ours.id, campaign.id, due_at - timedelta(seconds=1)) is None
    assert queries.due_campaigns(due_at) == [(ours.id, campaign.id)]
    assert service.enqueue_due_campaign(ours.id, campaign.id, due_at) is campaign
    assert service.enqueue_due_campaign(ours.id, campaign.id, due_at) is None
    [dispatch] = _dispatches(session)
    assert (campaign.state, dispatch.not_before) == (CampaignState.SENDING, due_at)


def test_a_local_time_goes_to_messaging_as_it_is(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, local=True, actor="test")
        service.enqueue_due_campaign(ours.id, campaign.id, NOW + timedelta(hours=8))
    assert _dispatches(session)[0].local_at == "2026-11-21T10:00:00"


def test_one_that_cannot_be_sent_at_its_hour_fails_and_says_why(session: Session, personas: Personas) -> None:
    ours = personas.ours
    _without_credit(ours)
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
    hour = NOW + timedelta(days=1)
    service.enqueue_due_campaign(ours.id, campaign.id, hour)
    assert _state(session, campaign) is CampaignState.FAILED
    assert (campaign.failure_code, campaign.finished_at) == ("insufficient_credit", hour)
    assert (campaign.started_at, _dispatches(session)) == (None, [])


# --- paused, resumed, cancelled


def test_paused_and_resumed_any_number_of_times(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    for _ in range(2):
        assert service.pause_campaign(ours.id, campaign.id, actor="test").state is CampaignState.PAUSED
        assert _dispatches(session)[0].state == "paused"
    for _ in range(2):
        assert service.resume_campaign(ours.id, campaign.id, actor="test").state is CampaignState.SENDING
        assert _dispatches(session)[0].state == "preparing"


def test_a_draft_is_neither_paused_nor_resumed_nor_cancelled(ours: Shop) -> None:
    campaign = create_campaign(ours)
    for deed in (service.pause_campaign, service.resume_campaign, service.cancel_campaign):
        with pytest.raises(errors.InvalidStatus):
            deed(ours.id, campaign.id, actor="test")


def test_cancelled_it_says_what_has_left_and_again_the_same(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    add_messages(campaign, sent=2, delivered=1, unconfirmed=1, cancelled=3)
    outcomes = [service.cancel_campaign(ours.id, campaign.id, actor="test")[1] for _ in range(2)]
    assert [(outcome.left, outcome.cancelled) for outcome in outcomes] == [(4, 3), (4, 3)]
    assert campaign.state is CampaignState.CANCELLED
    assert campaign.finished_at is not None
    assert _dispatches(session)[0].state == "cancelled"


def test_a_planned_one_cancelled_never_goes(ours: Shop) -> None:
    campaign = create_campaign(ours)
    with clock.frozen_at(NOW):
        service.schedule_campaign(ours.id, campaign.id, TOMORROW, actor="test")
        _, outcome = service.cancel_campaign(ours.id, campaign.id, actor="test")
    assert (outcome.left, outcome.cancelled, campaign.state) == (0, 0, CampaignState.CANCELLED)
    assert queries.due_campaigns(NOW + timedelta(days=2)) == []


# --- settled


@pytest.mark.parametrize(
    ("dispatch", "campaign_state"),
    [
        (DispatchState.COMPLETED, CampaignState.COMPLETED),
        (DispatchState.FAILED, CampaignState.FAILED),
        (DispatchState.CANCELLED, CampaignState.CANCELLED),
    ],
)
@pytest.mark.parametrize("paused", [False, True])
def test_it_ends_as_its_dispatch_does(
    ours: Shop, dispatch: DispatchState, campaign_state: CampaignState, paused: bool
) -> None:
    campaign = create_sending(ours)
    if paused:
        service.pause_campaign(ours.id, campaign.id, actor="test")
    with clock.frozen_at(NOW):
        end_dispatch(campaign, dispatch, code="account_refused" if dispatch is DispatchState.FAILED else None)
    assert campaign.dispatch_id is not None
    assert queries.unsettled_dispatches() == [(ours.id, campaign.dispatch_id)]
    assert service.settle(ours.id, campaign.dispatch_id)
    assert (campaign.state, campaign.finished_at) == (campaign_state, NOW)
    assert campaign.failure_code == ("account_refused" if dispatch is DispatchState.FAILED else None)
    assert not service.settle(ours.id, campaign.dispatch_id)
    assert queries.unsettled_dispatches() == []


def test_a_dispatch_that_stopped_by_itself_pauses_its_campaign(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    session.execute(text("UPDATE dispatches SET state = 'paused', failure_code = 'insufficient_credit'"))
    assert campaign.dispatch_id is not None
    assert service.settle(ours.id, campaign.dispatch_id)
    assert (campaign.state, campaign.failure_code) == (CampaignState.PAUSED, "insufficient_credit")
    service.resume_campaign(ours.id, campaign.id, actor="test")
    assert (campaign.state, campaign.failure_code) == (CampaignState.SENDING, None)


def test_a_click_that_comes_after_the_end_is_told_so(ours: Shop) -> None:
    campaign = create_sending(ours)
    end_dispatch(campaign, DispatchState.COMPLETED)
    with pytest.raises(errors.InvalidStatus) as refused:
        service.pause_campaign(ours.id, campaign.id, actor="test")
    assert refused.value.details["status"] == "completed"


def test_the_end_of_a_test_or_of_anothers_dispatch_settles_nothing(ours: Shop, personas: Personas) -> None:
    campaign = create_sending(ours)
    end_dispatch(campaign, DispatchState.COMPLETED)
    assert campaign.dispatch_id is not None
    assert not service.settle(personas.theirs.id, campaign.dispatch_id)
    assert not service.settle(ours.id, 10**9)


# --- retried


def test_failed_messages_are_sent_again_and_the_campaign_with_them(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    messages = add_messages(campaign, delivered=2, failed=2)
    end_dispatch(campaign, DispatchState.COMPLETED)
    chosen = [message.id for message in messages]
    _, outcome = service.retry_failed(ours.id, campaign.id, chosen, actor="test")
    assert outcome.retried == 2
    assert (_state(session, campaign), campaign.finished_at) == (CampaignState.SENDING, None)
    assert _dispatches(session)[0].state == "sending"


def test_the_unconfirmed_are_sent_again_by_their_own_deed(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    add_messages(campaign, delivered=1, unconfirmed=1)
    end_dispatch(campaign, DispatchState.COMPLETED)
    _, outcome = service.retry_unconfirmed(ours.id, campaign.id, actor="test")
    assert outcome.retried == 1
    assert _state(session, campaign) is CampaignState.SENDING


def test_while_it_is_being_sent_nothing_is_retried(ours: Shop) -> None:
    campaign = create_sending(ours)
    with pytest.raises(errors.InvalidStatus):
        service.retry_failed(ours.id, campaign.id, actor="test")


def test_one_that_failed_before_anything_was_sent_has_nothing_to_retry(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    session.execute(text("UPDATE campaigns SET state = 'failed', finished_at = now()"))
    with pytest.raises(errors.NothingSent):
        service.retry_unconfirmed(ours.id, campaign.id, actor="test")


# --- tried out


def test_a_test_goes_to_own_numbers_and_leaves_the_campaign_alone(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours, audience=None)
    dispatch = service.send_test(ours.id, campaign.id, ["6912345678", "+306912345679"], actor="test")
    assert (dispatch.kind, dispatch.total) == ("test", 2)
    assert (_state(session, campaign), campaign.dispatch_id) == (CampaignState.DRAFT, None)


def test_a_faulty_text_is_not_tried(ours: Shop) -> None:
    campaign = create_campaign(ours, body="{{ nobody }}")
    with pytest.raises(errors.CannotSend):
        service.send_test(ours.id, campaign.id, ["+306912345678"], actor="test")


# --- shops apart, and what the database holds


def test_nothing_of_theirs_is_reached_from_ours(session: Session, personas: Personas) -> None:
    make_ready(personas.theirs)
    theirs = create_sending(personas.theirs)
    ours, other = personas.ours.id, theirs.id
    deeds: list[Callable[[], object]] = [
        lambda: queries.get_campaign(ours, other),
        lambda: service.update_campaign(ours, other, {"name": "x"}, actor="test"),
        lambda: service.delete_campaign(ours, other, actor="test"),
        lambda: service.duplicate_campaign(ours, other, actor="test"),
        lambda: service.schedule_campaign(ours, other, TOMORROW, actor="test"),
        lambda: service.unschedule_campaign(ours, other, actor="test"),
        lambda: service.enqueue_campaign(ours, other, actor="test"),
        lambda: service.pause_campaign(ours, other, actor="test"),
        lambda: service.resume_campaign(ours, other, actor="test"),
        lambda: service.cancel_campaign(ours, other, actor="test"),
        lambda: service.retry_failed(ours, other, actor="test"),
        lambda: service.retry_unconfirmed(ours, other, actor="test"),
        lambda: service.send_test(ours, other, ["+306912345678"], actor="test"),
    ]
    for deed in deeds:
        with pytest.raises(NotFound):
            deed()
    assert _state(session, theirs) is CampaignState.SENDING
    assert queries.list_campaigns(ours) == ([], 0)
    assert queries.many_campaigns(ours, [other]) == []


def test_a_campaign_cannot_point_at_their_dispatch(session: Session, personas: Personas) -> None:
    make_ready(personas.theirs)
    theirs = create_sending(personas.theirs)
    ours = create_campaign(personas.ours)
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(
            text("UPDATE campaigns SET dispatch_id = :dispatch WHERE id = :id"),
            {"dispatch": theirs.dispatch_id, "id": ours.id},
        )


@pytest.mark.parametrize(
    "change",
    [
        "state = 'done'",
        "state = 'scheduled'",
        "state = 'completed'",
        "finished_at = now()",
        "scheduled_at = now()",
        "schedule_kind = 'at', local_at = now(), due_at = now()",
        "schedule_kind = 'at', scheduled_at = now()",
        "priority = 'urgent'",
    ],
)
def test_the_database_refuses_a_campaign_that_contradicts_itself(session: Session, ours: Shop, change: str) -> None:
    campaign = create_campaign(ours)
    with pytest.raises(IntegrityError), session.begin_nested():
        session.execute(text(f"UPDATE campaigns SET {change} WHERE id = :id"), {"id": campaign.id})


def test_an_old_row_that_says_sent_is_shown_as_completed(session: Session, ours: Shop) -> None:
    campaign = create_campaign(ours)
    session.execute(text("UPDATE campaigns SET state = 'sent'"))
    assert _state(session, campaign) is CampaignState.COMPLETED
    found, total = queries.list_campaigns(ours.id, state=CampaignState.COMPLETED)
    assert (found, total) == ([campaign], 1)


def test_each_deed_is_in_the_trail(ours: Shop) -> None:
    campaign = create_sending(ours)
    service.pause_campaign(ours.id, campaign.id, actor="api_key:7")
    entries = [entry for entry in audit.entries(ours.id) if entry.subject_id == campaign.id]
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("campaigns.paused", "api_key:7"),
        ("campaigns.enqueued", "test"),
        ("campaigns.created", "test"),
    ]


# --- what it came to


def test_the_figures_are_cached_until_one_of_them_changes(session: Session, ours: Shop) -> None:
    campaign = create_sending(ours)
    messages = add_messages(campaign, sent=1, delivered=6, failed=1, skipped=2)
    stats, cached = queries.campaign_stats(campaign)
    assert not cached
    assert (stats.sent, stats.delivered, stats.failed, stats.delivered_rate) == (8, 6, 1, 0.75)
    assert stats.first_sent_at == messages[0].sent_at
    assert (stats.clicks, stats.redemptions, stats.orders, stats.revenue, stats.conversion_rate) == (None,) * 5
    again, cached = queries.campaign_stats(campaign)
    assert (again, cached) == (stats, True)
    session.execute(text("UPDATE batches SET sent = 0, delivered = 7"))
    changed, cached = queries.campaign_stats(campaign)
    assert (changed.delivered, cached) == (7, False)


def test_an_opt_out_counts_for_the_last_text_before_it(session: Session, ours: Shop) -> None:
    contact = create_subscriber(ours)
    campaigns = [create_sending(ours), create_sending(ours)]
    for hour, campaign in enumerate(campaigns):
        with clock.frozen_at(clock.now() - timedelta(hours=2 - hour)):
            [message] = add_messages(campaign, sent=1)
        message.phone_hash = contact.phone_hash
        campaign.started_at = message.sent_at
    session.flush()
    assert [queries.campaign_stats(campaign)[0].unsubscribes for campaign in campaigns] == [0, 0]
    assert contact.phone_hash is not None
    consent.opt_out(ours.id, contact.phone_hash, source=Source.KEYWORD, contact_id=contact.id)
    assert [queries.campaign_stats(campaign)[0].unsubscribes for campaign in campaigns] == [0, 1]


def test_a_campaign_that_was_never_sent_has_no_figures(ours: Shop) -> None:
    stats, _ = queries.campaign_stats(create_campaign(ours))
    assert (stats.sent, stats.unsubscribes, stats.delivered_rate, stats.first_sent_at) == (0, 0, None, None)
