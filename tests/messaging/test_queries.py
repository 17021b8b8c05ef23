"""What is shown of a dispatch is what the rows say; what a preview promises is what is then sent and charged."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from blossom.message_templates.rules import segments
from blossom.messaging import queries, service
from blossom.messaging.models import Dispatch
from blossom.messaging.queries import Preview
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.messaging.service import claiming
from blossom.mitto import payloads
from blossom.platform import clock, db, queue
from blossom.platform.errors import NotFound
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from tests.admin.conftest import statements
from tests.factories.consent import create_subscriber, create_subscribers, opt_out
from tests.factories.contacts import create_contact
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet
from tests.messaging.conftest import TEXT, Outbox
from tests.messaging.test_sending import subscribers

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def claim_one() -> claiming.Claim:
    with db.transaction():
        claim = claiming.claim_batch("test", clock.now())
    assert claim is not None
    return claim


def give_back(claim: claiming.Claim) -> None:
    with db.transaction():
        claiming.give_back(claim.attempt_id, outcome="given_back", due_at=clock.now(), tries=0, now=clock.now())


def mixed(outbox: Outbox) -> Dispatch:
    """A dispatch with messages in every state there is."""
    with db.transaction():
        people = create_subscribers(outbox.shop, 250)
    outbox.mitto.configure(outcomes={"exact": {str(people[0].phone): "invalid", str(people[1].phone): "blocked"}})
    dispatch = outbox.start()
    with db.transaction():
        for person in people[2:5]:
            opt_out(person)
    real = service.lane._lap
    laps = iter(range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_lap", lambda *args: real(*args) and next(laps, None) == 0)
        outbox.run()
    outbox.mitto.configure(faults=[{"kind": "500", "taken": True, "next": 1}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.lane, "_lap", lambda *args: real(*args) and False)
        outbox.run()
    taken = outbox.mitto.log()
    outbox.receive(*[payloads.Receipt(each["messageId"], "Delivered") for each in taken[:20]])
    outbox.receive(*[payloads.Receipt(each["messageId"], "Failed") for each in taken[20:25]])
    claim_one()
    return dispatch


def test_progress_is_the_sum_of_the_rows_in_each_state(outbox: Outbox) -> None:
    dispatch = mixed(outbox)
    progress = outbox.progress(dispatch)
    shown = list(outbox.states(dispatch).values())
    for state in MessageState:
        assert getattr(progress, state.value) == shown.count(state), state
    assert {state: number for state in MessageState if (number := shown.count(state))} == {
        MessageState.PENDING: 50,
        MessageState.SENDING: 50,
        MessageState.SENT: 70,
        MessageState.DELIVERED: 20,
        MessageState.FAILED: 7,
        MessageState.SKIPPED: 3,
        MessageState.UNCONFIRMED: 50,
    }
    assert progress.total == 250
    assert progress.processed == 150
    assert progress.percent == 60.0
    assert progress.pending + progress.sending + progress.processed == progress.total


def test_recipients_are_found_by_the_state_that_is_shown(outbox: Outbox) -> None:
    dispatch = mixed(outbox)
    everyone = outbox.states(dispatch)
    for state in MessageState:
        with db.transaction():
            found = queries.stretch(outbox.shop.id, dispatch.id, state=state, exactly=True, limit=1_000)
        assert {row.phone for row in found.rows} == {phone for phone, shown in everyone.items() if shown is state}
        assert {row.state for row in found.rows} <= {state}


def test_a_page_of_those_being_sent_is_full_though_pending_ones_stand_before_them(outbox: Outbox) -> None:
    subscribers(outbox, 120)
    dispatch = outbox.start()
    first, _ = claim_one(), claim_one()
    give_back(first)
    with db.transaction():
        page = queries.stretch(outbox.shop.id, dispatch.id, state=MessageState.SENDING, limit=10)
    assert [row.state for row in page.rows] == [MessageState.SENDING] * 10


def test_pages_follow_each_other_and_end(outbox: Outbox) -> None:
    subscribers(outbox, 25)
    dispatch = outbox.start()
    seen: list[int] = []
    while True:
        with db.transaction():
            page = queries.recipients(outbox.shop.id, dispatch.id, after_id=seen[-1] if seen else 0, limit=10)
        if not page:
            break
        assert len(page) <= 10
        seen += [row.id for row in page]
    assert len(seen) == len(set(seen)) == 25
    assert seen == sorted(seen)


def test_one_person_is_found_by_phone(outbox: Outbox) -> None:
    phones = subscribers(outbox, 5)
    dispatch = outbox.start()
    with db.transaction():
        found = queries.recipients(outbox.shop.id, dispatch.id, phone=phones[3])
        nobody = queries.recipients(outbox.shop.id, dispatch.id, phone="+306900000000")
    assert [row.phone for row in found] == [phones[3]]
    assert nobody == []


def test_a_row_says_all_that_is_known_of_it(outbox: Outbox) -> None:
    phones = subscribers(outbox, 1)
    dispatch = outbox.start()
    outbox.run()
    outbox.receive_all("Delivered")
    taken = outbox.mitto.log()[0]
    with db.transaction():
        row = queries.recipients(outbox.shop.id, dispatch.id)[0]
    assert (row.phone, row.country, row.state, row.provider_message_id) == (
        phones[0],
        "GR",
        MessageState.DELIVERED,
        taken["messageId"],
    )
    assert row.bulk_id
    assert (row.segments, row.retry_count, row.delivery_status) == (1, 0, "Delivered")
    assert row.credits > 0
    assert row.sent_at is not None
    assert row.delivered_at is not None


def test_failures_skips_and_costs_are_told_by_cause(outbox: Outbox) -> None:
    dispatch = mixed(outbox)
    with db.transaction():
        causes = {(each.error, each.messages) for each in queries.failures_by_cause(outbox.shop.id, dispatch.id)}
        skipped = queries.skipped_by_reason(outbox.shop.id, dispatch.id)
        costs = queries.costs_by_country(outbox.shop.id, dispatch.id)
    assert causes == {("invalid_number", 1), ("blocked_content", 1), ("not_delivered", 5)}
    assert skipped == {"opted_out": 3}
    assert [(each.country, each.texts) for each in costs] == [("GR", 140)]
    assert sum(each.credits for each in costs) == outbox.spent()


def test_another_shop_sees_nothing_of_it(outbox: Outbox) -> None:
    dispatch = mixed(outbox)
    with db.transaction():
        theirs = create_shop(domain="theirs.myshopify.com", sender="Theirs").id
    with db.transaction():
        assert queries.recipients(theirs, dispatch.id) == []
        assert queries.failures_by_cause(theirs, dispatch.id) == []
        assert queries.skipped_by_reason(theirs, dispatch.id) == {}
        assert queries.costs_by_country(theirs, dispatch.id) == []
        assert queries.progress_many(theirs, [dispatch.id]) == {}
        with pytest.raises(NotFound):
            queries.progress(theirs, dispatch.id)


def test_speed_and_the_time_that_is_left(outbox: Outbox) -> None:
    subscribers(outbox, 150)
    with clock.frozen_at(NOON):
        dispatch = outbox.start()
        real = service.lane._lap
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service.lane, "_lap", lambda *args: real(*args) and False)
            outbox.run()
    with clock.frozen_at(NOON + timedelta(seconds=5)):
        progress = outbox.progress(dispatch)
    assert (progress.messages_per_second, progress.seconds_left) == (10.0, 10)
    with clock.frozen_at(NOON + timedelta(seconds=11)):
        still = outbox.progress(dispatch)
    assert (still.messages_per_second, still.seconds_left) == (0.0, None), "nothing moved for ten seconds"
    outbox.run()
    done = outbox.progress(dispatch)
    assert (done.messages_per_second, done.seconds_left, done.percent) == (0.0, 0, 100.0)


def test_the_queue_of_the_whole_installation(outbox: Outbox) -> None:
    with db.transaction():
        before = queries.queue_stats()
    assert (before.total, before.oldest_due) == (0, None)
    dispatch = mixed(outbox)
    with db.transaction():
        stats = queries.queue_stats()
    assert (stats.waiting, stats.active, stats.completed, stats.failed) == (1, 1, 3, 0)
    assert stats.total == 5
    assert stats.per_second > 0
    assert stats.oldest_due is not None
    with db.transaction():
        service.pause_dispatch(outbox.shop.id, dispatch.id)
    with db.transaction():
        assert queries.queue_stats().oldest_due is None, "what is paused keeps nobody waiting"


def test_what_ended_before_this_hour_is_read_once_a_minute_and_counts_for_a_day(outbox: Outbox) -> None:
    with db.transaction():
        create_subscriber(outbox.shop)
    dispatch = outbox.start()
    outbox.run()
    with db.transaction():
        done = queries.queue_stats()
    assert done.completed == 1
    at = clock.now().replace(minute=30)
    for hours, counts in ((0, True), (1, True), (12, True), (23.9, True), (24.1, False)):
        with db.transaction() as session:
            values = {"at": at - timedelta(hours=hours), "id": dispatch.id}
            session.execute(text("UPDATE dispatches SET finished_at = :at WHERE id = :id"), values)
        queue.connection().flushdb()
        with clock.frozen_at(at), db.transaction():
            assert queries.queue_stats().completed == (done.completed if counts else 0), hours
            with statements() as seen:
                assert queries.queue_stats().completed == (done.completed if counts else 0), hours
            assert len(seen) == 1, "the second look finds it kept"


# --- the preview ----------------------------------------------------------------------------------------------------


def preview(shop: Shop, source: str = TEXT, **overrides: object) -> Preview:
    with db.transaction():
        return queries.preview(
            shop.id,
            Audience(everybody=True),
            source,
            "Ours",
            **{"now": clock.now(), **overrides},  # type: ignore[arg-type]
        )


NAMES = (
    "Eleni", "Νίκος", "Αικατερίνη-Μαρία", "Zoë", "François", "O’Neill", "Łukasz", "{brace}", "€uro", "👩‍👩‍👧 Ana",
    "😀", "李",
    "Jean-Baptiste Emanuel Zorg", None, "", "x" * 60, "Ж" * 30, "  spaced   out ", "tab\tbed", "’", "ﷺ" * 20,
)  # fmt: skip
COUNTRIES = (("GR", "+3069"), ("FR", "+3361"), ("US", "+1212"), ("JP", "+8190"), (None, "+8835"))
SOURCES = (
    TEXT,
    "Hello {{ full_name | default: 'you' }}! Reply STOP to opt out",
    "{{ first_name | default: 'Friend' }}, our sale begins today: shoes, bags, coats and all that you ever wanted at "
    "half of its price, and for {{ last_name | default: 'your family' }} one more surprise. Reply STOP to opt out",
    "Γειά σου {{ first_name | default: 'φίλε' }}, 20% έκπτωση έως την Κυριακή. Απάντησε STOP για διαγραφή",
    "ΓEIA ΣOY {{ first_name | upper | default: 'ΦIΛE' }}, 20% EKΠTΩΣH EΩΣ THN KYPIAKH, KAI ΓIA ΣENA, "
    "{{ full_name | default: 'ΦIΛE' | upper }}, AKOMA KATI. AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH",
    "No name in it. Reply STOP to opt out",
)


@pytest.mark.parametrize("source", SOURCES, ids=range(len(SOURCES)))
def test_what_is_promised_is_what_is_sent_and_charged(outbox: Outbox, source: str) -> None:
    chance = random.Random(source)
    with db.transaction():
        for number in range(80):
            country, prefix = chance.choice(COUNTRIES)
            create_subscriber(
                outbox.shop,
                phone=f"{prefix}{5550000 + number}",
                phone_country=country,
                first_name=chance.choice(NAMES),
                last_name=chance.choice(NAMES),
            )
    promised = preview(outbox.shop, source)
    dispatch = outbox.start(source=source)
    with db.transaction():
        assert wallet.balance(outbox.shop.id).reserved == promised.estimate.credits
    outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.sent, progress.total) == (80, 80)
    assert promised.estimate.recipients == 80
    assert promised.estimate.unrenderable == 0
    taken = outbox.mitto.log()
    sizes = [segments.count(each["text"]) for each in taken]
    with db.transaction():
        by_country = queries.costs_by_country(outbox.shop.id, dispatch.id)
    assert outbox.spent() == sum(each.credits for each in by_country)
    assert sum(each.segments for each in by_country) == sum(size.segments for size in sizes)
    assert {each.country for each in by_country} == {each.country for each in promised.estimate.by_country}
    # Never less than what is then charged. A part more only where a pair of units may stand on a part's edge.
    on_an_edge = sum(size.segments > 1 for size in sizes)
    beyond = promised.estimate.segments - sum(size.segments for size in sizes)
    assert 0 <= beyond <= on_an_edge
    assert outbox.spent() <= promised.estimate.credits
    if beyond == 0:
        assert outbox.spent() == promised.estimate.credits
        assert promised.estimate.by_segments == {
            parts: sum(size.segments == parts for size in sizes) for parts in {size.segments for size in sizes}
        }
    outbox.check_books(dispatch)


def test_the_samples_are_the_texts_that_those_people_get(outbox: Outbox) -> None:
    with db.transaction():
        for name in ("Eleni", "Νίκος", None, "Ana"):
            create_subscriber(outbox.shop, first_name=name)
    samples = preview(outbox.shop).samples
    outbox.start()
    outbox.run()
    texts = [each["text"] for each in outbox.mitto.log()]
    assert [sample.text for sample in samples] == texts[:3]
    assert [sample.encoding for sample in samples] == ["gsm7", "ucs2", "gsm7"]
    assert all(sample.segments == segments.count(sample.text).segments for sample in samples)
    assert all("…" in sample.phone_masked and len(sample.phone_masked) == 7 for sample in samples)


def test_those_who_are_left_out_and_why(outbox: Outbox) -> None:
    with db.transaction():
        create_subscriber(outbox.shop)
        for _ in range(2):
            create_contact(outbox.shop)
        for _ in range(3):
            opt_out(create_subscriber(outbox.shop))
        for _ in range(4):
            create_contact(outbox.shop, phone=None)
    promised = preview(outbox.shop)
    assert promised.left_out == {"not_opted_in": 2, "opted_out": 3, "no_phone": 4}
    dispatch = outbox.start()
    assert outbox.progress(dispatch).left_out == promised.left_out


def test_those_who_are_asleep_are_put_off_until_their_morning(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(quiet_hours_on=True)
        for zone in ("Europe/Athens", "Europe/Athens", "America/New_York"):
            create_subscriber(outbox.shop, zone=zone)
    evening = datetime(2026, 3, 10, 20, 30, tzinfo=UTC)
    with clock.frozen_at(evening):
        promised = preview(outbox.shop)
        dispatch = outbox.start()
        with db.transaction():
            due = sorted(row.due_at for row in queries.recipients(outbox.shop.id, dispatch.id))
    morning = datetime(2026, 3, 11, 7, 0, tzinfo=UTC)
    assert promised.put_off == {morning: 2}
    assert (promised.first_at, promised.last_at) == (evening, morning)
    assert due == [evening, morning, morning]


def test_a_planned_time_counts_from_there(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(quiet_hours_on=True)
        create_subscriber(outbox.shop, zone="Europe/Athens")
    night = datetime(2026, 3, 10, 22, 0, tzinfo=UTC)
    with clock.frozen_at(datetime(2026, 3, 10, 12, 0, tzinfo=UTC)):
        promised = preview(outbox.shop, not_before=night)
    assert promised.put_off == {datetime(2026, 3, 11, 7, 0, tzinfo=UTC): 1}


def objections(promised: Preview) -> set[str]:
    return {each.code for each in promised.objections}


def test_it_says_whether_it_can_be_sent_and_why_not(outbox: Outbox) -> None:
    nobody = preview(outbox.shop)
    assert objections(nobody) == {"no_recipients"}
    assert not nobody.can_send
    assert (nobody.first_at, nobody.last_at) == (None, None)
    subscribers(outbox, 2)
    assert preview(outbox.shop).can_send
    without_default = preview(outbox.shop, "Hi {{ first_name }}, sale. Reply STOP to opt out")
    assert objections(without_default) == {"missing_default"}
    with db.transaction():
        poor = create_shop(domain="poor.myshopify.com", sender="Poor")
        create_wallet(poor.id, 1)
        create_subscriber(poor)
    refused = preview(poor)
    assert objections(refused) == {"insufficient_credit"}
    missing = refused.estimate.credits - 1
    assert str(missing) in refused.objections[0].message
    assert refused.credit.available == 1


def test_people_without_the_value_that_the_text_needs_are_counted_and_then_skipped(outbox: Outbox) -> None:
    with db.transaction():
        create_subscriber(outbox.shop, first_name="Eleni")
        create_subscriber(outbox.shop, first_name=None)
    source = "Hi {{ first_name }}, sale. Reply STOP to opt out"
    promised = preview(outbox.shop, source)
    assert (promised.estimate.recipients, promised.estimate.unrenderable) == (2, 1)
    dispatch = outbox.start(source=source)
    outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.sent, progress.skipped, progress.state) == (1, 1, DispatchState.COMPLETED)
    assert outbox.spent() == promised.estimate.credits


def test_a_preview_counts_no_one_of_another_shop(outbox: Outbox) -> None:
    with db.transaction():
        theirs = create_shop(domain="theirs.myshopify.com", sender="Theirs")
        create_wallet(theirs.id)
        create_subscriber(theirs)
    assert preview(outbox.shop).estimate.recipients == 0
    assert preview(theirs).estimate.recipients == 1
