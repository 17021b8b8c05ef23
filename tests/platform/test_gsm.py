"""Sizes of texts in the alphabet of 3GPP TS 23.038, and what capitals make of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.platform import gsm

some_text = st.one_of(st.text(max_size=60), st.text(st.sampled_from("Μαρίαΐᾳςßçàłﬁ é😀"), max_size=30))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("Maria", 5),
        ("[€]", 6),
        ("Łukasz", -6),
        ("Łuk😀", -5),
        ("Μαρία", -10_005),
        ("ΜΑΡΙΑ", -10_005),  # Greek letters, though capitals already
        ("Gonçalo", -10_007),
        ("Μαρία Łukasz", -12),
        ("ﬁ", -1),  # FI in capitals: they may be GSM, but are not shorter
    ],
)
def test_a_size_tells_the_alphabet_and_that_of_capitals(text: str, size: int) -> None:
    assert gsm.signed_size(text) == size


@given(some_text)
def test_a_size_tells_how_many_units_a_text_has(text: str) -> None:
    size = gsm.signed_size(text)
    assert gsm.units_of(size) == (gsm.septets(text) if gsm.is_gsm(text) else gsm.utf16_units(text))


@given(some_text)
def test_what_is_gsm_in_capitals_only_is_no_longer_in_them(text: str) -> None:
    size = gsm.signed_size(text)
    if gsm.is_gsm_in_capitals(size):
        assert not gsm.is_gsm(text)
        assert gsm.is_gsm(gsm.capitals(text))
        assert gsm.septets(gsm.capitals(text)) <= gsm.units_of(size)


@pytest.mark.parametrize(
    ("text", "capitals"),
    [
        ("Ελένη", "EΛENH"),
        ("ΐ", "I"),
        ("Ϊ\u0301Ώ\u0301", "IΩ"),
        ("Ε\u0302", "E"),
        ("e\u0302", "Ê"),
        ("Ωραία μέρα", "ΩPAIA MEPA"),
        ("Hélène", "HÉLENE"),
        ("NICCOLÒ", "NICCOLO"),
        ("Łukasz", "ŁUKASZ"),
        ("", ""),
    ],
)
def test_capitals_are_of_the_alphabet_where_it_has_them(text: str, capitals: str) -> None:
    assert gsm.capitals(text) == capitals


def test_what_is_longer_than_any_name_is_told_as_the_longest() -> None:
    assert gsm.signed_size("Μ" * 9_999) == -19_999
    assert gsm.signed_size("Μ" * 10_000) == gsm.signed_size("Ł" * 10_000) == -9_999
    assert gsm.signed_size("M" * 40_000) == 9_999
