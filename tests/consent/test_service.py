"""Consent as it is kept: a state that is always its last event's, events that nobody can edit, opt-outs that stay."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from blossom.consent import queries
from blossom.consent import service as consent
from blossom.consent.rules import BY_THE_PERSON, Deed, Keyword, Refusal, Source, State
from blossom.consent.service import Step
from blossom.contacts.rules import Attestation, ImportReport
from blossom.platform import clock, crypto
from blossom.platform.db import transaction
from tests.factories.consent import create_subscriber
from tests.factories.contacts import create_contact
from tests.factories.shops import create_shop
from tests.personas import Personas

ATTESTED = Attestation("staff:1", "These people agreed to get texts from us.")
ELENI = b"e" * 16


def test_an_opt_in_keeps_its_proof(personas: Personas) -> None:
    contact = create_contact(personas.ours)
    moment = datetime(2026, 11, 1, tzinfo=UTC)

    change = consent.opt_in(
        personas.ours.id,
        contact.phone_hash or b"",
        source=Source.STOREFRONT,
        contact_id=contact.id,
        occurred_at=moment,
        wording="I want texts",
        ip="192.0.2.1",
        user_agent="Firefox",
        details={"form": "footer"},
    )

    assert (change.state, change.changed) == (State.OPTED_IN, True)
    [event] = queries.events(personas.ours.id, contact.phone_hash or b"")
    assert (event.from_state, event.to_state, event.source) == ("never_subscribed", "opted_in", "storefront")
    assert (event.occurred_at, event.wording, event.ip) == (moment, "I want texts", "192.0.2.1")
    assert (event.user_agent, event.details, event.contact_id) == ("Firefox", {"form": "footer"}, contact.id)


def test_a_refused_deed_leaves_no_event(personas: Personas) -> None:
    consent.opt_out(personas.ours.id, ELENI, source=Source.KEYWORD)

    change = consent.opt_in(personas.ours.id, ELENI, source=Source.MERCHANT, actor="staff:1")

    assert (change.state, change.refused) == (State.OPTED_OUT, Refusal.OPTED_OUT_STANDS)
    assert len(queries.events(personas.ours.id, ELENI)) == 1


def test_an_opt_out_needs_no_contact_and_outlives_one(personas: Personas, session: Session) -> None:
    contact = create_subscriber(personas.ours)
    phone_hash = contact.phone_hash or b""
    consent.opt_out(personas.ours.id, phone_hash, source=Source.KEYWORD)
    session.delete(contact)
    session.flush()

    assert queries.state_of(personas.ours.id, phone_hash) is State.OPTED_OUT
    assert session.execute(text("SELECT contact_id FROM consents")).scalar() is None


def test_consent_in_one_shop_is_none_in_another(personas: Personas) -> None:
    consent.opt_in(personas.theirs.id, ELENI, source=Source.CHECKOUT)

    assert queries.state_of(personas.ours.id, ELENI) is State.NEVER_SUBSCRIBED
    assert queries.events(personas.ours.id, ELENI) == []


@pytest.mark.parametrize(("keyword", "state"), [(Keyword.STOP, State.OPTED_OUT), (Keyword.START, State.OPTED_IN)])
def test_a_keyword_changes_consent(personas: Personas, keyword: Keyword, state: State) -> None:
    change = consent.record_keyword(personas.ours.id, ELENI, keyword)

    assert change is not None
    assert queries.state_of(personas.ours.id, ELENI) is change.state is state


def test_help_changes_nothing(personas: Personas) -> None:
    assert consent.record_keyword(personas.ours.id, ELENI, Keyword.HELP) is None
    assert queries.events(personas.ours.id, ELENI) == []


def test_a_start_that_is_heard_late_does_not_undo_the_stop_after_it(personas: Personas) -> None:
    ours, now = personas.ours.id, clock.now()

    def said(hours_ago: int, deed: Deed, source: Source) -> None:
        step = Step(ELENI, deed, source, occurred_at=now - timedelta(hours=hours_ago))
        consent.apply(ours, [step])

    said(100, Deed.OPT_OUT, Source.STOREFRONT)
    said(1, Deed.OPT_OUT, Source.KEYWORD)
    said(2, Deed.OPT_IN, Source.KEYWORD)

    assert queries.state_of(ours, ELENI) is State.OPTED_OUT


@pytest.mark.parametrize(
    "statement",
    ["UPDATE consent_events SET wording = 'forged'", "DELETE FROM consent_events", "TRUNCATE consent_events"],
)
def test_the_database_refuses_to_edit_what_happened(personas: Personas, session: Session, statement: str) -> None:
    consent.opt_in(personas.ours.id, ELENI, source=Source.CHECKOUT)

    with pytest.raises(DBAPIError, match="never edited"), session.begin_nested():
        session.execute(text(statement))

    assert len(queries.events(personas.ours.id, ELENI)) == 1


steps = st.lists(
    st.lists(
        st.builds(
            Step,
            phone_hash=st.sampled_from([b"a" * 16, b"b" * 16, b"c" * 16]),
            deed=st.sampled_from(Deed),
            source=st.sampled_from(Source),
            occurred_at=st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        ),
        max_size=6,
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_the_state_is_always_the_last_events(personas: Personas, session: Session, calls: list[list[Step]]) -> None:
    with session.begin_nested() as savepoint:
        said: dict[bytes, State] = {}
        for call in calls:
            changes = consent.apply(personas.ours.id, call)
            assert len(changes) == len(call)
            said |= {step.phone_hash: change.state for step, change in zip(call, changes, strict=True)}
        for phone_hash, state in said.items():
            story = queries.events(personas.ours.id, phone_hash)
            assert queries.state_of(personas.ours.id, phone_hash) is state
            assert state == (story[-1].to_state if story else State.NEVER_SUBSCRIBED)
            froms = [State.NEVER_SUBSCRIBED.value, *(event.to_state for event in story)]
            assert [event.from_state for event in story] == froms[:-1]
            for event in story:
                if event.from_state == State.OPTED_OUT:
                    assert event.source in BY_THE_PERSON
        savepoint.rollback()


def test_two_first_events_at_the_same_moment_are_both_kept_and_the_state_is_the_lasts(committed_app: Flask) -> None:
    with transaction():
        shop_id = create_shop().id
    hashes = [bytes([n]) * 16 for n in range(1, 60)]
    together = threading.Barrier(2)
    faults: list[BaseException] = []

    def act(deed: Deed, order: list[bytes]) -> None:
        try:
            with committed_app.app_context(), transaction():
                together.wait(timeout=10)
                consent.apply(shop_id, [Step(h, deed, Source.KEYWORD) for h in order])
        except BaseException as fault:
            faults.append(fault)

    threads = [
        threading.Thread(target=act, args=(Deed.OPT_IN, hashes)),
        threading.Thread(target=act, args=(Deed.OPT_OUT, hashes[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert faults == []
    with transaction():
        for phone_hash in hashes:
            story = queries.events(shop_id, phone_hash)
            assert queries.state_of(shop_id, phone_hash) == story[-1].to_state
            assert any(event.to_state == State.OPTED_OUT for event in story)
            assert [e.from_state for e in story[1:]] == [e.to_state for e in story[:-1]]


def a_list(*rows: Sequence[str]) -> BinaryIO:
    out = io.StringIO()
    csv.writer(out).writerows([("Phone", "Accepts SMS Marketing"), *rows])
    return io.BytesIO(out.getvalue().encode())


def import_list(shop_id: int, *rows: Sequence[str], **options: Any) -> ImportReport:
    options = {"attestation": ATTESTED, **options}
    return consent.import_customers(shop_id, a_list(*rows), filename="list.csv", **options)


def state(shop_id: int, e164: str) -> State:
    return queries.state_of(shop_id, crypto.for_shop(shop_id).lookup(e164))


def test_a_list_opts_in_whom_it_says_yes_of_with_the_merchants_word(personas: Personas) -> None:
    ours = personas.ours.id

    report = import_list(
        ours, ("6984303406", "yes"), ("6974303406", "no"), ("6944303406", ""), ("6934303406", "UNSUBSCRIBED")
    )

    assert report.tallies == {"consent_opted_in": 1, "consent_opted_out": 1}
    assert state(ours, "+306984303406") is State.OPTED_IN
    assert state(ours, "+306974303406") is State.NEVER_SUBSCRIBED
    assert state(ours, "+306944303406") is State.NEVER_SUBSCRIBED
    assert state(ours, "+306934303406") is State.OPTED_OUT
    [event] = queries.events(ours, crypto.for_shop(ours).lookup("+306984303406"))
    assert (event.source, event.actor, event.wording) == ("import", "staff:1", ATTESTED.wording)
    assert event.details == {"import_id": report.import_id, "line": 2}


@pytest.mark.parametrize("chunk_rows", [1, 10])
def test_an_opt_out_on_a_doubled_line_counts_though_the_line_does_not(personas: Personas, chunk_rows: int) -> None:
    ours = personas.ours.id

    report = import_list(
        ours, ("6984303406", "yes"), ("+30 698 430 3406", "unsubscribed"), ("6974303406", "yes"), ("6974303406", "yes"),
        chunk_rows=chunk_rows,
    )  # fmt: skip

    assert (report.created, report.refused_by_code) == (2, {"phone_doubled": 2})
    assert report.tallies == {"consent_opted_in": 2, "consent_opted_out": 1}
    assert state(ours, "+306984303406") is State.OPTED_OUT
    assert state(ours, "+306974303406") is State.OPTED_IN


def test_without_the_merchants_word_nobody_is_opted_in(personas: Personas) -> None:
    report = import_list(personas.ours.id, ("6984303406", "yes"), attestation=None)

    assert (report.created, report.tallies) == (1, {"consent_not_attested": 1})
    assert state(personas.ours.id, "+306984303406") is State.NEVER_SUBSCRIBED


def test_who_opted_out_here_is_never_opted_in_again_by_a_list(personas: Personas) -> None:
    ours = personas.ours.id
    consent.opt_out(ours, crypto.for_shop(ours).lookup("+306984303406"), source=Source.KEYWORD)

    report = import_list(ours, ("6984303406", "yes"))

    assert report.tallies == {"consent_opted_out_stands": 1}
    assert state(ours, "+306984303406") is State.OPTED_OUT


def test_a_list_that_no_longer_says_yes_takes_back_what_a_list_had_said(personas: Personas) -> None:
    ours = personas.ours.id
    import_list(ours, ("6984303406", "yes"))
    consent.opt_in(ours, crypto.for_shop(ours).lookup("+306974303406"), source=Source.CHECKOUT)

    report = import_list(ours, ("6984303406", "no"), ("6974303406", "no"))

    assert report.tallies == {"consent_retracted": 1}
    assert state(ours, "+306984303406") is State.NEVER_SUBSCRIBED
    assert state(ours, "+306974303406") is State.OPTED_IN  # told us so themselves


def test_what_a_person_says_after_a_list_is_kept_as_theirs_and_no_list_takes_it_back(personas: Personas) -> None:
    ours = personas.ours.id
    import_list(ours, ("6984303406", "yes"))
    phone_hash = crypto.for_shop(ours).lookup("+306984303406")
    for _ in range(2):
        consent.record_keyword(ours, phone_hash, Keyword.START, wording="Start")

    assert import_list(ours, ("6984303406", "no")).tallies == {}
    story = [(event.to_state, event.source, event.wording) for event in queries.events(ours, phone_hash)]
    assert story == [("opted_in", "import", ATTESTED.wording), ("opted_in", "keyword", "Start")]


def test_the_same_list_again_writes_no_event(personas: Personas, session: Session) -> None:
    import_list(personas.ours.id, ("6984303406", "yes"))

    again = import_list(personas.ours.id, ("6984303406", "yes"))

    assert (again.unchanged, again.tallies) == (1, {"consent_already": 1})
    assert session.execute(text("SELECT count(*) FROM consent_events")).scalar() == 1


def test_a_person_who_is_known_without_consent_is_opted_in_by_a_newer_list(personas: Personas) -> None:
    import_list(personas.ours.id, ("6984303406", "no"))

    import_list(personas.ours.id, ("6984303406", "yes"))

    assert state(personas.ours.id, "+306984303406") is State.OPTED_IN
