"""An audience that was counted once gives what counting it anew for each text would."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import orjson
import pytest

from blossom.message_templates.rules import language
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging.queries import census, estimate, previewing
from blossom.messaging.queries.census import Census
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.quiet_hours import QuietHours, next_allowed, open_minutes
from blossom.platform import clock
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import create_contact
from tests.factories.wallet import create_wallet
from tests.personas import Personas

EVERYBODY = Audience(everybody=True)
NIGHT = QuietHours(time(20), time(9))


@pytest.fixture
def crowd(personas: Personas) -> Shop:
    shop = personas.ours
    create_wallet(shop.id, 10_000)
    for number, (first, last) in enumerate([("Eleni", "Papa"), ("Νίκος", None), (None, None), ("Eleni", "Papa")]):
        create_subscriber(shop, first_name=first, last_name=last)
        create_subscriber(
            shop, first_name=first, phone=f"+336123456{number:02d}", phone_country="FR", zone="Europe/Paris"
        )
    opt_out(create_subscriber(shop))
    create_contact(shop)
    create_contact(shop, phone=None)
    create_subscriber(personas.theirs)
    return shop


def taken(shop: Shop) -> Census:
    now = clock.now()
    return census.take(shop.id, EVERYBODY, Caps(1, 3), now=now, planned=now)


def test_counts_each_once_and_says_who_gets_nothing(crowd: Shop) -> None:
    found = taken(crowd)
    assert (found.recipients, found.left_out) == (8, {"opted_out": 1, "not_opted_in": 1, "no_phone": 1})
    assert found.places() == {("Europe/Athens", "GR"): 4, ("Europe/Paris", "FR"): 4}
    assert [group.someone for group in found.groups] == sorted(group.someone for group in found.groups)


@pytest.mark.parametrize(
    "source",
    ["No name. Reply STOP", "Hi {{ first_name | default: 'x' }}", "{{ full_name | default: 'x' }} " + "γ" * 55],
)
def test_sums_as_the_check_before_sending_does(crowd: Shop, source: str) -> None:
    compiled = language.compile_text(source, Trigger.CAMPAIGN)
    prices = wallet.price_list_at(crowd.id, clock.now())
    values = previewing.values_for_all(crowd, compiled, "Ours")
    anew = estimate.estimate_costs(crowd.id, EVERYBODY, [compiled], values, prices)
    assert previewing.summed(crowd, taken(crowd), [compiled], "Ours", prices) == anew


def test_is_the_same_after_it_was_kept(crowd: Shop) -> None:
    found = taken(crowd)
    assert Census.from_json(orjson.loads(orjson.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("country", "day", "spans"),
    [
        ("GR", date(2027, 3, 2), [(540, 1200)]),
        ("FR", date(2027, 3, 2), [(600, 1200)]),
        ("FR", date(2027, 3, 7), []),  # a Sunday
    ],
)
def test_the_hours_that_are_drawn_are_those_that_hold(country: str, day: date, spans: list[tuple[int, int]]) -> None:
    assert open_minutes(day, "Europe/Paris", country, NIGHT) == spans
    for minute in range(0, 1440, 30):
        local = datetime.combine(day, time(minute // 60, minute % 60), tzinfo=ZoneInfo("Europe/Paris"))
        open_now = next_allowed(local, "Europe/Paris", country, NIGHT) == local
        assert open_now == any(begin <= minute < end for begin, end in spans), minute


def test_without_quiet_hours_the_whole_day_is_open() -> None:
    assert open_minutes(date(2027, 3, 7), "Europe/Paris", "FR", QuietHours(on=False)) == [(0, 1440)]


def test_a_day_shortened_by_turned_clocks_is_drawn_within_its_bounds() -> None:
    spans = open_minutes(date(2027, 3, 28), "Europe/Athens", "GR", QuietHours(time(0), time(0)))
    assert spans == [(0, 1440)]
