from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.message_templates.rules import segments
from blossom.message_templates.rules.segments import Encoding, count, split
from tests.message_templates import naive

basic = [char for char in naive.TABLE.values() if char is not None]
extension = list(naive.EXTENSION.values())
family = "👨‍👩‍👧‍👦"  # seven characters, eleven UTF-16 units

texts = st.one_of(
    st.text(st.sampled_from([*basic, *extension]), max_size=700),
    st.text(st.sampled_from([*basic, *extension]), min_size=150, max_size=500),
    st.text(st.sampled_from(["a", "€", "[", "~"]), min_size=100, max_size=500),
    st.text(st.sampled_from(["a", "я", "😀", "\u200d", "€"]), min_size=60, max_size=400),
    # One unit each up to U+FFFF, two beyond: from the first pair to the last.
    st.text(
        st.sampled_from(["я", "\ue000", "\uffff", "\U00010000", "𝄞", "😀", "𠀀", "\U0010ffff"]),
        min_size=60,
        max_size=300,
    ),
    st.text(max_size=300),
    st.text(st.characters(categories=["Cc", "Cs", "Lu", "So"]), max_size=200),
)


def test_the_alphabet_has_127_characters_and_10_more() -> None:
    assert len(set(basic)) == 127
    assert len(set(extension)) == 10


@pytest.mark.parametrize("char", basic)
def test_a_character_of_the_alphabet_takes_one_septet(char: str) -> None:
    size = count(char)
    assert (size.encoding, size.units, size.segments) == (Encoding.GSM7, 1, 1)
    assert count(char * 160).segments == 1
    assert count(char * 161).segments == 2


@pytest.mark.parametrize("char", extension)
def test_a_character_of_the_extension_takes_two_septets(char: str) -> None:
    size = count(char)
    assert (size.encoding, size.units, size.segments) == (Encoding.GSM7, 2, 1)
    assert count(char * 80).segments == 1
    assert count(char * 81).segments == 2


@pytest.mark.parametrize(
    "char", ["ç", "á", "`", "’", "–", "…", "\u00a0", "Α", "я", "ا", "\t", "\x00", "\x1b", "\ud800", "中"]
)
def test_any_other_character_makes_the_text_ucs2(char: str) -> None:
    assert count(char) == segments.TextSize(Encoding.UCS2, 1, 1, 70, 69)
    assert count("a" * 69 + char).segments == 1
    assert count("a" * 70 + char).segments == 2


def test_the_empty_text_has_no_segment() -> None:
    assert count("") == segments.TextSize(Encoding.GSM7, 0, 0, 160, 160)
    assert split("") == []


@pytest.mark.parametrize(
    ("text", "units", "parts", "left"),
    [
        ("a" * 160, 160, 1, 0),
        ("a" * 161, 161, 2, 145),
        ("a" * 306, 306, 2, 0),
        ("a" * 307, 307, 3, 152),
        ("a" * 158 + "€", 160, 1, 0),
        ("a" * 159 + "€", 161, 2, 145),
        # The escape pair would stand across the edge of the first part (152 | €): it moves on as a whole.
        ("a" * 152 + "€" + "a" * 151, 305, 2, 0),
        ("a" * 152 + "€" + "a" * 152, 306, 3, 152),
        ("я" * 70, 70, 1, 0),
        ("я" * 71, 71, 2, 63),
        ("я" * 134, 134, 2, 0),
        ("я" * 135, 135, 3, 66),
        ("я" * 68 + "😀", 70, 1, 0),
        # The surrogate pair would stand across the edge (66 | 😀).
        ("я" * 66 + "😀" + "я" * 65, 133, 2, 0),
        ("я" * 66 + "😀" + "я" * 66, 134, 3, 66),
        ("one\r\ntwo", 8, 1, 152),
        ("one\ntwo", 7, 1, 153),
    ],
)
def test_parts_at_their_edges(text: str, units: int, parts: int, left: int) -> None:
    size = count(text)
    assert (size.units, size.segments, size.units_left) == (units, parts, left)
    assert len(split(text)) == parts


def test_a_joined_emoji_may_go_on_in_the_next_part_but_never_within_one_of_its_members() -> None:
    text = "я" * 64 + family
    parts = split(text)
    assert [len(part.encode("utf-16-le")) // 2 for part in parts] == [67, 8]
    assert parts == ["я" * 64 + "👨‍", "👩‍👧‍👦"]
    assert all("\ud800" not in part and part.encode("utf-8") for part in parts)


def test_characters_outside_the_alphabet_are_listed_where_they_stand() -> None:
    assert count("a “b” 😀").non_gsm == (("“", 2), ("”", 4), ("😀", 6))
    assert count("plain €").non_gsm == ()


def test_a_size_does_not_show_its_text() -> None:
    assert "Μαρία" not in repr(count("Γεια σου Μαρία"))


@given(texts)
def test_counting_agrees_with_the_naive_count(text: str) -> None:
    parts = naive.pack(text)
    size = count(text)
    assert size.segments == len(parts)
    gsm = size.encoding is Encoding.GSM7
    assert size.units == sum(naive.cost(char, gsm) for char in text)
    last = parts[-1] if parts else ""
    assert size.units_left == size.per_segment - sum(naive.cost(char, gsm) for char in last)


@given(texts)
def test_parts_joined_are_the_text_and_each_fits(text: str) -> None:
    parts = split(text)
    assert "".join(parts) == text
    assert parts == naive.pack(text)
    assert len(parts) == count(text).segments
    for part in parts:
        gsm = count(text).encoding is Encoding.GSM7
        assert 0 < sum(naive.cost(char, gsm) for char in part) <= count(text).per_segment


@given(st.text(st.sampled_from(["a", "€", "я", "😀"]), max_size=320))
def test_no_other_way_of_cutting_takes_fewer_parts(text: str) -> None:
    assert count(text).segments == naive.fewest_parts(text)


@given(texts)
def test_the_worst_case_is_never_less_than_the_count(text: str) -> None:
    size = count(text)
    assert segments.most_segments(size.encoding, size.units) >= size.segments
