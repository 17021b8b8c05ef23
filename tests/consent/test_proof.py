"""Proof of consent for one contact: what it holds, and that its PDF can be read, in Greek too."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from blossom.consent import queries
from blossom.consent import service as consent
from blossom.consent.rules import ProofEntry, Source, State
from blossom.people.service import proving
from blossom.platform import clock, languages
from blossom.platform.errors import InvalidInput, NotFound
from tests.factories.contacts import create_contact
from tests.personas import Personas

WORDING = "Ναι, θέλω SMS από το κατάστημα 🌸, με ό,τι ισχύει σήμερα."


def text_of(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split())


def test_it_tells_the_whole_story_with_its_words(personas: Personas) -> None:
    contact = create_contact(personas.ours, phone="+306912345678", first_name="Ελένη", last_name="Παπά")
    assert contact.phone_hash
    start = clock.now()
    with clock.frozen_at(start - timedelta(days=2)):
        consent.opt_in(
            personas.ours.id, contact.phone_hash, source=Source.STOREFRONT, wording=WORDING, ip="192.0.2.1",
            user_agent="Firefox", contact_id=contact.id,
        )  # fmt: skip
    consent.opt_out(personas.ours.id, contact.phone_hash, source=Source.KEYWORD, wording="ΣΤΟΠ")

    proof = queries.proof(personas.ours.id, contact.id)

    assert (proof.state, proof.marketing_allowed, proof.transactional_allowed) == (State.OPTED_OUT, False, False)
    assert (proof.phone, proof.name) == ("+306912345678", "Ελένη Παπά")
    assert [(entry.wording, entry.ip, entry.to_state) for entry in proof.entries] == [
        (WORDING, "192.0.2.1", State.OPTED_IN),
        ("ΣΤΟΠ", None, State.OPTED_OUT),
    ]

    text = text_of(proving.proof_pdf(proof))
    for expected in (
        "Ελένη Παπά", "+30 691 234 5678", "Ours (ours.myshopify.com)", "192.0.2.1", "Firefox", "ΣΤΟΠ",
        "Never subscribed → Opted in", "Opted in → Opted out",
        "Ναι, θέλω SMS από το κατάστημα [U+1F338], με ό,τι ισχύει σήμερα.",
    ):  # fmt: skip
        assert expected in text, expected


def test_it_is_in_the_language_of_who_reads_it(personas: Personas) -> None:
    contact = create_contact(personas.ours, phone="+306912345678", first_name="Ελένη")
    assert contact.phone_hash
    consent.opt_in(
        personas.ours.id, contact.phone_hash, source=Source.SHOPIFY, wording="Yes, please", contact_id=contact.id,
        details={"level": "SINGLE_OPT_IN", "collected_from": "OTHER", "inbound_text_id": 7, "dispatch": 8},
    )  # fmt: skip
    with languages.reading("el"):
        pdf = proving.proof_pdf(queries.proof(personas.ours.id, contact.id))

    text = text_of(pdf)
    for expected in ("Απόδειξη συγκατάθεσης", "Yes, please", "συμφώνησαν μία φορά", "Πόσο σίγουρο"):
        assert expected in text, expected
    for raw in ("Opted in", "SINGLE_OPT_IN", "Collected", "Inbound text", "Dispatch", "[U+"):
        assert raw not in text, raw


def test_one_with_nothing_recorded_says_so(personas: Personas) -> None:
    contact = create_contact(personas.ours, phone=None, first_name=None)
    proof = queries.proof(personas.ours.id, contact.id)

    assert proof.entries == []
    assert "Nothing: this number has never subscribed" in text_of(proving.proof_pdf(proof))


def test_a_long_story_takes_more_pages(personas: Personas) -> None:
    contact = create_contact(personas.ours)
    assert contact.phone_hash
    for number in range(40):
        act = consent.opt_out if number % 2 else consent.opt_in
        act(personas.ours.id, contact.phone_hash, source=Source.KEYWORD, wording="word " * 60)
    reader = PdfReader(io.BytesIO(proving.proof_pdf(queries.proof(personas.ours.id, contact.id))))

    assert len(reader.pages) > 5
    assert f"2 / {len(reader.pages)}" in reader.pages[1].extract_text()


def test_another_shops_contact_has_no_proof_here(personas: Personas) -> None:
    theirs = create_contact(personas.theirs)
    with pytest.raises(NotFound):
        queries.proof(personas.ours.id, theirs.id)


def test_settings_are_kept_whole_or_not_at_all(personas: Personas) -> None:
    shop_id = personas.ours.id
    consent.update_settings(shop_id, double_opt_in=True, wordings={"el": WORDING})
    with pytest.raises(InvalidInput) as refused:
        consent.update_settings(
            shop_id, double_opt_in=False, wordings={"el": "no", "x y": WORDING}, privacy_url="http://a.example/"
        )

    assert set(refused.value.details["fields"]) == {"wordings.el", "wordings.x y", "privacy_url"}
    kept = queries.settings(shop_id)
    assert (kept.double_opt_in, kept.wordings) == (True, {"el": WORDING})
    assert queries.settings(personas.theirs.id).double_opt_in is False


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("\r\n\t\v\x7f\u202eabc\u0301 👩‍👧 漢字 עברית")
@example("ο" * 3_000)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200))
def test_whatever_stands_in_it_the_pdf_is_made(personas: Personas, wording: str) -> None:
    entry = ProofEntry(
        clock.now(), clock.now(), State.NEVER_SUBSCRIBED, State.OPTED_IN, Source.API, wording, wording,
        wording, wording, {wording: wording},
    )  # fmt: skip
    contact = create_contact(personas.ours, first_name=wording)
    proof = replace(queries.proof(personas.ours.id, contact.id), entries=[entry])

    assert proving.proof_pdf(proof).startswith(b"%PDF")
