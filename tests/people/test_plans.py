"""The list is quick however many contacts there are: each page of it is read through an index and stops early.

Tens of thousands of rows with statistics make the planner choose as it does for a million; at a million the very plans
were measured at 1 to 12 ms (docs/contacts.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, text

from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.people.queries import listing as queries
from blossom.people.queries import segments as counts
from blossom.people.rules import Mark
from blossom.platform import db
from blossom.platform.db import session
from blossom.segments import service as segments
from blossom.segments.rules import Condition, Field, Match, Question
from blossom.shops.models import Shop
from tests.factories.consent import create_subscriber
from tests.personas import Personas

PEOPLE = 20_000
STATES = {"pending": 10, "opted_out": 1_000, "opted_in": PEOPLE // 2}


@pytest.fixture
def crowd(personas: Personas) -> Shop:
    """One subscriber becomes a crowd of which half has a row of consent."""
    shop = personas.ours
    create_subscriber(shop)
    session.execute(
        text("""
            INSERT INTO contacts (shop_id, phone_sealed, phone_hash, phone_country, zone, created_at, updated_at)
            SELECT shop_id, phone_sealed, substring(sha256(CAST(n AS text)::bytea) FOR 16), 'GR', zone, created_at,
                updated_at FROM contacts, generate_series(1, :people) AS n WHERE shop_id = :shop
        """),
        {"people": PEOPLE, "shop": shop.id},
    )
    begin = 0
    for state, number in STATES.items():
        session.execute(
            text("""
                INSERT INTO consents (shop_id, phone_hash, state, changed_at, source)
                SELECT :shop, substring(sha256(CAST(n AS text)::bytea) FOR 16), :state,
                    timestamptz '2026-01-01 00:00Z' + n * interval '1 second', 'import'
                FROM generate_series(CAST(:begin AS int) + 1, CAST(:begin AS int) + :number) AS n
            """),
            {"shop": shop.id, "state": state, "begin": begin, "number": number},
        )
        begin += number
    session.execute(text("ANALYZE contacts, consents"))
    return shop


class Explained:
    """Runs EXPLAIN ANALYZE beside each SELECT of a block that reads `of`."""

    def __init__(self, of: str) -> None:
        self.of = of
        self.nodes: list[dict[str, Any]] = []

    def look(self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "SELECT" not in statement[:20] or self.of not in statement.replace("\n", " "):
            return
        with connection.connection.cursor() as beside:
            beside.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            (found,) = beside.fetchone()
        plan = json.loads(found) if isinstance(found, str) else found
        self.nodes += list(_nodes(plan[0]["Plan"]))

    @property
    def most_rows(self) -> int:
        """The most rows that one step read, all its loops together, with those that it threw away."""
        return max(
            int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes
        )

    @property
    def read_whole(self) -> list[str]:
        return [node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


def explain(ask: Any, of: str = "FROM con") -> Explained:
    seen = Explained(of)
    engine = db.session.get_bind()
    event.listen(engine, "before_cursor_execute", seen.look)
    try:
        ask()
    finally:
        event.remove(engine, "before_cursor_execute", seen.look)
    assert seen.nodes
    return seen


def test_each_list_reads_a_page_and_no_more(crowd: Shop) -> None:
    last = queries.everybody(crowd.id).rows[-1].contact.id
    middle = Mark(last, datetime(2026, 1, 1, 2, tzinfo=UTC))
    asked = {
        "everybody": lambda: queries.everybody(crowd.id),
        "everybody, further on": lambda: queries.everybody(crowd.id, Mark(last - PEOPLE // 2)),
        **{state: lambda state=state: queries.in_state(crowd.id, State(state)) for state in STATES},
        "opted in, further on": lambda: queries.in_state(crowd.id, State.OPTED_IN, middle),
        "never subscribed": lambda: queries.in_state(crowd.id, State.NEVER_SUBSCRIBED),
        "by phone": lambda: queries.with_phone(crowd.id, "+306912345678"),
        "by e-mail": lambda: queries.with_email(crowd.id, "anna@blue.example"),
    }
    for name, ask in asked.items():
        seen = explain(ask)
        assert seen.read_whole == [], name
        assert seen.most_rows <= queries.ON_A_PAGE + 1, name


def test_the_people_of_a_segment_are_looked_for_among_so_many_and_no_more(
    crowd: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WALKED", 500)
    nobody = Question(Match.ALL, (Condition(Field.TAGS, "any", ["nobody"]),))
    segment = segments.create_segment(crowd.id, "Nobody", nobody)
    seen = explain(lambda: queries.of_segment(crowd.id, segment, State.OPTED_IN))
    assert seen.read_whole == []
    assert seen.most_rows <= 500


def test_many_people_are_counted_by_a_sample_and_no_more(crowd: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "roughly", lambda _: (PEOPLE, False))
    greeks = Question(Match.ANY, (Condition(Field.COUNTRY, "in", ["GR"]), Condition(Field.CONSENT_AGE, "at_least", 1)))
    found: list[counts.Census] = []
    seen = explain(lambda: found.append(counts.census(crowd.id, greeks)))
    assert not found[0].is_exact
    assert seen.read_whole == []
    assert seen.most_rows <= counts.PROBES * counts.IN_A_PROBE


def test_those_who_never_subscribed_are_looked_for_among_so_many_and_no_more(
    crowd: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "WALKED", 500)
    session.execute(
        text("""
            INSERT INTO consents (shop_id, phone_hash, state, changed_at, source)
            SELECT shop_id, phone_hash, 'opted_in', created_at, 'import' FROM contacts ON CONFLICT DO NOTHING
        """)
    )
    session.execute(text("ANALYZE consents"))
    listing: list[queries.Listing] = []
    seen = explain(lambda: listing.append(queries.in_state(crowd.id, State.NEVER_SUBSCRIBED)))
    assert seen.read_whole == []
    assert seen.most_rows <= 500
    assert listing[0].walked == 500


def test_the_people_of_lists_are_counted_where_each_list_stands(crowd: Shop) -> None:
    lists = [segments.create_segment(crowd.id, f"List {number}").id for number in range(5)]
    session.execute(
        text("""
            INSERT INTO segment_members (shop_id, segment_id, contact_id, added_at)
            SELECT shop_id, :segment, id, created_at FROM contacts
        """),
        {"segment": lists[0]},
    )
    session.execute(text("ANALYZE segment_members"))
    counted: list[dict[int, int]] = []
    seen = explain(lambda: counted.append(counts.member_counts(crowd.id, lists)), of="FROM segment_members")
    assert counted[0] == {lists[0]: counts.MEMBERS_COUNTED + 1, **dict.fromkeys(lists[1:], 0)}
    assert seen.read_whole == []
