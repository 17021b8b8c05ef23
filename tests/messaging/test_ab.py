"""Several texts for one audience: who gets which, who waits, and what the winner is decided by. The provider's log is
the judge of who was texted what, the ledger of what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select, text

from blossom.inbound.service import erasing, exporting
from blossom.links import queries as link_queries
from blossom.links import service as links
from blossom.messaging import queries, service
from blossom.messaging.errors import InvalidDispatchState, NothingToChoose
from blossom.messaging.models import Batch, Dispatch, Message
from blossom.messaging.rules.states import DispatchState, MessageState
from blossom.messaging.service import claiming
from blossom.mitto import payloads
from blossom.platform import clock, crypto, db
from blossom.segments.rules import Audience
from blossom.wallet import queries as wallet
from blossom.wallet import service as wallet_service
from blossom.wallet.errors import InsufficientCredit
from tests.factories.consent import create_subscribers
from tests.factories.shops import create_shop
from tests.factories.wallet import create_reservation, create_wallet
from tests.messaging.conftest import Outbox
from tests.messaging.test_sending import subscribers

SALE = '{{ "https://shop.example/sale" | shortlink }}'
NEW = '{{ "https://shop.example/new" | shortlink }}'
A = f"Text A: {SALE} or {NEW}. STOP to opt out"
B = f"Text B: {SALE}. STOP to opt out"
C = f"Text C: {NEW}. STOP to opt out"
HOUR = timedelta(hours=1)
AFTER: dict[str, Any] = {"source": A, "others": [B], "shares": [10, 10], "decide_after": HOUR}


def got(outbox: Outbox) -> dict[str, str]:
    """Phone → the letter of the text that it got."""
    return {each["destination"]: each["text"][5] for each in outbox.mitto.log()}


def counted(outbox: Outbox) -> Counter[str]:
    return Counter(got(outbox).values())


@contextmanager
def later(**by: int) -> Iterator[datetime]:
    moment = clock.now() + timedelta(**by)
    with clock.frozen_at(moment):
        yield moment


def standing(dispatch: Dispatch) -> queries.Standing:
    with db.transaction():
        found = queries.standing(dispatch.shop_id, dispatch.id)
    assert found is not None
    return found


def choose(dispatch: Dispatch, number: int, by: str = "staff:1") -> bool:
    with db.transaction():
        return service.choose_winner(dispatch.shop_id, dispatch.id, number, by=by)


def click(outbox: Outbox, dispatch: Dispatch, letter: str, people: int) -> None:
    """So many people open the first link of the text that they got."""
    phones = [phone for phone, its in got(outbox).items() if its == letter]
    number = {"A": 1, "B": 3, "C": 4}[letter]
    with db.transaction():
        ids = {str(row.phone): row.id for row in queries.recipients(dispatch.shop_id, dispatch.id, limit=10_000)}
        for phone in phones[:people]:
            links.record_click(dispatch.shop_id, dispatch.id, ids[phone], number)


def test_each_text_gets_its_share_to_the_person_and_the_rest_waits(outbox: Outbox) -> None:
    subscribers(outbox, 210)
    dispatch = outbox.start(others=[B, C], shares=[10, 20, 5], source=A, decide_after=HOUR)
    outbox.run()
    assert counted(outbox) == {"A": 21, "B": 42, "C": 11}
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.sent, progress.pending, progress.waiting) == (DispatchState.SENDING, 74, 136, 136)
    assert (progress.seconds_left, progress.next_due_at) == (None, None)
    found = standing(dispatch)
    assert [(each.recipients, each.sent) for each in found.texts] == [(21, 21), (42, 42), (11, 11)]
    assert (found.waiting, found.winner) == (136, None)
    outbox.check_books(dispatch)


def test_who_gets_which_is_left_to_chance_and_drawn_anew_each_time(outbox: Outbox) -> None:
    """Not by when they came: that would put the oldest customers into text A."""
    phones = subscribers(outbox, 200)
    drawn = []
    for _ in range(2):
        outbox.mitto.reset()
        outbox.start(source=A, others=[B], shares=[50, 50])
        outbox.run()
        letters = got(outbox)
        drawn.append([letters[phone] for phone in phones])
        assert Counter(drawn[-1]) == {"A": 100, "B": 100}
        assert 25 <= drawn[-1][:100].count("A") <= 75, "1 in 10^12 by chance"
    assert 50 <= sum(one == other for one, other in zip(*drawn, strict=True)) <= 150


@pytest.mark.parametrize("large", [False, True], ids=["few", "many"])
def test_a_batch_is_of_one_text_and_one_moment_and_its_people_stand_together(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """Four texts and a rest, in three zones, due on their own clocks: fifteen kinds of batches."""
    if large:
        monkeypatch.setattr(service.snapshot, "_LARGE", 2)
    for zone in ("Europe/Athens", "Asia/Tokyo", "America/New_York"):
        subscribers(outbox, 120, zone=zone)
    local_at = datetime(2026, 12, 1, 12, 0)  # noqa: DTZ001 -- on each recipient's clocks
    dispatch = outbox.start(
        source=A, others=[B, C, "Text D. STOP"], shares=[20, 20, 20, 10], decide_after=HOUR, local_at=local_at
    )
    with db.transaction() as session:
        batches = list(session.scalars(select(Batch).where(Batch.dispatch_id == dispatch.id)))
        messages = list(session.scalars(select(Message).where(Message.dispatch_id == dispatch.id)))
    sizes: Counter[int | None] = Counter()
    for batch in batches:
        sizes[batch.text_number] += batch.size
        inside = [each for each in messages if batch.first_id <= each.id <= batch.last_id]
        assert {each.batch_number for each in inside} == {batch.number}
        assert len(inside) == batch.size <= 50
        assert len({each.zone for each in inside}) == 1
    assert sizes == {0: 72, 1: 72, 2: 72, 3: 36, None: 108}
    assert {each.batch_number for each in messages} == {batch.number for batch in batches}
    assert len({batch.due_at for batch in batches}) == 3


def test_a_plain_split_waits_for_nobody_and_has_no_winner(outbox: Outbox) -> None:
    subscribers(outbox, 61)
    dispatch = outbox.start(source=A, others=[B], shares=[50, 50])
    with pytest.raises(NothingToChoose):
        choose(dispatch, 1)
    outbox.run()
    assert counted(outbox) == {"A": 31, "B": 30}
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED
    with later(hours=48):
        assert service.decide_winners() == 0
    with pytest.raises(InvalidDispatchState):
        choose(dispatch, 1)
    outbox.check_books(dispatch)


def test_a_dispatch_of_one_text_has_nothing_to_choose(outbox: Outbox) -> None:
    subscribers(outbox, 2)
    dispatch = outbox.start()
    with pytest.raises(NothingToChoose):
        choose(dispatch, 0)
    with db.transaction():
        assert queries.standing(dispatch.shop_id, dispatch.id) is None


def test_the_rest_gets_the_text_that_most_clicked_in_and_nobody_gets_two(outbox: Outbox) -> None:
    subscribers(outbox, 200)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    tested = got(outbox)
    click(outbox, dispatch, "A", 3)
    click(outbox, dispatch, "B", 5)
    found = standing(dispatch)
    assert [each.clicked for each in found.texts] == [3, 5]
    assert found.decides_at is not None
    with later(minutes=59):
        assert service.decide_winners() == 0
    outbox.run()
    assert len(got(outbox)) == 40
    with later(minutes=61):
        assert service.decide_winners() == 1
        assert service.decide_winners() == 0
        outbox.run()
        progress = outbox.progress(dispatch)
    after = got(outbox)
    assert {phone: after[phone] for phone in tested} == tested
    assert Counter(letter for phone, letter in after.items() if phone not in tested) == {"B": 160}
    assert (progress.state, progress.sent, progress.waiting) == (DispatchState.COMPLETED, 200, 0)
    found = standing(dispatch)
    assert (found.winner, found.chosen_by, found.waiting, found.decides_at) == (1, "clicks", 0, None)
    assert [each.recipients for each in found.texts] == [20, 180]
    outbox.check_books(dispatch)


@pytest.mark.parametrize(
    ("clicked", "failed", "winner"),
    [((2, 2), 0, "A"), ((0, 0), 0, "A"), ((2, 3), 0, "B"), ((2, 2), 10, "B")],
    ids=["a tie", "nobody clicked", "more", "as many of fewer that it reached"],
)
def test_what_decides(outbox: Outbox, clicked: tuple[int, int], failed: int, winner: str) -> None:
    subscribers(outbox, 200)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    of_b = [each for each in outbox.mitto.log() if each["text"].startswith("Text B")]
    outbox.receive(*[payloads.Receipt(each["messageId"], "Failed") for each in of_b[len(of_b) - failed :]])
    click(outbox, dispatch, "A", clicked[0])
    click(outbox, dispatch, "B", clicked[1])
    with later(hours=2):
        assert service.decide_winners() == 1
        outbox.run()
    assert counted(outbox)[winner] == 180


def test_a_person_who_opens_two_links_is_one_who_clicked(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    with db.transaction():
        first = next(
            row.id
            for row in queries.recipients(dispatch.shop_id, dispatch.id, limit=1000)
            if got(outbox).get(str(row.phone)) == "A"
        )
        for number in (2, 1, 2):
            links.record_click(dispatch.shop_id, dispatch.id, first, number)
        assert link_queries.people_by_link(dispatch.shop_id, dispatch.id) == {2: 1}
    assert [each.clicked for each in standing(dispatch).texts] == [1, 0]


def test_each_text_has_links_of_its_own_which_lead_where_they_should(outbox: Outbox) -> None:
    subscribers(outbox, 40)
    dispatch = outbox.start(source=A, others=[B, C], shares=[33, 33, 34])
    outbox.run()
    with db.transaction():
        codes = link_queries.codes(dispatch.shop_id)
        seen: dict[str, set[tuple[int, str | None]]] = {}
        for each in outbox.mitto.log():
            for word in each["text"].replace(". STOP", " STOP").split():
                if "/s/" in word:
                    found = codes.read(word.rsplit("/", 1)[1])
                    assert found is not None
                    address = link_queries.target(dispatch.shop_id, dispatch.id, found[1])
                    seen.setdefault(each["text"][5], set()).add((found[1], address))
    sale, new = "https://shop.example/sale", "https://shop.example/new"
    assert seen == {"A": {(1, sale), (2, new)}, "B": {(3, sale)}, "C": {(4, new)}}


def test_by_hand_it_waits_until_somebody_chooses_and_the_first_choice_holds(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(source=A, others=[B], shares=[10, 10])
    outbox.run()
    assert standing(dispatch).decides_at is None
    with later(hours=72):
        assert service.decide_winners() == 0
    with pytest.raises(NothingToChoose):
        choose(dispatch, 2)
    assert choose(dispatch, 1) is True
    assert choose(dispatch, 1) is False, "the same again"
    with pytest.raises(InvalidDispatchState):
        choose(dispatch, 0)
    outbox.run()
    assert counted(outbox) == {"A": 10, "B": 90}
    found = standing(dispatch)
    assert (found.winner, found.chosen_by) == (1, "staff:1")
    assert choose(dispatch, 1) is False, "also when it has ended"
    outbox.check_books(dispatch)


def test_a_winner_may_be_chosen_before_the_test_has_begun(outbox: Outbox) -> None:
    """While the audience is being fixed, too: the people of the rest never wait then."""
    subscribers(outbox, 50)
    with db.transaction():
        plan = service.DispatchPlan(shop_id=outbox.shop.id, audience=Audience(everybody=True), sender="Ours", **AFTER)
        dispatch = service.start_dispatch(plan)
    choose(dispatch, 1)
    with db.transaction():
        assert service.prepare_dispatch(dispatch.shop_id, dispatch.id)
    outbox.run()
    assert counted(outbox) == {"A": 5, "B": 45}
    assert outbox.progress(dispatch).state is DispatchState.COMPLETED


def test_of_a_plain_split_nobody_wins_while_its_audience_is_being_fixed_either(outbox: Outbox) -> None:
    subscribers(outbox, 4)
    with db.transaction():
        dispatch = service.start_dispatch(
            service.DispatchPlan(outbox.shop.id, Audience(everybody=True), A, "Ours", others=[B], shares=[50, 50])
        )
    with pytest.raises(NothingToChoose):
        choose(dispatch, 1)


def test_nothing_is_decided_while_it_is_paused(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    with db.transaction():
        service.pause_dispatch(dispatch.shop_id, dispatch.id)
    with later(hours=5):
        assert service.decide_winners() == 0
        with db.transaction():
            service.resume_dispatch(dispatch.shop_id, dispatch.id)
        assert service.decide_winners() == 1
        outbox.run()
    assert counted(outbox) == {"A": 90, "B": 10}


def test_a_choice_made_while_it_is_paused_waits_for_the_merchant(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    with db.transaction():
        service.pause_dispatch(dispatch.shop_id, dispatch.id)
    choose(dispatch, 1)
    outbox.run()
    assert len(got(outbox)) == 20
    with db.transaction():
        service.resume_dispatch(dispatch.shop_id, dispatch.id)
    outbox.run()
    assert counted(outbox) == {"A": 10, "B": 90}


def test_a_cancel_closes_who_waits_and_frees_their_credits(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    with db.transaction():
        outcome = service.cancel_dispatch(dispatch.shop_id, dispatch.id)
    assert (outcome.left, outcome.cancelled) == (20, 80)
    with db.transaction():
        while service.close_messages(dispatch.shop_id, dispatch.id):
            pass
        assert wallet.balance(outbox.shop.id).reserved == 0
    with pytest.raises(InvalidDispatchState):
        choose(dispatch, 1)
    with later(hours=5):
        assert service.decide_winners() == 0
        outbox.run()
    assert len(got(outbox)) == 20
    assert outbox.progress(dispatch).cancelled == 80
    outbox.check_books(dispatch)


LONG = "Text B: " + "x" * 400 + ". STOP to opt out"


@pytest.mark.parametrize(("chosen", "dearest"), [(0, False), (1, True)])
def test_the_dearest_text_is_held_for_each_and_what_left_is_charged(outbox: Outbox, chosen: int, dearest: bool) -> None:
    """Of 100 people 50 wait: held is as if all got the long text, of 3 segments; charged, to the credit, what they
    got."""
    subscribers(outbox, 100)
    dispatch = outbox.start(source="Text A. STOP to opt out", others=[LONG], shares=[25, 25])
    with db.transaction():
        price = wallet.price_list(int(dispatch.price_list_id or 0)).credits("GR", 1)
        assert wallet.balance(outbox.shop.id).reserved == 300 * price
    outbox.run()
    choose(dispatch, chosen)
    outbox.run()
    assert outbox.spent() == (25 + 75 + 50 * (3 if dearest else 1)) * price
    with db.transaction():
        assert wallet.balance(outbox.shop.id).reserved == 0
    outbox.check_books(dispatch)


def test_credit_for_the_dearest_must_be_there(app: Any, outbox: Outbox) -> None:
    with db.transaction():
        poor = create_shop(domain="poor.myshopify.com", sender="Poor")
        price = wallet.price_list_at(poor.id, clock.now()).credits("GR", 1)
        create_wallet(poor.id, 29 * price)  # ten long texts take 30
        create_subscribers(poor, 10)
    dispatch = outbox.start(shop_id=poor.id, source="Text A. STOP to opt out", others=[LONG], shares=[10, 10])
    with db.transaction():
        assert queries.progress(poor.id, dispatch.id).failure_code == "insufficient_credit"


def test_credits_are_held_as_long_as_a_test_of_a_day_takes(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(source=A, others=[B], shares=[10, 10], decide_after=timedelta(hours=24))
    outbox.run()
    with db.transaction():
        held = wallet.balance(outbox.shop.id).reserved
    for hours in (23, 25):
        with later(hours=hours):
            service.reconcile()
            with db.transaction():
                assert wallet.balance(outbox.shop.id).reserved == held > 0
    with later(hours=25):
        assert service.decide_winners() == 1
        outbox.run()
    assert len(got(outbox)) == 100
    outbox.check_books(dispatch)


def test_credits_that_were_freed_meanwhile_are_held_anew_when_somebody_chooses(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(source=A, others=[B], shares=[10, 10])
    outbox.run()
    with later(hours=30):
        service.reconcile()
        with db.transaction():
            assert wallet.balance(outbox.shop.id).reserved == 0
        choose(dispatch, 1)
        with db.transaction():
            price = wallet.price_list(int(dispatch.price_list_id or 0)).credits("GR", 1)
            assert wallet.balance(outbox.shop.id).reserved == 80 * price, "80 people, one segment each"
        outbox.run()
    outbox.check_books(dispatch)


def test_credits_are_held_until_who_sleeps_when_somebody_chooses_has_got_it(outbox: Outbox) -> None:
    """An hour before they would be free again: the people of the rest are texted the next morning."""
    subscribers(outbox, 100)
    dispatch = outbox.start(source=A, others=[B], shares=[10, 10])
    outbox.run()
    with later(hours=23):
        choose(dispatch, 1)
    with later(hours=37):
        service.reconcile()
        with db.transaction():
            price = wallet.price_list(int(dispatch.price_list_id or 0)).credits("GR", 1)
            assert wallet.balance(outbox.shop.id).reserved == 80 * price


@pytest.mark.parametrize("by_hand", [True, False], ids=["by hand", "by clicks"])
def test_a_winner_whose_texts_can_not_be_paid_any_more(outbox: Outbox, by_hand: bool) -> None:
    """By hand it is refused, and nothing was chosen; by clicks it stands, and waits for the merchant to top up."""
    subscribers(outbox, 100)
    dispatch = outbox.start(source=A, others=[B], shares=[10, 10], decide_after=None if by_hand else HOUR)
    outbox.run()
    with later(hours=60):
        with db.transaction():
            wallet_service.expire_due(clock.now())
            free = wallet.balance(outbox.shop.id).available
            spent_elsewhere = create_reservation(outbox.shop.id, free, expires_at=clock.now() + 24 * HOUR)
        if by_hand:
            with pytest.raises(InsufficientCredit):
                choose(dispatch, 1)
            assert standing(dispatch).winner is None
        else:
            assert service.decide_winners() == 1
            progress = outbox.progress(dispatch)
            assert (progress.state, progress.failure_code) == (DispatchState.PAUSED, "insufficient_credit")
            assert standing(dispatch).winner == 0
        outbox.run()
        assert len(got(outbox)) == 20
        with db.transaction():
            wallet_service.release(outbox.shop.id, spent_elsewhere.id)
            if not by_hand:
                service.resume_dispatch(dispatch.shop_id, dispatch.id)
        if by_hand:
            choose(dispatch, 0)
        outbox.run()
    assert counted(outbox) == {"A": 90, "B": 10}
    outbox.check_books(dispatch)


def test_who_is_texted_again_gets_the_same_text(outbox: Outbox) -> None:
    subscribers(outbox, 100)
    dispatch = outbox.start(source=A, others=[B], shares=[50, 50])
    outbox.run()
    first = got(outbox)
    failed = sorted(first)[:40]
    ids = {each["destination"]: each["messageId"] for each in outbox.mitto.log()}
    outbox.receive(*[payloads.Receipt(ids[phone], "EXPIRED") for phone in failed])
    outbox.mitto.reset()
    with db.transaction():
        outcome = service.retry_failed(dispatch.shop_id, dispatch.id)
    assert outcome.retried == 40
    outbox.run()
    assert got(outbox) == {phone: first[phone] for phone in failed}
    assert len(set(got(outbox).values())) == 2


def test_a_refused_batch_is_split_and_its_halves_keep_their_text(outbox: Outbox) -> None:
    phones = subscribers(outbox, 60)
    outbox.mitto.configure(faults=[{"kind": "400", "next": 1}])
    dispatch = outbox.start(source=A, others=[B], shares=[50, 50])
    outbox.run()
    assert counted(outbox) == {"A": 30, "B": 30}
    assert len(got(outbox)) == len(phones)
    outbox.check_books(dispatch)


def test_who_sleeps_when_the_winner_is_known_gets_it_in_their_morning(outbox: Outbox) -> None:
    outbox.set(quiet_hours_on=True, quiet_from=time(20), quiet_until=time(9))
    subscribers(outbox, 100)
    with clock.frozen_at(datetime(2026, 3, 10, 12, 0, tzinfo=UTC)):
        dispatch = outbox.start(source=A, others=[B], shares=[10, 10], decide_after=timedelta(hours=10))
        outbox.run()
    assert len(got(outbox)) == 20
    with clock.frozen_at(datetime(2026, 3, 10, 22, 1, tzinfo=UTC)):  # one minute past midnight in Athens
        assert service.decide_winners() == 1
        outbox.run()
        assert len(got(outbox)) == 20
        assert outbox.progress(dispatch).next_due_at == datetime(2026, 3, 11, 7, 0, tzinfo=UTC)
    with clock.frozen_at(datetime(2026, 3, 11, 7, 1, tzinfo=UTC)):
        outbox.run()
    assert counted(outbox) == {"A": 90, "B": 10}
    outbox.check_books(dispatch)


def test_a_batch_that_is_put_off_keeps_its_text_and_the_test_is_not_through_before(outbox: Outbox) -> None:
    outbox.set(quiet_hours_on=True, quiet_from=time(20), quiet_until=time(9))
    subscribers(outbox, 60)
    with clock.frozen_at(datetime(2026, 3, 10, 12, 0, tzinfo=UTC)):
        dispatch = outbox.start(source=A, others=[B], shares=[50, 49], decide_after=HOUR)
    with clock.frozen_at(datetime(2026, 3, 10, 18, 30, tzinfo=UTC)):  # half past eight in Athens
        outbox.run()
        assert got(outbox) == {}
    with clock.frozen_at(datetime(2026, 3, 11, 6, 0, tzinfo=UTC)):
        assert service.decide_winners() == 0
        assert standing(dispatch).decides_at is None
    with clock.frozen_at(datetime(2026, 3, 11, 7, 1, tzinfo=UTC)):
        outbox.run()
        assert counted(outbox) == {"A": 30, "B": 29}


def test_waiting_for_a_winner_is_not_standing_still(outbox: Outbox) -> None:
    subscribers(outbox, 50)
    outbox.start(**AFTER)
    outbox.run()
    with later(minutes=40):
        assert service.reconcile()["stalled"] == 0
        with db.transaction():
            assert queries.queue_stats().oldest_due is None


def test_what_waited_long_is_valid_from_when_it_may_go(outbox: Outbox) -> None:
    """A test of a day, chosen by hand after three: the texts are no older than the choice."""
    subscribers(outbox, 50)
    dispatch = outbox.start(source=A, others=[B], shares=[10, 10])
    outbox.run()
    with later(hours=100):
        choose(dispatch, 0)
        outbox.run()
        assert outbox.progress(dispatch).skipped == 0
    assert len(got(outbox)) == 50


def test_a_failed_dispatch_that_is_sent_again_tests_as_before(outbox: Outbox) -> None:
    """The account was refused in the middle of the test: who waited waits again, for a winner that is chosen then."""
    subscribers(outbox, 100)
    outbox.mitto.configure(faults=[{"kind": "401", "share": 1.0}])
    dispatch = outbox.start(**AFTER)
    outbox.run()
    assert outbox.progress(dispatch).state is DispatchState.FAILED
    outbox.mitto.configure(faults=[])
    with db.transaction():
        assert service.retry_failed(dispatch.shop_id, dispatch.id).retried == 100
    outbox.run()
    assert counted(outbox) == {"A": 10, "B": 10}
    assert outbox.progress(dispatch).waiting == 80
    choose(dispatch, 1)
    outbox.run()
    assert counted(outbox) == {"A": 10, "B": 90}
    outbox.check_books(dispatch)


def test_each_message_tells_its_text(outbox: Outbox) -> None:
    subscribers(outbox, 20)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    with db.transaction():
        rows = queries.recipients(dispatch.shop_id, dispatch.id, limit=100)
        walked = queries.stretch(dispatch.shop_id, dispatch.id, limit=100).rows
    for shown in (rows, walked):
        assert Counter(row.text_number for row in shown) == {0: 2, 1: 2, None: 16}
    waits = next(row for row in rows if row.text_number is None)
    with db.transaction():
        assert queries.history(dispatch.shop_id, dispatch.id, waits.id).message.text_number is None


def test_who_asks_what_is_held_on_them_reads_the_text_that_they_got(outbox: Outbox) -> None:
    subscribers(outbox, 20)
    dispatch = outbox.start(**AFTER)
    outbox.run()
    with db.transaction():
        rows = queries.recipients(dispatch.shop_id, dispatch.id, limit=100)
        told = {}
        for number in (0, 1, None):
            phone = next(str(row.phone) for row in rows if row.text_number == number)
            person = erasing.Person(None, phone_hash=crypto.for_shop(dispatch.shop_id).lookup(phone))
            export = exporting.gather(dispatch.shop_id, person, actor="test")
            held = orjson.loads(exporting.fetch(dispatch.shop_id, export, actor="test"))
            told[number] = [each["words"] for each in held["texts_to_them"]]
    assert told == {0: [A], 1: [B], None: [None]}


def test_a_version_that_reads_the_one_text_of_a_dispatch_sends_nothing_of_several(outbox: Outbox) -> None:
    """As the version before does, which claims what has no text yet, too, and would have sent text A to everybody."""
    subscribers(outbox, 20)
    dispatch = outbox.start(**AFTER)
    with db.transaction():
        db.session.execute(text("UPDATE batches SET text_number = 0"))
        db.session.execute(text("DELETE FROM dispatch_texts"))
    outbox.run()
    assert outbox.mitto.log() == []
    progress = outbox.progress(dispatch)
    assert (progress.state, progress.failure_code) == (DispatchState.FAILED, "unsendable")


def test_a_claim_walks_past_nobody_who_waits(outbox: Outbox) -> None:
    """The index of due batches leads to each dispatch's first; it holds none of those that have no text yet. A plain
    dispatch's batches are of text 0, and are found by the same."""
    subscribers(outbox, 10)
    plain = outbox.start()
    with db.transaction():
        session = db.session
        assert list(session.scalars(select(Batch.text_number).where(Batch.dispatch_id == plain.id))) == [0]
        session.execute(_MANY_MORE, {"dispatch_id": plain.id})
        session.execute(text("ANALYZE batches"))
        values = {"now": clock.now(), "worker": "test", "lease": clock.now()}
        plan = "\n".join(session.scalars(text(f"EXPLAIN (COSTS OFF) {claiming._CLAIM}"), values))
        session.rollback()
    assert "Seq Scan on batches" not in plan
    assert "ix_batches_open" not in plan
    assert plan.count("using ix_batches_due") == 2


_MANY_MORE = text("""
INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, first_id, last_id, text_number)
SELECT dispatch_id, n, shop_id, CASE WHEN n % 10 = 0 THEN 'pending' ELSE 'done' END, due_at, valid_until, 1, first_id,
       last_id, CASE WHEN n % 20 = 0 THEN 0 END
FROM batches, generate_series(1, 4000) AS n WHERE dispatch_id = :dispatch_id
""")


def test_theirs_is_not_ours(outbox: Outbox) -> None:
    subscribers(outbox, 20)
    dispatch = outbox.start(**AFTER)
    with db.transaction():
        theirs = create_shop(domain="theirs.myshopify.com", sender="Theirs")
    with db.transaction():
        assert queries.standing(theirs.id, dispatch.id) is None
    assert MessageState.PENDING in set(outbox.states(dispatch).values())
