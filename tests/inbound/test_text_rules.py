"""Who wrote, which shops it is for, when two texts are one, and what is answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from blossom.consent.rules import Keyword, Source, State
from blossom.inbound.rules import texts as rules
from blossom.inbound.rules.texts import Candidate
from blossom.message_templates.rules import segments

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
STOP, START, HELP = Keyword.STOP, Keyword.START, Keyword.HELP


@pytest.mark.parametrize(
    ("raw", "country", "e164"),
    [
        ("+306984303406", "US", "+306984303406"),
        ("306984303406", "US", "+306984303406"),
        ("00306984303406", "US", "+306984303406"),
        ("+30 698-430 (3406)", "US", "+306984303406"),
        ("tel:+306984303406", "US", "+306984303406"),
        ("6984303406", "GR", "+306984303406"),
        ("2025550123", "US", "+12025550123"),
        ("447911123456", "GR", "+447911123456"),
        ("+30211000000", "GR", "+30211000000"),  # no number that we know of: taken as it is
        ("Vodafone", "GR", None),
        ("12345", "GR", None),
        ("", "GR", None),
        ("+", "GR", None),
        ("1" * 100, "GR", None),
    ],
)
def test_a_senders_number_is_read_as_providers_write_it(raw: str, country: str, e164: str | None) -> None:
    assert rules.read_phone(raw, country) == e164


@pytest.mark.parametrize(
    ("recipient", "sender"),
    [
        ("Ours", "ours"),
        (" OURS ", "ours"),
        ("+306912345678", "+306912345678"),
        ("306912345678", "+306912345678"),
        ("0030 691 2345678", "+306912345678"),
    ],
)
def test_a_recipient_is_compared_with_senders_however_it_is_written(recipient: str, sender: str) -> None:
    assert rules.sender_keys(recipient) == [sender]


@pytest.mark.parametrize("recipient", [None, "", "  "])
def test_no_recipient_is_no_sender(recipient: str | None) -> None:
    assert rules.sender_keys(recipient) == []


def candidate(shop_id: int, keyword: Keyword | None = None, **overrides: object) -> Candidate:
    blank = Candidate(shop_id, keyword, False, None, None, None, None)
    return replace(blank, **overrides)  # type: ignore[arg-type]  # overrides are Candidate's own


def placed(*candidates: Candidate) -> list[tuple[int, bool]]:
    return [(each.candidate.shop_id, each.answers) for each in rules.place(candidates)]


def test_a_stop_is_for_every_shop_it_could_be_meant_for_and_confirmed_by_one() -> None:
    last = candidate(2, STOP, texted_at=NOON)
    assert placed(candidate(1, STOP), last, candidate(3, STOP)) == [(2, True), (1, False), (3, False)]


def test_the_shop_that_the_address_named_comes_before_the_one_that_texted_last() -> None:
    named, last = candidate(1, HELP, is_named=True), candidate(2, HELP, texted_at=NOON)
    assert placed(last, named) == [(1, True)]


def test_another_text_is_for_the_shop_that_texted_last_alone() -> None:
    earlier, later = candidate(1, texted_at=NOON - timedelta(days=1)), candidate(2, texted_at=NOON)
    assert placed(earlier, later, candidate(3)) == [(2, False)]


def test_a_start_undoes_stops_and_nothing_else() -> None:
    stopped = candidate(1, START, consent=State.OPTED_OUT, consent_source=Source.KEYWORD)
    left_by_the_page = candidate(2, START, consent=State.OPTED_OUT, consent_source=Source.STOREFRONT)
    agreed = candidate(3, START, consent=State.OPTED_IN, consent_source=Source.CHECKOUT, texted_at=NOON)
    assert placed(stopped, left_by_the_page, agreed) == [(1, False)]


def test_a_start_with_nothing_to_undo_is_for_the_likeliest_shop() -> None:
    assert placed(candidate(1, START), candidate(2, START, texted_at=NOON)) == [(2, False)]


def test_a_shops_own_stop_word_stops_that_shop_and_is_read_by_the_other() -> None:
    own, likelier = candidate(1, STOP), candidate(2, None, texted_at=NOON)
    assert placed(own, likelier) == [(1, True), (2, False)]
    assert placed(replace(own, is_named=True), likelier) == [(1, True)]


def test_no_candidates_no_place() -> None:
    assert placed() == []


def test_a_text_is_known_by_its_id_whatever_else_it_says() -> None:
    first = rules.identity("+301", "Ours", "a", "MO-1", None, NOON)
    assert first == rules.identity("+302", None, "b", "MO-1", NOON, NOON + timedelta(days=9))


def test_without_an_id_the_providers_time_tells_texts_apart() -> None:
    first = rules.identity("+301", "Ours", "a", None, NOON, NOON)
    assert first == rules.identity("+301", "Ours", "a", None, NOON, NOON + timedelta(hours=1))
    assert first != rules.identity("+301", "Ours", "a", None, NOON + timedelta(seconds=1), NOON)
    assert first.earlier is None


def test_without_either_a_repeat_within_a_minute_is_known_across_the_minutes_edge() -> None:
    edge = NOON - timedelta(seconds=1)
    before = rules.identity("+301", "Ours", "a", None, None, edge)
    after = rules.identity("+301", "Ours", "a", None, None, edge + timedelta(seconds=59))
    later = rules.identity("+301", "Ours", "a", None, None, edge + timedelta(seconds=121))
    assert after.earlier == before.key
    assert before.key not in (later.key, later.earlier)


@pytest.mark.parametrize(
    ("keyword", "text", "answer"),
    [
        (STOP, "stop", "Ours: You are unsubscribed and will get no more texts. Reply START to subscribe again."),
        (STOP, "ΣΤΟΠ", "Ours: H ΔIAΓPAΦH ΣAΣ EΓINE, ΔEN ΘA ΛABETE AΛΛA SMS. ΓIA NEA EΓΓPAΦH ΣTEIΛTE START."),
        (HELP, "help", "Ours. Contact: hello@ours.example. Reply STOP to opt out."),
        (HELP, "ΒΟΗΘΕΙΑ", "Ours. EΠIKOINΩNIA: hello@ours.example. Reply STOP to opt out."),
    ],
)
def test_the_answer_is_in_the_language_of_the_question_and_one_part_long(
    keyword: Keyword, text: str, answer: str
) -> None:
    given = rules.answer_to(
        keyword, text, shop_name="Ours", contact_line="hello@ours.example", opt_out_text="Reply STOP to opt out"
    )
    assert given == answer
    assert segments.count(given).segments == 1


def test_a_shop_without_a_contact_line_answers_help_without_one() -> None:
    given = rules.answer_to(HELP, "help", shop_name="Ours", contact_line="", opt_out_text="Reply STOP to opt out.")
    assert given == "Ours. Reply STOP to opt out."


@pytest.mark.parametrize(
    ("shop_name", "contact_line", "opt_out_text", "answer"),
    [
        ("Ours", "Call 210 1234567.", "Reply STOP.", "Ours. Contact: Call 210 1234567. Reply STOP."),
        ("Ours Inc.", "ask us!", "Want no more? Reply STOP", "Ours Inc. Contact: ask us! Want no more? Reply STOP."),
        ("Ours…", "hello@ours.example .", "STOP ends it!", "Ours… Contact: hello@ours.example. STOP ends it!"),
    ],
)
def test_each_sentence_of_an_answer_ends_once(
    shop_name: str, contact_line: str, opt_out_text: str, answer: str
) -> None:
    given = rules.answer_to(HELP, "help", shop_name=shop_name, contact_line=contact_line, opt_out_text=opt_out_text)
    assert given == answer
