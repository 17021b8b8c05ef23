"""What the preview says of caps is what then happens."""

from __future__ import annotations

from datetime import timedelta

from blossom.messaging import queries, service
from blossom.messaging.queries import Preview
from blossom.platform import clock, db
from blossom.segments.rules import Audience
from blossom.wallet import queries as money
from blossom.wallet import service as wallet
from tests.factories.consent import create_subscriber
from tests.messaging.conftest import TEXT, Outbox
from tests.messaging.test_sending import subscribers


def previewed(outbox: Outbox) -> Preview:
    with db.transaction():
        return queries.preview(outbox.shop.id, Audience(everybody=True), TEXT, "Ours", now=clock.now())


def test_those_who_reached_a_cap_are_left_out_of_the_numbers_and_of_the_cost(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(daily_cap=1, weekly_cap=2)
    subscribers(outbox, 3)
    outbox.start()
    outbox.run()
    with db.transaction():
        create_subscriber(outbox.shop)
    preview = previewed(outbox)
    assert (preview.estimate.recipients, preview.left_out) == (1, {"capped": 3})
    dispatch = outbox.start()
    before = outbox.spent()
    outbox.run()
    progress = outbox.progress(dispatch)
    assert (progress.sent, progress.skipped) == (1, 3)
    assert outbox.spent() - before == preview.estimate.credits


def test_a_day_later_the_daily_cap_counts_for_nothing(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(daily_cap=1, weekly_cap=2)
    subscribers(outbox, 3)
    outbox.start()
    outbox.run()
    with clock.frozen_at(clock.now() + timedelta(days=1, seconds=1)):
        assert previewed(outbox).left_out == {}


def test_credit_for_those_who_will_be_texted_is_enough(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(daily_cap=1)
    subscribers(outbox, 3)
    outbox.start()
    outbox.run()
    with db.transaction():
        create_subscriber(outbox.shop)
    needed = previewed(outbox).estimate.credits
    with db.transaction():
        free = money.balance(outbox.shop.id).available
        wallet.adjust(outbox.shop.id, needed - free, reference="test", reason="just enough")
    assert previewed(outbox).can_send
    dispatch = outbox.start()
    outbox.run()
    assert outbox.progress(dispatch).sent == 1


def test_a_test_text_counts_for_no_cap(outbox: Outbox) -> None:
    with db.transaction():
        outbox.set(daily_cap=1)
        contact = create_subscriber(outbox.shop)
        service.send_test(service.Trial(outbox.shop.id, "Hello", "Ours", [str(contact.phone)]))
    outbox.run()
    assert previewed(outbox).left_out == {}
