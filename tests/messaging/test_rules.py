"""Caps, states, receipts, waits and the manifest: tables and properties, no database."""

from __future__ import annotations

import itertools
import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.messaging.rules import manifest
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.manifest import ManifestEntry
from blossom.messaging.rules.retrying import failed_for_now
from blossom.messaging.rules.states import (
    FINAL_DISPATCH_STATES,
    MARKETING_KINDS,
    RANKS,
    DispatchKind,
    DispatchState,
    MessageState,
    ReceiptFact,
    backoff_seconds,
    furthest,
    moves_forward,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SAID = (MessageState.SENT, MessageState.FAILED, MessageState.DELIVERED)


# --- caps -----------------------------------------------------------------------------------------------------------


def ago(**span: float) -> datetime:
    return NOON - timedelta(**span)


def test_the_usual_caps_are_one_a_day_and_three_a_week() -> None:
    assert Caps() == Caps(daily=1, weekly=3)
    assert Caps().any
    assert Caps(daily=None, weekly=1).any
    assert not Caps(None, None).any


# --- states ---------------------------------------------------------------------------------------------------------

FORWARD = {
    MessageState.PENDING: {MessageState.SENT, MessageState.FAILED, MessageState.DELIVERED},
    MessageState.UNCONFIRMED: {MessageState.SENT, MessageState.FAILED, MessageState.DELIVERED},
    MessageState.SENT: {MessageState.FAILED, MessageState.DELIVERED},
    MessageState.FAILED: {MessageState.DELIVERED},
}


@pytest.mark.parametrize(("current", "receipt"), list(itertools.product(MessageState, SAID)))
def test_a_receipt_moves_a_message_forward_only(current: MessageState, receipt: MessageState) -> None:
    assert moves_forward(current, receipt) is (receipt in FORWARD.get(current, set()))


facts = st.builds(
    ReceiptFact,
    st.sampled_from(SAID),
    st.sampled_from(["Sent", "Queued", "Delivered", "Failure", "EXPIRED"]),
    st.integers(0, 3).map(lambda minute: NOON + timedelta(minutes=minute)),
    st.sampled_from([None, "", "27", "8"]),
)


@given(st.lists(facts, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_receipt_that_decides_is_the_same_in_any_order_and_number(receipts: list[ReceiptFact], chance) -> None:
    decides = furthest(receipts)
    again = [*receipts, *receipts[:2]]
    chance.shuffle(again)
    found = furthest(again)
    assert (found.state, found.raw, found.at) == (decides.state, decides.raw, decides.at)
    assert (found.error_code or "") == (decides.error_code or "")


@given(st.lists(facts, min_size=1, max_size=6))
def test_no_receipt_moves_beyond_the_one_that_decides(receipts: list[ReceiptFact]) -> None:
    decides = furthest(receipts)
    assert not any(moves_forward(decides.state, receipt.state) for receipt in receipts)
    assert decides.at == min(receipt.at for receipt in receipts if receipt.state == decides.state)


def test_every_kind_has_its_rank_and_answers_to_people_go_first() -> None:
    assert set(RANKS) == set(DispatchKind)
    assert RANKS[DispatchKind.STOP_REPLY] == RANKS[DispatchKind.REPLY] < RANKS[DispatchKind.AUTOMATION]
    assert RANKS[DispatchKind.AUTOMATION] < RANKS[DispatchKind.CAMPAIGN]
    assert {DispatchKind.CAMPAIGN, DispatchKind.AUTOMATION} == MARKETING_KINDS


def test_a_dispatch_ends_in_one_of_three_states() -> None:
    assert set(DispatchState) - FINAL_DISPATCH_STATES == {
        DispatchState.PREPARING, DispatchState.SENDING, DispatchState.PAUSED,
    }  # fmt: skip


# --- waits and retries ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tries", "seconds"), [(0, 5), (1, 5), (2, 10), (3, 20), (4, 40), (6, 160), (7, 300), (8, 300), (32_767, 300)]
)
def test_a_batch_that_fails_again_waits_longer_up_to_the_cap(tries: int, seconds: int) -> None:
    assert backoff_seconds(tries, 300) == seconds


@pytest.mark.parametrize(
    ("error", "status", "passes"),
    [
        ("expired", "EXPIRED", True),
        ("not_delivered", "undelivered", True),
        ("27", "Expired", True),
        ("unauthorized", None, True),
        ("insufficient_credit", None, True),
        ("not_delivered", "Failure", False),
        ("invalid_number", None, False),
        ("blocked_content", None, False),
        ("sender_refused", None, False),
        (None, None, False),
    ],
)
def test_which_failures_may_be_others_tomorrow(error: str | None, status: str | None, passes: bool) -> None:
    assert failed_for_now(error, status) is passes


# --- the manifest of a call -----------------------------------------------------------------------------------------

entries = st.lists(
    st.builds(
        ManifestEntry,
        st.integers(0, 2**63 - 1),
        st.integers(0, 65_535),
        st.integers(0, 2**32 - 1),
        st.binary(min_size=8, max_size=8),
    ),
    max_size=20,
)


def packed(entry: ManifestEntry) -> bytes:
    return manifest.pack([(entry.message_id, entry.segments, entry.credits, entry.digest)])


@given(entries)
def test_a_manifest_says_what_was_put_into_it_in_order(listed: list[ManifestEntry]) -> None:
    written = b"".join(map(packed, listed))
    assert list(manifest.unpack(written)) == listed
    assert len(written) == 22 * len(listed)


@pytest.mark.parametrize(
    "entry",
    [
        ManifestEntry(1, 65_536, 0, b"12345678"),
        ManifestEntry(1, -1, 0, b"12345678"),
        ManifestEntry(1, 0, -1, b"12345678"),
        ManifestEntry(1, 0, 2**32, b"12345678"),
        ManifestEntry(2**63, 0, 0, b"12345678"),
    ],
)
def test_what_a_manifest_cannot_hold_is_refused_before_the_call(entry: ManifestEntry) -> None:
    with pytest.raises(struct.error):
        packed(entry)


@pytest.mark.parametrize("lost", [1, 21])
def test_a_manifest_that_was_cut_is_refused(lost: int) -> None:
    written = packed(ManifestEntry(1, 2, 3, b"12345678")) * 2
    with pytest.raises(struct.error):
        list(manifest.unpack(written[:-lost]))
