from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.message_templates.rules import characters
from blossom.message_templates.rules.characters import (
    CURES,
    LETTERS,
    explain,
    greek_to_gsm_capitals,
    replace_typographic,
)
from blossom.message_templates.rules.segments import Encoding, count, encoding_of
from blossom.platform import gsm

greek = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰΆΈΉΊΌΎΏΪΫ"


@pytest.mark.parametrize("char", [*CURES, *LETTERS])
def test_each_cured_character_is_dear_and_its_replacement_is_not(char: str) -> None:
    assert encoding_of(char) is Encoding.UCS2
    replacement = (CURES.get(char) or LETTERS[char]).with_
    assert encoding_of(replacement) is Encoding.GSM7


@pytest.mark.parametrize(
    ("typed", "cured"),
    [
        ("“It’s here” – 20% off…", '"It\'s here" - 20% off...'),
        ("now\u00a0only\u200b today", "now only today"),
        ("ﬁne œuvre™", "fine oeuvreTM"),
        ("cafe\u0301", "café"),  # an accent of its own, from a Mac: composed it is in the alphabet
        ("family 👨‍👩‍👧 ❤️", "family 👨‍👩‍👧 ❤️"),
        ("façade", "façade"),
    ],
)
def test_typographic_characters_are_written_plainly(typed: str, cured: str) -> None:
    assert replace_typographic(typed).text == cured


def test_accents_go_only_when_asked_and_only_those_that_gsm_lacks() -> None:
    typed = "zażółć gęślą, façade, café, über"
    assert replace_typographic(typed).text == typed
    assert replace_typographic(typed, accents=True).text == "zazolc gesla, facade, café, über"


def test_a_cure_says_what_it_changed_and_what_that_saves() -> None:
    cure = replace_typographic("’" * 2 + "a" * 100)
    assert (cure.segments_before, cure.segments_after) == (2, 1)
    (change,) = cure.changes
    assert (change.char, change.replacement, change.count) == ("’", "'", 2)
    assert "quote" in change.why


def test_liquid_and_links_are_not_touched() -> None:
    typed = 'Γεια “σου” {{ first_name | default: "φίλη “μου”" }} {% if last_name == "Νίκου" %}ναι{% endif %} https://σελίδα.gr/α–β'
    assert greek_to_gsm_capitals(replace_typographic(typed).text).text == (
        'ΓEIA "ΣOY" {{ first_name | default: "φίλη “μου”" }} {% if last_name == "Νίκου" %}NAI{% endif %} '
        "https://σελίδα.gr/α–β"
    )


def test_greek_becomes_gsm_capitals_that_look_the_same() -> None:
    cure = greek_to_gsm_capitals("Καλημέρα! Νέες προσφορές, μαΐου ΐ ΰ ς: Blue jeans €20")
    assert cure.text == "KAΛHMEPA! NEEΣ ΠPOΣΦOPEΣ, MAIOY I Y Σ: Blue jeans €20"
    assert encoding_of(cure.text) is Encoding.GSM7


def test_greek_capitals_save_more_than_half() -> None:
    cure = greek_to_gsm_capitals("Καλημέρα! " * 16)
    assert (cure.segments_before, cure.segments_after) == (3, 1)


@pytest.mark.parametrize("letter", greek)
def test_every_letter_of_modern_greek_has_its_capital(letter: str) -> None:
    capital = gsm.greek_capitals(letter)
    assert len(capital) == 1
    assert encoding_of(capital) is Encoding.GSM7
    assert capital.upper() == capital


@given(st.text(st.sampled_from(greek + " abc€“”–{}%"), max_size=100))
def test_capitals_are_as_long_as_what_was_typed_and_stay_when_done_again(text: str) -> None:
    once = gsm.greek_capitals(text)
    assert len(once) == len(text)
    assert gsm.greek_capitals(once) == once


@given(st.text(max_size=100))
def test_cures_never_cost_and_stay_when_done_again(text: str) -> None:
    for cure in (replace_typographic, lambda t: replace_typographic(t, accents=True), greek_to_gsm_capitals):
        once = cure(text)
        assert cure(once.text).text == once.text
    assert count(greek_to_gsm_capitals(text).text).segments <= count(text).segments


@pytest.mark.parametrize(
    ("char", "reason"),
    [("’", "quote"), ("ł", "letter of its own"), ("α", "Greek"), ("😀", "emoji"), ("ã", "accented"), ("я", "cyrillic")],
)
def test_each_character_is_explained(char: str, reason: str) -> None:
    assert reason in explain(char)


def test_a_caller_can_measure_by_rendering() -> None:
    cure = characters.replace_typographic("’", measure=len)
    assert (cure.segments_before, cure.segments_after) == (1, 1)
