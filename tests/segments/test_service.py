"""Segments against the database: who is in them, and the audience as one statement."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from blossom.consent import service as consent
from blossom.consent.rules import Source
from blossom.contacts.models import Contact
from blossom.platform import clock
from blossom.platform.errors import BlossomError, NotFound
from blossom.segments import queries
from blossom.segments import service as segments
from blossom.segments.models import Segment
from blossom.segments.rules import Audience, Condition, Field, Match, Question
from tests.factories.consent import create_subscriber
from tests.factories.contacts import create_contact
from tests.personas import Personas


def ask(*conditions: tuple[str, str, Any], match: Match = Match.ALL) -> Question:
    return Question(match, tuple(Condition(Field(f), o, v) for f, o, v in conditions))


def people_in(shop_id: int, session: Session, audience: Audience) -> list[int]:
    return sorted(row.contact_id for row in session.execute(queries.audience_select(shop_id, audience)))


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (ask(("country", "in", ["GR"])), "a"),
        (ask(("country", "in", ["GR", "DE"])), "ab"),
        (ask(("country", "not_in", ["GR"])), "bc"),  # nobody knows where c lives: not in Greece, as far as we know
        (ask(("tags", "any", ["vip", "b2b"])), "ab"),
        (ask(("tags", "all", ["vip", "b2b"])), "a"),
        (ask(("tags", "none", ["b2b"])), "bc"),
        (ask(("total_spent", "at_least", 5000)), "a"),
        (ask(("total_spent", "at_most", 100)), "bc"),
        (ask(("orders", "at_least", 1)), "ab"),
        (ask(("orders", "at_most", 1)), "bc"),
        (ask(("created", "after", "2026-06-01T00:00:00+00:00")), "bc"),
        (ask(("created", "before", "2026-06-01T00:00:00+00:00")), "a"),
        (ask(("consent_age", "at_least", 30)), "a"),
        (ask(("consent_age", "at_most", 30)), "b"),
        (ask(("country", "in", ["GR"]), ("orders", "at_least", 9)), ""),
        (ask(("country", "in", ["DE"]), ("orders", "at_least", 2), match=Match.ANY), "ab"),
    ],
)
def test_who_meets_a_question(personas: Personas, session: Session, question: Question, expected: str) -> None:
    ours = personas.ours
    old, new = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
    a = create_contact(ours, country="GR", tags=["vip", "b2b"], total_spent_minor=5000, orders_count=2, created_at=old)
    b = create_contact(ours, country="DE", tags=["vip"], total_spent_minor=100, orders_count=1, created_at=new)
    c = create_contact(ours, country=None, phone=None, created_at=new)
    create_contact(personas.theirs, country="GR", tags=["vip", "b2b"], total_spent_minor=9000, orders_count=5)
    for contact, days in ((a, 40), (b, 3)):
        consent.opt_in(
            ours.id, contact.phone_hash or b"", source=Source.CHECKOUT, occurred_at=clock.now() - timedelta(days=days)
        )
    segment = segments.create_segment(ours.id, "Asked", question)

    ids = {"a": a.id, "b": b.id, "c": c.id}
    found = people_in(ours.id, session, Audience(segments=(segment.id,)))
    assert found == sorted(ids[name] for name in expected)
    assert queries.count_question(ours.id, question) == len(expected)


@pytest.fixture
def trio(personas: Personas) -> tuple[Contact, Contact, Contact]:
    return tuple(create_contact(personas.ours) for _ in range(3))  # type: ignore[return-value]  # three it is


def a_list(personas: Personas, name: str, *contacts: Contact) -> Segment:
    made = segments.create_segment(personas.ours.id, name)
    segments.add_members(personas.ours.id, made.id, [c.id for c in contacts])
    return made


def test_an_audience_is_any_of_its_segments_each_person_once_without_the_excluded(
    personas: Personas, session: Session, trio: tuple[Contact, Contact, Contact]
) -> None:
    a, b, c = trio
    first, second, out = (
        a_list(personas, "one", a, b), a_list(personas, "two", b, c), a_list(personas, "out", c)
    )  # fmt: skip

    audience = Audience(segments=(first.id, second.id), exclude=(out.id,))

    assert people_in(personas.ours.id, session, audience) == [a.id, b.id]
    assert queries.count(personas.ours.id, audience) == 2


def test_everybody_is_everybody_of_this_shop(
    personas: Personas, session: Session, trio: tuple[Contact, Contact, Contact]
) -> None:
    create_contact(personas.theirs)
    out = a_list(personas, "out", trio[0])

    assert people_in(personas.ours.id, session, Audience(everybody=True)) == [c.id for c in trio]
    assert people_in(personas.ours.id, session, Audience(everybody=True, exclude=(out.id,))) == [c.id for c in trio[1:]]


def test_an_audience_carries_what_a_snapshot_needs(personas: Personas, session: Session) -> None:
    contact = create_subscriber(personas.ours, first_name="Ελένη", last_name="Nikolaou", country="DE")

    [row] = session.execute(queries.audience_select(personas.ours.id, Audience(everybody=True)))

    assert row._asdict() == {
        "contact_id": contact.id,
        "phone_hash": contact.phone_hash,
        "phone_sealed": contact.phone_sealed,
        "phone_country": "GR",
        "country": "DE",
        "zone": "Europe/Athens",
        "first_name_size": -10_005,
        "last_name_size": 8,
    }


@pytest.mark.parametrize("where", ["segments", "exclude"])
def test_another_shops_segment_is_not_there(personas: Personas, where: str) -> None:
    theirs = segments.create_segment(personas.theirs.id, "Theirs")
    audience = Audience.from_json(
        {"segments": [theirs.id]} if where == "segments" else {"all": True, "exclude": [theirs.id]}
    )

    with pytest.raises(NotFound):
        queries.audience_select(personas.ours.id, audience)
    with pytest.raises(NotFound):
        segments.delete_segment(personas.ours.id, theirs.id)


def test_only_contacts_of_the_shop_come_on_a_list_and_each_once(
    personas: Personas, session: Session, trio: tuple[Contact, Contact, Contact]
) -> None:
    stranger = create_contact(personas.theirs)
    made = segments.create_segment(personas.ours.id, "List")

    assert segments.add_members(personas.ours.id, made.id, [trio[0].id, trio[1].id, stranger.id]) == 2
    assert segments.add_members(personas.ours.id, made.id, [trio[0].id]) == 0
    assert segments.remove_members(personas.ours.id, made.id, [trio[0].id, trio[2].id]) == 1
    assert people_in(personas.ours.id, session, Audience(segments=(made.id,))) == [trio[1].id]


def test_a_list_forgets_a_contact_that_is_deleted(
    personas: Personas, session: Session, trio: tuple[Contact, Contact, Contact]
) -> None:
    made = a_list(personas, "List", *trio)
    session.delete(trio[0])
    session.flush()

    assert queries.count(personas.ours.id, Audience(segments=(made.id,))) == 2


def test_a_name_is_taken_once_in_a_shop(personas: Personas) -> None:
    segments.create_segment(personas.ours.id, "VIP")
    segments.create_segment(personas.theirs.id, "VIP")

    with pytest.raises(BlossomError) as refused:
        segments.create_segment(personas.ours.id, "VIP")

    assert refused.value.code == "segment_name_taken"


def test_a_question_can_be_changed_but_not_into_a_list(personas: Personas) -> None:
    made = segments.create_segment(personas.ours.id, "Greeks", ask(("country", "in", ["GR"])))

    changed = segments.change_segment(personas.ours.id, made.id, "Germans", ask(("country", "in", ["DE"])))
    with pytest.raises(BlossomError) as refused:
        segments.change_segment(personas.ours.id, made.id, "List", None)
    with pytest.raises(BlossomError) as no_list:
        segments.add_members(personas.ours.id, made.id, [1])

    assert (changed.name, (changed.rules or {})["conditions"][0]["value"]) == ("Germans", ["DE"])
    assert (refused.value.code, no_list.value.code) == ("segment_kind_fixed", "segment_is_no_list")


def test_a_deleted_segment_takes_its_members_along(
    personas: Personas, session: Session, trio: tuple[Contact, Contact, Contact]
) -> None:
    made = a_list(personas, "List", *trio)

    segments.delete_segment(personas.ours.id, made.id)

    assert queries.segments(personas.ours.id) == []
    assert queries.count(personas.ours.id, Audience(everybody=True)) == 3
