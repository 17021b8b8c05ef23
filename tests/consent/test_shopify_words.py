"""What Shopify's record of a phone does here: the table of docs/consent.md, row by row, and the rows that it reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from blossom.consent import queries, rules
from blossom.consent import service as consent
from blossom.consent.models import ConsentPush
from blossom.consent.rules import Deed, Keyword, Refusal, Source, Standing, State, Urgency
from blossom.consent.service import syncing
from blossom.contacts.rules import Person, normalise_phone
from blossom.contacts.rules.customers import Customer, SmsConsent
from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.shops.models import Installation
from tests.personas import Personas

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BEFORE, SAME, SOON, LATER, NO_TIME = (
    NOON - timedelta(hours=1),
    NOON,
    NOON + timedelta(minutes=1),
    NOON + timedelta(hours=1),
    None,
)
NEVER, PENDING, IN, OUT = State.NEVER_SUBSCRIBED, State.PENDING, State.OPTED_IN, State.OPTED_OUT
LIST, FORM, SHOPIFY = Source.IMPORT, Source.STOREFRONT, Source.SHOPIFY
PEOPLE = (Source.CHECKOUT, Source.STOREFRONT, Source.KEYWORD)
OTHERS = (*PEOPLE, Source.API, Source.MERCHANT)
ALL = tuple(Source)

CONFIRMED, BOX, APP = (
    ("CONFIRMED_OPT_IN", "SHOPIFY"),
    ("SINGLE_OPT_IN", "SHOPIFY"),  # at the checkout, or by a merchant's click
    ("CONFIRMED_OPT_IN", "OTHER"),  # an app says so: also the echo of ours
)

# Where the phone stands since noon, by whom, and whether Shopify is still to be told; Shopify's state, how it was
# given, since when; where the phone stands then.
TABLE = [
    # Nothing stands here: whatever Shopify says is news.
    (NEVER, (None,), False, "SUBSCRIBED", BOX, BEFORE, IN),
    (NEVER, (None,), False, "SUBSCRIBED", APP, NO_TIME, IN),
    (NEVER, (None,), False, "PENDING", BOX, NO_TIME, PENDING),
    (NEVER, (None,), False, "UNSUBSCRIBED", APP, BEFORE, OUT),
    (NEVER, (None,), False, "NEVER_SUBSCRIBED", BOX, NO_TIME, NEVER),
    (NEVER, (None,), False, "REDACTED", BOX, LATER, NEVER),
    # Taken back here (a list's no, a confirmation that did not come): what was said before doesn't bring it back.
    (NEVER, (LIST, FORM), False, "SUBSCRIBED", APP, BEFORE, NEVER),
    (NEVER, (LIST, FORM), False, "SUBSCRIBED", APP, SAME, NEVER),
    (NEVER, (LIST, FORM), False, "SUBSCRIBED", APP, NO_TIME, NEVER),
    (NEVER, (LIST, FORM), False, "SUBSCRIBED", BOX, LATER, IN),
    (NEVER, (LIST, FORM), False, "PENDING", APP, BEFORE, NEVER),
    (NEVER, (LIST, FORM), False, "PENDING", BOX, LATER, PENDING),
    # Taken back by Shopify itself.
    (NEVER, (SHOPIFY,), False, "SUBSCRIBED", BOX, BEFORE, IN),
    (NEVER, (SHOPIFY,), False, "PENDING", BOX, BEFORE, PENDING),
    # Asked to confirm here: Shopify's older yes is none to that; a newer one is.
    (PENDING, (FORM,), False, "SUBSCRIBED", APP, BEFORE, PENDING),
    (PENDING, (FORM,), False, "SUBSCRIBED", CONFIRMED, LATER, IN),
    (PENDING, (FORM,), False, "NEVER_SUBSCRIBED", BOX, NO_TIME, PENDING),
    (PENDING, (FORM,), True, "NEVER_SUBSCRIBED", BOX, NO_TIME, PENDING),
    (PENDING, (FORM,), False, "UNSUBSCRIBED", BOX, BEFORE, OUT),
    (PENDING, (SHOPIFY,), False, "SUBSCRIBED", BOX, SAME, IN),
    (PENDING, (SHOPIFY,), False, "NEVER_SUBSCRIBED", BOX, NO_TIME, NEVER),
    # Agreed by Shopify's word alone: it takes back what it gave, unless ours is on its way there.
    (IN, (SHOPIFY,), False, "NEVER_SUBSCRIBED", BOX, NO_TIME, NEVER),
    (IN, (SHOPIFY,), False, "PENDING", BOX, LATER, PENDING),
    (IN, (SHOPIFY,), True, "NEVER_SUBSCRIBED", BOX, NO_TIME, IN),
    (IN, (SHOPIFY,), True, "PENDING", BOX, LATER, IN),
    # Agreed by a list that a merchant attested.
    (IN, (LIST,), True, "NEVER_SUBSCRIBED", BOX, NO_TIME, IN),
    (IN, (LIST,), True, "NEVER_SUBSCRIBED", BOX, LATER, IN),
    (IN, (LIST,), True, "PENDING", BOX, LATER, IN),
    (IN, (LIST,), False, "NEVER_SUBSCRIBED", BOX, NO_TIME, IN),
    (IN, (LIST,), False, "NEVER_SUBSCRIBED", BOX, BEFORE, IN),
    (IN, (LIST,), False, "NEVER_SUBSCRIBED", BOX, SAME, IN),
    (IN, (LIST,), False, "NEVER_SUBSCRIBED", BOX, LATER, NEVER),
    (IN, (LIST,), False, "PENDING", BOX, BEFORE, IN),
    (IN, (LIST,), False, "PENDING", BOX, LATER, PENDING),
    # Agreed by the person, an API or a member of staff: no record that lacks a yes takes that back.
    (IN, OTHERS, False, "NEVER_SUBSCRIBED", BOX, NO_TIME, IN),
    (IN, OTHERS, False, "NEVER_SUBSCRIBED", BOX, LATER, IN),
    (IN, OTHERS, False, "PENDING", BOX, LATER, IN),
    (IN, OTHERS, True, "NEVER_SUBSCRIBED", BOX, LATER, IN),
    (IN, ALL, False, "REDACTED", BOX, LATER, IN),
    (IN, ALL, False, "SUBSCRIBED", CONFIRMED, LATER, IN),
    # An opt-out holds, whenever it was, but for what the person has said since.
    (IN, PEOPLE, False, "UNSUBSCRIBED", BOX, BEFORE, IN),
    (IN, PEOPLE, True, "UNSUBSCRIBED", BOX, BEFORE, IN),
    (IN, PEOPLE, False, "UNSUBSCRIBED", BOX, SAME, OUT),
    (IN, PEOPLE, False, "UNSUBSCRIBED", BOX, NO_TIME, OUT),
    (IN, PEOPLE, True, "UNSUBSCRIBED", BOX, LATER, OUT),
    (IN, (LIST, SHOPIFY, Source.API, Source.MERCHANT), True, "UNSUBSCRIBED", BOX, BEFORE, OUT),
    # Opted out: only what the phone's owner confirmed to Shopify itself, and clearly after it, undoes that.
    (OUT, ALL, False, "SUBSCRIBED", CONFIRMED, LATER, IN),
    (OUT, ALL, True, "SUBSCRIBED", CONFIRMED, LATER, IN),
    (OUT, ALL, False, "SUBSCRIBED", CONFIRMED, SOON, OUT),
    (OUT, ALL, False, "SUBSCRIBED", CONFIRMED, BEFORE, OUT),
    (OUT, ALL, True, "SUBSCRIBED", CONFIRMED, BEFORE, OUT),
    (OUT, ALL, False, "SUBSCRIBED", CONFIRMED, NO_TIME, OUT),
    (OUT, ALL, False, "SUBSCRIBED", BOX, LATER, OUT),
    (OUT, ALL, False, "SUBSCRIBED", APP, LATER, OUT),
    (OUT, ALL, False, "PENDING", CONFIRMED, LATER, OUT),
    (OUT, ALL, False, "NEVER_SUBSCRIBED", BOX, LATER, OUT),
    (OUT, ALL, False, "UNSUBSCRIBED", BOX, LATER, OUT),
]


@pytest.mark.parametrize(("state", "sources", "owed", "said", "how", "since", "then"), TABLE)
def test_what_shopify_says_of_a_phone(
    state: State,
    sources: tuple[Source | None, ...],
    owed: bool,
    said: str,
    how: tuple[str, str],
    since: datetime | None,
    then: State,
) -> None:
    for source in sources:
        standing = Standing(state, source, None if source is None else NOON)
        word = SmsConsent(said, how[0], since, how[1])
        for deed in syncing.deeds_of(standing, word, push_owed=owed):
            step = syncing._step(b"", deed, word)
            after = rules.transition(standing, rules.Event(deed, step.source, since or NOON + timedelta(hours=2)))
            if not isinstance(after, Refusal):
                standing = Standing(after, step.source, since)
        assert standing.state is then, source


PHONE = normalise_phone("+306984303406", "GR")


def says(shop_id: int, state: str, at: datetime | None = None, **how: str) -> None:
    """Shopify's record of PHONE comes, read just now."""
    person = Person(phone=PHONE, zone="Europe/Athens", shopify_customer_id=7)
    word = SmsConsent(state, how.get("level"), at, how.get("collected_from"))
    syncing.save_customers(shop_id, [Customer(7, clock.now(), person, None, word)])


