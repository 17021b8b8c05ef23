"""What is counted of a campaign, when it is old, and where the bars of its pictures stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.campaigns.rules import causes, charts, tally
from blossom.campaigns.rules.tally import Tally
from blossom.messaging.rules.groups import Group
from blossom.messaging.rules.states import MessageState
from blossom.mitto.errors import FAULTS, SendErrorKind
from blossom.platform import languages

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


def part(state: MessageState, messages: int = 1, **values: Any) -> Group:
    given = {"country": "GR", "error": None, "delivery_status": None, "reason": None, "opted_out": False}
    return Group(state=state, messages=messages, segments=messages, credits=5 * messages, **{**given, **values})


def counted(*groups: Group) -> Tally:
    return tally.count(groups, {}, clickers=None, unsubscribes=0)


class TestTally:
    def test_causes_tell_how_many_can_be_sent_again(self) -> None:
        found = counted(
            part(MessageState.FAILED, 3, error="expired"),
            part(MessageState.FAILED, 2, error="expired", opted_out=True),
            part(MessageState.FAILED, 9, error="invalid_number"),
            part(MessageState.FAILED, 1, error="expired", country="DE"),
        )
        assert [(each.error, each.messages, each.again) for each in found.causes] == [
            ("invalid_number", 9, 0), ("expired", 6, 4),
        ]  # fmt: skip
        assert (found.failed, found.again) == (15, 4)
        assert found.opted_out == {"failed": 2}

    def test_countries_cost_what_their_messages_cost(self) -> None:
        found = counted(
            part(MessageState.DELIVERED, 4),
            part(MessageState.FAILED, 2, error="expired"),
            part(MessageState.SENT, 5, country="DE"),
            part(MessageState.SKIPPED, 1, country="DE", reason="capped"),
        )
        assert [(c.country, c.recipients, c.texts, c.delivered, c.failed, c.segments) for c in found.countries] == [
            ("GR", 6, 4, 4, 2, 4), ("DE", 6, 5, 0, 0, 5),
        ]  # fmt: skip
        assert found.credits == 60
        assert found.reasons == {"capped": 1}

    def test_survives_being_kept(self) -> None:
        moments = {"delivered": [(NOW, 3), (NOW + timedelta(minutes=2), 1)], "clicked": [(NOW, 2)]}
        found = tally.count(
            [part(MessageState.FAILED, 3, error="expired", delivery_status="EXPIRED")],
            moments,
            clickers=2,
            unsubscribes=1,
        )
        assert Tally.from_json(orjson.loads(tally.dumped(found.to_json()))) == found

    def test_of_what_went_on_for_days_keeps_quarters_of_an_hour(self) -> None:
        moments = {"delivered": [(NOW + timedelta(minutes=place), 1) for place in range(3_000)]}
        (kept,) = tally.count([], moments, clickers=None, unsubscribes=0).minutes.values()
        assert len(kept) <= 201
        assert sum(number for _, number in kept) == 3_000

    @pytest.mark.parametrize(
        ("ago", "same", "ended_ago", "good"),
        [
            (timedelta(minutes=1), True, None, True),
            (timedelta(minutes=1), False, None, False),
            (timedelta(minutes=6), True, None, False),  # clicks may have come
            (timedelta(minutes=6), True, timedelta(days=1), False),
            (timedelta(days=9), True, timedelta(days=40), True),  # counted when all was over
            (timedelta(days=20), True, timedelta(days=40), False),  # counted while clicks still came
            (timedelta(days=9), False, timedelta(days=40), False),
        ],
    )
    def test_is_good_until_something_may_have_changed(
        self, ago: timedelta, same: bool, ended_ago: timedelta | None, good: bool
    ) -> None:
        ended = NOW - ended_ago if ended_ago else None
        assert tally.is_good(NOW - ago, [1, 2], [1, 2] if same else [1, 3], ended, NOW) is good

    def test_what_was_never_counted_is_not_good(self) -> None:
        assert not tally.is_good(None, None, [1], NOW, NOW)


class TestWords:
    @pytest.mark.parametrize(
        "code", [code for code in FAULTS if FAULTS[code].kind is not SendErrorKind.UNKNOWN_OUTCOME]
    )
    def test_each_failure_of_the_providers_table_has_its_own(self, code: str) -> None:
        assert causes.words(code, None) is not causes.words("not_delivered", None)

    @pytest.mark.parametrize(
        ("error", "status", "happened"),
        [
            ("DLR_9", "Failure", "The network could not deliver it."),
            (None, None, "The network could not deliver it."),
            (None, "EXPIRED", "The phone was off or out of reach for too long."),
        ],
    )
    def test_an_unknown_one_is_the_networks(self, error: str | None, status: str | None, happened: str) -> None:
        assert causes.words(error, status).happened == happened

    def test_advice_to_send_again_is_given_where_it_would_be_sent_again(self) -> None:
        for code in ("expired", "could_not_connect", "rate_limited", "provider_busy", "insufficient_credit"):
            assert causes.passes(code, None)
            assert "end them again" in causes.words(code, None).advice
        assert not causes.passes("invalid_number", None)


def minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


class TestOverTime:
    def test_columns_begin_at_round_times_of_the_zone(self) -> None:
        half_past = NOW.replace(minute=47)
        found = charts.over_time({"delivered": [(minute(half_past), 2), (minute(half_past) + 190, 1)]}, ["delivered"],
                                 "Asia/Kathmandu")  # fmt: skip  # 05:45 off
        assert found.minutes == 10
        assert found.buckets[0].begins == NOW.replace(minute=45)
        assert found.buckets[0].counts["delivered"] == 2

    def test_the_last_few_do_not_stretch_the_axis(self) -> None:
        first = minute(NOW)
        found = charts.over_time(
            {"delivered": [(first, 500), (first + 3, 499), (first + 4_000, 3)]}, ["delivered"], "UTC"
        )
        assert (found.minutes, len(found.buckets)) == (1, 4)
        assert found.later == {"delivered": 3}

    def test_a_column_is_no_wall_and_has_its_time_below_its_middle(self) -> None:
        found = charts.over_time({"delivered": [(minute(NOW), 40)]}, ["delivered"], "UTC")
        chart = charts.columns(found, ["delivered"])
        (bar,), ((middle, place),) = chart.bars, chart.ticks
        assert bar.width <= chart.width / 10
        assert (bar.x + bar.width / 2, 0) == (pytest.approx(middle), place)

    def test_nothing_has_no_picture(self) -> None:
        assert charts.over_time({}, ["delivered"], "UTC").buckets == ()

    @given(
        st.lists(st.tuples(st.integers(minute(NOW), minute(NOW) + 400_000), st.integers(1, 10_000)), min_size=1),
        st.sampled_from(["UTC", "Europe/Athens", "America/St_Johns", "Pacific/Chatham"]),
    )
    def test_nobody_is_lost_and_columns_stay_few(self, counted: list[tuple[int, int]], zone: str) -> None:
        found = charts.over_time({"failed": sorted(counted)}, ["failed"], zone)
        shown = sum(bucket.counts["failed"] for bucket in found.buckets) + sum(found.later.values())
        assert shown == sum(number for _, number in counted)
        assert 1 <= len(found.buckets) <= charts.MOST_BARS
        chart = charts.columns(found, ["failed"])
        assert all(0 <= bar.x <= bar.x + bar.width <= chart.width + 0.001 for bar in chart.bars)
        assert all(bar.y >= 0 and bar.y + bar.height <= chart.bottom + 0.001 for bar in chart.bars)
        assert max(value for _, value in chart.lines) >= found.highest


@pytest.mark.parametrize(
    ("highest", "end"), [(0, 1), (1, 1), (3, 4), (9, 10), (41, 80), (81, 100), (1_000_000, 1_000_000)]
)
def test_the_axis_ends_at_a_round_number(highest: int, end: int) -> None:
    assert charts._round_up(highest) == end


def test_the_funnel_tells_what_is_left_of_each_step() -> None:
    steps = charts.funnel([("recipients", 200), ("left", 100), ("delivered", 50), ("clicked", 0)])
    assert [(step.share, step.of_before) for step in steps] == [(100, 100), (50, 50), (25, 50), (0, 0)]
    assert [step.share for step in charts.funnel([("recipients", 0), ("left", 0)])] == [0, 0]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("insufficient_credit", "Λείπουν μονάδες."),
        ("unauthorized", "Η Mitto δεν δέχτηκε το κλειδί"),
        ("nothing_accepted", "Η Mitto δεν δέχτηκε κανένα"),
        ("from_the_future", "5 credits are missing."),
    ],
)
def test_why_a_campaign_stopped_is_said_by_its_code_where_its_text_is_in_another_language(code: str, said: str) -> None:
    text = "5 credits are missing."
    assert causes.stopped(code, text, "en") == text
    assert languages.translator("el")(causes.stopped(code, text, "el")).startswith(said)
