"""When the demo's report and the provider's log agree, and that it says so when they don't."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from blossom.sandbox.demo import figures
from blossom.sandbox.demo.figures import Counted, Figures, ProviderLog, ShopifyLog

LOG = ProviderLog(texts=8, distinct_phones=8, doubled=0, segments=9, ids=frozenset("abcdefgh"))
SOUND = Figures(
    imported=15,
    refused=2,
    recipients=12,
    left_out={"opted_out": 2, figures.REPEATED: 1},
    skipped={"capped": 2},
    sent=9,
    delivered=7,
    failed=2,
    not_taken=1,
    unconfirmed=0,
    scheduled=1,
    segments=9,
    credits=40,
    seconds=2.0,
    provider_log=LOG,
)


AT_SHOPIFY = ShopifyLog(customers=17, subscribed=12, token_exchanges=2, bulk_operations=1, texted_unsubscribed=0)


def counted(**overrides: Any) -> Counted:
    return Counted(**{"taken": 8, "not_taken": 1, "segments": 9, "credits": 40, "ids": set(LOG.ids or ()), **overrides})


def test_a_sound_run_has_nothing_to_say() -> None:
    assert figures.disagreements(SOUND, counted()) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"provider_log": replace(LOG, doubled=1)}, "1 phones got more than one text"),
        ({"provider_log": replace(LOG, texts=7)}, "We say that 8 texts were taken, the provider's log has 7"),
        ({"provider_log": replace(LOG, texts=9)}, "We say that 8 texts were taken, the provider's log has 9"),
        ({"provider_log": replace(LOG, ids=frozenset("abcdefg"))}, "1 of our texts are not in the provider's log"),
        ({"segments": 10}, "We count 10 segments, the provider 9"),
        ({"credits": 41}, "The messages cost 40 credits, the wallet paid 41"),
        ({"imported": 16}, "16 lines were imported"),
        ({"scheduled": 0}, "There are 12 recipients, but 11 of them are accounted for"),
    ],
)
def test_each_disagreement_is_told(changed: dict[str, Any], told: str) -> None:
    (found,) = figures.disagreements(replace(SOUND, **changed), counted())
    assert told in found


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"customers": 18}, "We account for 17 customers, Shopify has 18"),
        ({"texted_unsubscribed": 1}, "1 phones got a text that aren't subscribed at Shopify"),
        ({"bulk_operations": 0}, "2 token exchanges and 0 bulk operations"),
        ({"token_exchanges": 0}, "0 token exchanges and 1 bulk operations"),
    ],
)
def test_what_shopify_has_otherwise_is_told(changed: dict[str, Any], told: str) -> None:
    run = replace(SOUND, shopify_log=AT_SHOPIFY)
    assert figures.disagreements(run, counted()) == []
    (found,) = figures.disagreements(replace(run, shopify_log=replace(AT_SHOPIFY, **changed)), counted())
    assert told in found
    assert run.as_json()["shopify_log"]["customers"] == 17


@pytest.mark.parametrize("taken", [8, 9, 10])
def test_an_unconfirmed_text_may_have_been_taken_or_not(taken: int) -> None:
    run = replace(SOUND, recipients=14, imported=17, unconfirmed=2, provider_log=replace(LOG, texts=taken))
    assert figures.disagreements(run, counted()) == []


def test_large_runs_are_compared_by_their_sums() -> None:
    run = replace(SOUND, provider_log=replace(LOG, ids=None))
    assert figures.disagreements(run, None) == []


def test_reasons_before_and_at_sending_are_one_list_in_json() -> None:
    found = replace(SOUND, left_out={"opted_out": 2}, skipped={"opted_out": 1, "capped": 1}).as_json()
    assert found["skipped"] == {"opted_out": 3, "capped": 1}
    assert found["messages_per_second"] == 4.5
    assert found["provider_log"] == {"texts": 8, "distinct_phones": 8, "doubled": 0}


def test_a_second_line_for_the_same_person_makes_no_recipient() -> None:
    report = {"created": 5, "updated": 2, "unchanged": 1}
    assert figures.left_out(report, {"leftOut": {"no_phone": 4}}) == {figures.REPEATED: 3, "no_phone": 4}


def test_a_text_without_the_providers_id_was_not_taken() -> None:
    tally = Counted()
    tally.add({"credits": 5, "segments": 1, "mittoMessageId": "a", "status": "delivered"})
    tally.add({"credits": 0, "segments": 2, "mittoMessageId": "b", "status": "failed"})
    tally.add({"credits": 0, "segments": 1, "mittoMessageId": None, "status": "failed"})
    tally.add({"credits": 0, "segments": 0, "mittoMessageId": None, "status": "skipped"})
    assert (tally.taken, tally.not_taken, tally.segments, tally.credits) == (2, 1, 3, 5)