@pytest.fixture
def shop_id(personas: Personas) -> int:
    """A shop that is connected to Shopify, so that it owes its changes there."""
    session.add(Installation(shop_id=personas.ours.id))
    session.flush()
    return personas.ours.id


def attested(shop_id: int) -> bytes:
    """PHONE's hash, after a file has opted it in."""
    phone_hash = crypto.for_shop(shop_id).lookup(PHONE.e164)
    consent.opt_in(shop_id, phone_hash, source=Source.IMPORT, actor="staff:1")
    return phone_hash


def told(shop_id: int, phone_hash: bytes) -> None:
    """Our push has reached Shopify."""
    push = session.get_one(ConsentPush, session.query(ConsentPush.id).filter_by(phone_hash=phone_hash).scalar())
    push.next_try_at, push.settled_at = None, clock.now()
    session.flush()


def test_what_a_merchant_attested_is_not_taken_back_by_a_record_that_was_not_told_yet(shop_id: int) -> None:
    phone_hash = attested(shop_id)
    says(shop_id, "NEVER_SUBSCRIBED")
    says(shop_id, "PENDING", clock.now() + timedelta(minutes=5))
    assert queries.state_of(shop_id, phone_hash) is State.OPTED_IN


def test_nor_when_it_was_read_before_our_push_and_is_written_after_it(shop_id: int) -> None:
    phone_hash = attested(shop_id)
    told(shop_id, phone_hash)
    says(shop_id, "NEVER_SUBSCRIBED")
    assert queries.state_of(shop_id, phone_hash) is State.OPTED_IN


