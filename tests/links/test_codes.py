"""A code names its text and link in its own shop, and is changed or made up by nobody."""

from __future__ import annotations

import hashlib
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.links.rules.codes import ALPHABET, LARGEST_ID, LARGEST_NUMBER, LENGTH, OPT_OUT, Codes
from blossom.message_templates.rules import short_links

ids = st.integers(1, LARGEST_ID)
numbers = st.integers(0, LARGEST_NUMBER)


def codes_of(shop: str) -> Codes:
    return Codes(lambda value: hashlib.sha256(f"{shop}{value}".encode()).digest()[:16])


OURS, THEIRS = codes_of("ours"), codes_of("theirs")


@given(ids, numbers)
def test_a_code_leads_back_to_its_text_and_link_in_its_shop_alone(message_id: int, number: int) -> None:
    code = OURS.code(message_id, number)
    assert (len(code), set(code) - set(ALPHABET)) == (LENGTH, set())
    assert OURS.read(code) == (message_id, number)
    assert codes_of("ours").code(message_id, number) == code, "the same whenever it is made"
    assert THEIRS.read(code) is None


@given(ids, numbers, st.integers(0, LENGTH - 1), st.sampled_from(ALPHABET))
def test_no_character_of_a_code_can_be_changed(message_id: int, number: int, place: int, other: str) -> None:
    code = OURS.code(message_id, number)
    changed = code[:place] + other + code[place + 1 :]
    assert changed == code or OURS.read(changed) is None


@given(ids, numbers)
def test_no_two_characters_of_a_code_can_be_swapped(message_id: int, number: int) -> None:
    code = OURS.code(message_id, number)
    for place in range(LENGTH - 1):
        swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
        assert swapped == code or OURS.read(swapped) is None


@given(st.text(max_size=40) | st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH))
def test_what_anybody_types_is_no_code(typed: str) -> None:
    assert OURS.read(typed) is None


def test_a_hundred_thousand_guesses_find_nothing() -> None:
    dice = random.Random(42)
    assert not any(OURS.read("".join(dice.choices(ALPHABET, k=LENGTH))) for _ in range(100_000))


def test_the_codes_of_neighbours_have_nothing_in_common() -> None:
    codes = [OURS.code(70_000_000 + place, 1) for place in range(1, 2001)]
    for place in {*range(LENGTH)} - {LENGTH - 2}:  # where the number's top stands, which is half as large
        assert len({code[place] for code in codes}) == len(ALPHABET)
    assert max(sum(a == b for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(codes)) < 7


@pytest.mark.parametrize(("message_id", "number"), [(0, 1), (-1, 1), (LARGEST_ID + 1, 1), (1, -1), (1, 64)])
def test_what_a_code_has_no_room_for_is_refused(message_id: int, number: int) -> None:
    with pytest.raises(ValueError, match="has room for"):
        OURS.code(message_id, number)


def test_what_stands_in_for_a_code_has_its_length_and_is_none() -> None:
    assert short_links.CODE_LENGTH == len(short_links.STAND_IN) == LENGTH
    assert OURS.read(short_links.STAND_IN) is None
    assert short_links.address_of("https://a.example/apps/blossom", OURS.code(1, OPT_OUT)).isascii()
