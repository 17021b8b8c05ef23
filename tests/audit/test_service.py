"""The trail of deeds."""

from __future__ import annotations

from sqlalchemy.orm import Session

from blossom.audit import queries
from blossom.audit import service as audit
from tests.personas import Personas


def test_an_entry_says_who_did_what_to_which(personas: Personas, session: Session) -> None:
    audit.record(
        personas.ours.id,
        "campaigns.enqueued",
        actor="staff:17",
        subject_type="campaign",
        subject_id=4,
        details={"n": 3},
    )
    session.flush()

    [entry] = queries.entries(personas.ours.id)

    assert (entry.actor, entry.action, entry.subject_type, entry.subject_id) == (
        "staff:17",
        "campaigns.enqueued",
        "campaign",
        4,
    )
    assert entry.details == {"n": 3}


def test_entries_are_read_newest_first_page_by_page(personas: Personas, session: Session) -> None:
    for number in range(5):
        audit.record(personas.ours.id, f"tests.deed_{number}", actor="system")
        session.flush()

    first = queries.entries(personas.ours.id, limit=3)
    rest = queries.entries(personas.ours.id, before_id=first[-1].id, limit=3)

    assert [e.action[-1] for e in (*first, *rest)] == ["4", "3", "2", "1", "0"]


def test_one_shop_never_reads_another_ones_trail(personas: Personas, session: Session) -> None:
    audit.record(personas.theirs.id, "tests.deed", actor="system")
    session.flush()

    assert queries.entries(personas.ours.id) == []