def test_what_a_list_took_back_is_not_brought_back_by_the_echo_of_what_shopify_was_told(shop_id: int) -> None:
    phone_hash = attested(shop_id)
    given_at = queries.standing_of(shop_id, phone_hash).changed_at
    told(shop_id, phone_hash)
    consent.apply(shop_id, [consent.Step(phone_hash, Deed.RETRACT, Source.IMPORT)])
    says(shop_id, "SUBSCRIBED", given_at)
    assert queries.state_of(shop_id, phone_hash) is State.NEVER_SUBSCRIBED


def test_who_confirmed_to_shopify_after_an_opt_out_is_opted_in_by_that_and_it_is_not_told_back(shop_id: int) -> None:
    phone_hash = crypto.for_shop(shop_id).lookup(PHONE.e164)
    consent.opt_out(shop_id, phone_hash, source=Source.KEYWORD, occurred_at=clock.now() - timedelta(days=1))
    told(shop_id, phone_hash)
    says(shop_id, "SUBSCRIBED", clock.now(), level="CONFIRMED_OPT_IN", collected_from="SHOPIFY")
    assert queries.standing_of(shop_id, phone_hash).source is Source.CHECKOUT
    assert queries.state_of(shop_id, phone_hash) is State.OPTED_IN
    assert session.query(ConsentPush.next_try_at).scalar() is None


def test_an_opt_out_that_a_look_through_all_customers_finds_untold_waits_behind_a_fresh_one(shop_id: int) -> None:
    """There may be thousands, since a shop may have texted for years before the app was there."""
    phone_hash = crypto.for_shop(shop_id).lookup(PHONE.e164)
    consent.record_keyword(shop_id, phone_hash, Keyword.STOP)
    assert session.query(ConsentPush.urgency).scalar() == Urgency.STOP
    told(shop_id, phone_hash)
    says(shop_id, "SUBSCRIBED", clock.now() - timedelta(days=30))
    assert session.query(ConsentPush.urgency, ConsentPush.next_try_at.is_not(None)).one() == (
        Urgency.LISTED_STOP,
        True,
    )


def save(shop_id: int, customer: int, phone: str | None, state: str, minutes: int) -> None:
    """Shopify's record of a customer, as it was after so many minutes."""
    at = NOON + timedelta(minutes=minutes)
    person = phone and Person(phone=normalise_phone(phone, "GR"), zone="Europe/Athens", shopify_customer_id=customer)
    word = SmsConsent(state, None, at, None) if phone else None
    syncing.save_customers(shop_id, [Customer(customer, at, person or None, None, word)])


def may_be_texted(shop_id: int, phone: str) -> bool:
    phone_hash = crypto.for_shop(shop_id).lookup(phone)
    return queries.may_text(shop_id, phone_hash, rules.Purpose.MARKETING)[0]


@pytest.mark.parametrize("new", ["+306984303499", "+306984303400", None], ids=["new", "another's", "none"])
def test_what_a_list_said_of_a_number_goes_with_the_customer_who_gives_it_up(shop_id: int, new: str | None) -> None:
    old = "+306984303406"
    save(shop_id, 8, "+306984303400", "NEVER_SUBSCRIBED", 0)
    save(shop_id, 7, old, "SUBSCRIBED", 1)
    assert may_be_texted(shop_id, old)

    save(shop_id, 7, new, "SUBSCRIBED", 3)

    assert not may_be_texted(shop_id, old), "it may be anybody's next"
    assert new is None or may_be_texted(shop_id, new)


def test_what_a_number_s_owner_said_themselves_stays_when_their_customer_gives_it_up(shop_id: int) -> None:
    old = "+306984303406"
    save(shop_id, 7, old, "NEVER_SUBSCRIBED", 1)
    consent.opt_in(shop_id, crypto.for_shop(shop_id).lookup(old), source=Source.STOREFRONT)
    save(shop_id, 7, "+306984303499", "NEVER_SUBSCRIBED", 2)

    assert may_be_texted(shop_id, old)
    save(shop_id, 7, old, "NEVER_SUBSCRIBED", 0)  # heard late: what is older changes nothing
    assert may_be_texted(shop_id, old)
