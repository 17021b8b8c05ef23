"""The table of consent, and the keywords of a text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.consent.rules import (
    BY_THE_PERSON,
    Deed,
    Event,
    Outcome,
    Purpose,
    Refusal,
    Source,
    Standing,
    State,
    may_ask_more,
    may_text,
    next_step,
    transition,
)
from blossom.platform.keywords import Keyword, classify_keyword

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)

NEVER, PENDING, IN, OUT = State.NEVER_SUBSCRIBED, State.PENDING, State.OPTED_IN, State.OPTED_OUT


@pytest.mark.parametrize(
    ("state", "by", "deed", "source", "after"),
    [
        (NEVER, None, Deed.OPT_IN, Source.IMPORT, IN),
        (NEVER, None, Deed.ASK, Source.STOREFRONT, PENDING),
        (NEVER, None, Deed.OPT_OUT, Source.KEYWORD, OUT),
        (NEVER, None, Deed.RETRACT, Source.IMPORT, Refusal.ALREADY),
        (PENDING, Source.STOREFRONT, Deed.OPT_IN, Source.STOREFRONT, IN),
        (NEVER, None, Deed.FORGET, Source.SHOPIFY, Refusal.ALREADY),
        (PENDING, Source.STOREFRONT, Deed.FORGET, Source.SHOPIFY, NEVER),
        (IN, Source.KEYWORD, Deed.FORGET, Source.SHOPIFY, NEVER),
        (OUT, Source.SHOPIFY, Deed.FORGET, Source.SHOPIFY, Refusal.ALREADY),
        (PENDING, Source.STOREFRONT, Deed.ASK, Source.STOREFRONT, Refusal.ALREADY),
        (IN, Source.CHECKOUT, Deed.OPT_IN, Source.IMPORT, Refusal.ALREADY),
        (IN, Source.CHECKOUT, Deed.ASK, Source.STOREFRONT, Refusal.ALREADY),
        (IN, Source.CHECKOUT, Deed.OPT_OUT, Source.KEYWORD, OUT),
        (IN, Source.CHECKOUT, Deed.OPT_OUT, Source.MERCHANT, OUT),
        (IN, Source.CHECKOUT, Deed.RETRACT, Source.IMPORT, Refusal.PROVEN_ELSEWHERE),
        (IN, Source.KEYWORD, Deed.RETRACT, Source.IMPORT, Refusal.PROVEN_ELSEWHERE),
        (IN, Source.IMPORT, Deed.RETRACT, Source.IMPORT, NEVER),
        (IN, Source.SHOPIFY, Deed.RETRACT, Source.IMPORT, NEVER),
        (OUT, Source.KEYWORD, Deed.OPT_OUT, Source.KEYWORD, OUT),
        (OUT, Source.STOREFRONT, Deed.OPT_OUT, Source.KEYWORD, OUT),
        (OUT, Source.KEYWORD, Deed.OPT_OUT, Source.STOREFRONT, Refusal.ALREADY),
        (OUT, Source.KEYWORD, Deed.OPT_OUT, Source.SHOPIFY, Refusal.ALREADY),
        (OUT, Source.KEYWORD, Deed.OPT_IN, Source.KEYWORD, IN),
        (OUT, Source.KEYWORD, Deed.OPT_IN, Source.CHECKOUT, IN),
        (OUT, Source.KEYWORD, Deed.ASK, Source.STOREFRONT, Refusal.OPTED_OUT_STANDS),
        (PENDING, Source.STOREFRONT, Deed.LAPSE, Source.STOREFRONT, NEVER),
        (IN, Source.STOREFRONT, Deed.LAPSE, Source.STOREFRONT, Refusal.ALREADY),
        (OUT, Source.KEYWORD, Deed.LAPSE, Source.STOREFRONT, Refusal.ALREADY),
        (OUT, Source.KEYWORD, Deed.OPT_IN, Source.IMPORT, Refusal.OPTED_OUT_STANDS),
        (OUT, Source.KEYWORD, Deed.OPT_IN, Source.SHOPIFY, Refusal.OPTED_OUT_STANDS),
        (OUT, Source.KEYWORD, Deed.OPT_IN, Source.API, Refusal.OPTED_OUT_STANDS),
        (OUT, Source.KEYWORD, Deed.OPT_IN, Source.MERCHANT, Refusal.OPTED_OUT_STANDS),
        (OUT, Source.IMPORT, Deed.RETRACT, Source.IMPORT, Refusal.ALREADY),
    ],
)
def test_what_a_deed_comes_to(
    state: State, by: Source | None, deed: Deed, source: Source, after: State | Refusal
) -> None:
    assert transition(Standing(state, by, EARLIER), Event(deed, source, NOW)) is after


def test_an_opt_in_from_before_the_opt_out_does_not_undo_it() -> None:
    standing = Standing(OUT, Source.KEYWORD, NOW)

    assert transition(standing, Event(Deed.OPT_IN, Source.CHECKOUT, EARLIER)) is Refusal.OLDER_THAN_OPT_OUT
    assert transition(standing, Event(Deed.OPT_IN, Source.CHECKOUT, LATER)) is IN


def test_an_opt_out_is_honoured_however_late_we_hear_of_it() -> None:
    assert transition(Standing(IN, Source.CHECKOUT, NOW), Event(Deed.OPT_OUT, Source.KEYWORD, EARLIER)) is OUT


def test_a_stop_that_is_older_than_the_opt_out_changes_nothing() -> None:
    assert transition(Standing(OUT, Source.STOREFRONT, NOW), Event(Deed.OPT_OUT, Source.KEYWORD, EARLIER)) is (
        Refusal.ALREADY
    )


@given(
    st.sampled_from(Deed), st.sampled_from([s for s in Source if s not in BY_THE_PERSON]), st.sampled_from(list(Source))
)
def test_nobody_but_the_person_ends_an_opt_out(deed: Deed, source: Source, by: Source) -> None:
    assert isinstance(transition(Standing(OUT, by, EARLIER), Event(deed, source, NOW)), Refusal)


@pytest.mark.parametrize(
    ("state", "asked_days_ago", "outcome"),
    [
        (NEVER, [], Outcome.ASKED),
        (PENDING, [0.5], Outcome.ASKED),
        (PENDING, [0.5, 0.9], Outcome.ASKED_BEFORE),
        (PENDING, [0.001], Outcome.ASKED_BEFORE),
        (NEVER, [2, 3, 5, 8], Outcome.ASKED),
        (NEVER, [2, 3, 5, 8, 29], Outcome.ASKED_BEFORE),
        (OUT, [], Outcome.ASKED),
        (OUT, [0.5], Outcome.ASKED_BEFORE),
        (OUT, [2], Outcome.ASKED),
        (OUT, [2, 29], Outcome.ASKED_BEFORE),
    ],
)
def test_how_often_a_number_that_anybody_may_type_is_asked(
    state: State, asked_days_ago: list[float], outcome: Outcome
) -> None:
    asked_at = [NOW - timedelta(days=days) for days in asked_days_ago]
    standing = Standing(state, Source.STOREFRONT, NOW - timedelta(days=40))
    assert next_step(standing, double_opt_in=True, asked_at=asked_at, now=NOW) is outcome


@pytest.mark.parametrize(
    ("asked", "confirmed", "may"),
    [(0, 0, True), (499, 0, True), (500, 0, False), (549, 10, True), (550, 10, False), (10_000, 5_000, True)],
)
def test_a_shop_asks_on_while_people_confirm(asked: int, confirmed: int, may: bool) -> None:
    assert may_ask_more(asked, confirmed) is may


@pytest.mark.parametrize(
    ("state", "purpose", "allowed"),
    [
        (NEVER, Purpose.MARKETING, False),
        (PENDING, Purpose.MARKETING, False),
        (IN, Purpose.MARKETING, True),
        (OUT, Purpose.MARKETING, False),
        (NEVER, Purpose.TRANSACTIONAL, True),
        (PENDING, Purpose.TRANSACTIONAL, True),
        (IN, Purpose.TRANSACTIONAL, True),
        (OUT, Purpose.TRANSACTIONAL, False),
    ],
)
def test_who_may_be_texted(state: State, purpose: Purpose, allowed: bool) -> None:
    assert may_text(state, purpose) == (allowed, None if allowed else state.value)


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        "Stop!",
        "STOP.",
        " stop \n",
        "«stop»",
        '"STOP"',
        "s\u200btop",
        "ＳＴＯＰ",
        "STOP STOP",
        "stop, stop, stop",
        "stop please",
        "Please STOP",
        "STOP 🛑",
        "🛑️ stop",
        "Stop!!!",
        "STOP_",
        "*stop*",
        "\ufeffSTOP",
        "stóp",
        "S\u0301top",
        "UNSUBSCRIBE",
        "StopAll",
        "cancel",
        "END",
        "quit",
        "Revoke",
        "OPT OUT",
        "opt-out",
        "optout",
        "Opt  out.",
        "ΣΤΟΠ",
        "στοπ",
        "Στόπ!",
        "ΔΙΑΓΡΑΦΗ",
        "διαγραφή",
        "Διαγραφη.",
        "STOP thank you",
        "ΣTOΠ",  # as phones send it in the alphabet of texts: T and O are Latin
        "ΔIAΓPAΦH",
        # said in other words
        "stop all", "STOP ΣΤΟΠ", "stop now", "STOP it", "Stop sms", "Stop texting me", " S T O P ",
        "S.T.O.P.", "Σ Τ Ο Π",
        "STOP\n\nSent from my iPhone", "STOP Sent from my Galaxy", "Stop\n--\nMaria P.",
        "ΣΤΟΠ\nΣτάλθηκε από το iPhone μου",
        "Stop sending me these messages!!", "Please stop texting me now", "ok stop", "just STOP", "stop, thanks 🙏",
        "stop the texts", "Unsubscribe me from your list", "Can you stop texting me?", "I want to unsubscribe",
        "How do I unsubscribe?", "I want to opt out", "unsub", "UNSUB please", "opt me out", "Opt out now", "remove me",
        "Remove me from your list", "Take me off this list", "no more", "No more texts!", "no more messages please",
        "Don't text me", "don’t text me again", "Do not contact me anymore", "don't send me any more texts",
        "leave me alone", "cancel texts", "end sms", "quit texting me", "I don't want these texts", "no sms",
        "Σταμάτα", "ΣTAMATA", "σταματήστε", "Σταματήστε να μου στέλνετε μηνύματα", "ΣTAMATHΣTE NA MOY ΣTEΛNETE SMS",
        "Διαγραφή τώρα", "Διαγράψτε με από τη λίστα σας", "Μη μου στέλνετε άλλα sms", "όχι άλλα", "Όχι άλλα μηνύματα",
        "δεν θέλω άλλα μηνύματα", "βγάλτε με", "στοπ παρακαλώ", "stamatiste", "Stop sms σταματήστε",
    ],
)  # fmt: skip
def test_a_stop_is_heard_however_it_is_written(text: str) -> None:
    assert classify_keyword(text) is Keyword.STOP


@pytest.mark.parametrize(
    "text",
    [
        "please stop by our shop",
        "don't stop",
        "Can I cancel order 12?",
        "the end",
        "",
        "   ",
        "🙂",
        "\u200b",
        "stopp",
        "stops",
        "yes",
        "no",
        "end of story",
        "please",
        "thank you",
        "STOP" + "x" * 500,
        "stop start",
        "ΣΤΟΠΠ",
        "1",
        "Don't stop, I love it", "please don't stop", "don't stop texting me", "do not stop sending me texts",
        "No, send me more texts", "No, text me on my mobile", "I don't want to stop the texts",
        "I dont want to end texts",
        "Where is the bus stop?", "Can you stop by at 5?", "stop by now", "When does the sale end?",
        "Stop it, I'm laughing",
        "please cancel my order 1001", "cancel it", "cancel my order", "cancel my subscription",
        "can I cancel", "end it",
        "no more blue ones left?", "no more sizes?", "any more texts?", "no more offers left?", "remove my order",
        "take me to your list", "Remove me from order 1001", "opt in", "non-stop", "text me", "I want texts",
        "send me texts", "Sent from my iPhone", "when will you stop the sale", "I can't stop", "a b c",
        "Δεν σταματάω", "μη σταματήσετε", "πού είναι η στάση;", "δεν θέλω άλλα παπούτσια", "όχι, αλλά θέλω το μπλε",
        "Διαγραφή παραγγελίας 1001", "δεν θέλω", "Σταμάτησε η προσφορά;", "VIP STOP",
    ],
)  # fmt: skip
def test_a_sentence_is_no_keyword(text: str) -> None:
    assert classify_keyword(text) is None


@pytest.mark.parametrize(
    ("text", "keyword"),
    [("START", Keyword.START), ("Έναρξη", Keyword.START), ("ENAPΞH", Keyword.START),
     ("unstop!", Keyword.START), ("help", Keyword.HELP), ("Help please", Keyword.HELP),
     ("INFO?", Keyword.HELP), ("ΒΟΗΘΕΙΑ", Keyword.HELP), ("Πληροφορίες", Keyword.HELP),
     ("BOHΘEIA παρακαλώ", Keyword.HELP), ("H E L P", Keyword.HELP), ("START\nSent from my iPhone", Keyword.START)],
)  # fmt: skip
def test_start_and_help_are_heard_too(text: str, keyword: Keyword) -> None:
    assert classify_keyword(text) is keyword


def test_a_shop_has_stop_words_of_its_own_that_never_turn_the_built_in_ones_around() -> None:
    assert classify_keyword("Arrêt !", ["arret"]) is Keyword.STOP
    assert classify_keyword("no more", ["No More!"]) is Keyword.STOP
    assert classify_keyword("START", ["start"]) is Keyword.START
    assert classify_keyword("anything", ["", "!"]) is None
    assert classify_keyword("arrêt\n\nSent from my iPhone", ["arret"]) is Keyword.STOP


def test_a_shop_s_own_word_to_join_comes_after_all_that_others_mean() -> None:
    assert classify_keyword("VIP!", join=["vip"]) is Keyword.JOIN
    assert classify_keyword("VIP", ["vip"], ["vip"]) is Keyword.STOP
    assert classify_keyword("stop", join=["stop"]) is Keyword.STOP
    assert classify_keyword("start", join=["start"]) is Keyword.START
    assert classify_keyword("a VIP", join=["vip", ""]) is None


@given(st.text(max_size=300))
def test_no_text_whatever_breaks_the_classifier(text: str) -> None:
    assert classify_keyword(text, ["νόμος"]) in (None, *Keyword)
