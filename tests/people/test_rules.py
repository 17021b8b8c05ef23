"""Words for what happened to consent, and marks in a list's addresses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.consent.rules import Deed, Event, ProofEntry, Source, Standing, State, transition
from blossom.people import rules
from blossom.people.rules import Mark

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)


def entry(before: State, after: State, source: Source, actor: str | None = None) -> ProofEntry:
    return ProofEntry(NOW, NOW, before, after, source, None, None, None, actor, {})


@pytest.mark.parametrize(
    ("before", "after", "source", "actor", "words"),
    [
        ("never_subscribed", "opted_in", "checkout", None, "Agreed to texts at the checkout"),
        ("never_subscribed", "opted_in", "import", "staff:2", "Agreed to texts in an imported file"),
        ("never_subscribed", "pending", "storefront", None, "Was asked to confirm on your storefront"),
        ("pending", "opted_in", "storefront", None, "Confirmed that they agree on your storefront"),
        ("pending", "never_subscribed", "storefront", "system", "Did not confirm in time on your storefront"),
        ("opted_in", "never_subscribed", "shopify", None, "No longer agrees as Shopify told us"),
        ("opted_in", "never_subscribed", "shopify", "shopify", "Was forgotten as Shopify told us"),
        ("opted_in", "opted_in", "keyword", None, "Agreed themselves, after a list had said so by a text message"),
        ("opted_in", "opted_out", "keyword", None, "Opted out by a text message"),
        ("opted_out", "opted_out", "keyword", None, "Opted out once more by a text message"),
        ("opted_in", "opted_out", "merchant", "staff:1", "Opted out in Blossom, by your staff"),
    ],
)
def test_what_happened_is_told_in_words(before: str, after: str, source: str, actor: str | None, words: str) -> None:
    told = entry(State(before), State(after), Source(source), actor)
    assert f"{rules.happening(told)} {rules.SOURCE_WORDS[told.source]}" == words


def test_whatever_can_happen_has_words() -> None:
    for state, before, deed, source in product(State, Source, Deed, Source):
        standing = Standing(state, before, NOW - timedelta(days=1))
        after = transition(standing, Event(deed, source, NOW))
        if isinstance(after, State):
            assert rules.happening(entry(state, after, source))


@given(
    st.integers(1, 10**18 - 1),
    st.none()
    | st.integers(0, 7 * 10**15).map(lambda after: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=after)),
)
def test_a_mark_is_read_as_it_was_written(contact_id: int, at: datetime | None) -> None:
    mark = Mark(contact_id, at)
    assert rules.read_mark(str(mark)) == mark


@given(st.text())
def test_what_is_no_mark_is_none(text: str) -> None:
    mark = rules.read_mark(text)
    assert mark is None or str(mark) == text or text.partition(".")[2].startswith("0")


@pytest.mark.parametrize(
    ("actor", "words"),
    [("staff:7", "Staff member no. 7"), ("api_key:3", "API key no. 3"), ("system", "system"), ("staff:", "staff:")],
)
def test_who_did_it_is_told_without_a_name(actor: str, words: str) -> None:
    assert rules.doer(actor) == words


@pytest.mark.parametrize(
    ("given", "shown"),
    [("+306912345678", "+30 691 234 5678"), ("+12015550123", "+1 201-555-0123"), ("x", "x"), (None, None)],
)
def test_a_number_is_shown_in_groups(given: str | None, shown: str | None) -> None:
    assert rules.phone_shown(given) == shown


@pytest.mark.parametrize(("tag", "name"), [("el", "Greek"), ("pt-BR", "Portuguese"), ("xx", "xx"), (None, None)])
def test_a_language_has_a_name(tag: str | None, name: str | None) -> None:
    assert rules.language_name(tag) == name
