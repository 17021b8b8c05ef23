from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blossom.message_templates.rules import segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.estimate import full_name_size, segments_for
from blossom.message_templates.rules.language import compile_text
from blossom.message_templates.rules.values import clean, full_name
from blossom.platform import gsm

CAMPAIGN = Trigger.CAMPAIGN
shop = {"shop_name": "Olive & Thyme", "sender": "Olive"}

names = st.one_of(
    st.none(),
    st.text(st.sampled_from("abcÄß[]€ -'"), max_size=30),
    st.text(st.sampled_from("Μαρίαяж中😀👨‍👩’ "), max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=90),
).map(lambda name: clean(name or "") or None)
static = st.text(st.sampled_from("abc €[]\n"), max_size=320)


def real(source: str, first: str | None, last: str | None) -> int:
    compiled = compile_text(source, CAMPAIGN)
    values = {"first_name": first, "last_name": last, "full_name": full_name(first, last), **shop}
    return segments.count(compiled.render(values)).segments


def estimated(source: str, first: str | None, last: str | None) -> int:
    sizes = {"first_name": gsm.signed_size(first or ""), "last_name": gsm.signed_size(last or "")}
    return segments_for(compile_text(source, CAMPAIGN), shop, sizes)


@given(static, static, names, names)
@settings(max_examples=400)
def test_a_plain_text_never_takes_more_than_estimated(
    before: str, after: str, first: str | None, last: str | None
) -> None:
    source = f'.{before}{{{{ first_name | default: "you" }}}} {{{{ last_name | default: "x" }}}}{after}'
    assert real(source, first, last) <= estimated(source, first, last)


@given(static, names, names)
def test_nor_does_one_with_a_full_name(before: str, first: str | None, last: str | None) -> None:
    source = f'.{before}{{{{ full_name | default: "you" }}}}'
    assert real(source, first, last) <= estimated(source, first, last)


@given(static, static, names, names)
def test_nor_does_one_with_conditions(before: str, after: str, first: str | None, last: str | None) -> None:
    source = (
        f".{before}{{% if first_name %}}{{{{ first_name }}}}{{% elsif last_name != blank %}}{{{{ last_name }}}}"
        f"{{% else %}}{after}{{% endif %}}"
    )
    assert real(source, first, last) <= estimated(source, first, last)


@given(static, static, names)
def test_nor_does_one_that_compares_names(one: str, other: str, first: str | None) -> None:
    source = f'.{{% if first_name contains "a" %}}{one}{{{{ first_name }}}}{{% else %}}{other}{{% endif %}}'
    assert real(source, first, None) <= estimated(source, first, None)


@given(st.integers(0, 400), names)
def test_names_without_pairs_are_estimated_to_within_one_part(length: int, first: str | None) -> None:
    source = "." + "a" * length + '{{ first_name | default: "x" }}'
    assert estimated(source, first, None) - real(source, first, None) in (0, 1)


def test_the_estimate_is_exact_where_the_edge_is_far() -> None:
    source = "a" * 200 + '{{ first_name | default: "x" }}'
    for first in (None, "Maria", "Μαρία", "😀"):
        assert estimated(source, first, None) == real(source, first, None)


@pytest.mark.parametrize(
    ("filter_", "name"), [("upper", "ß" * 55), ("lower", "ÇÇ"), ("titlecase", "FRANÇOIS"), ("titlecase", "èva")]
)
def test_case_filters_are_the_exception_that_is_told(filter_: str, name: str) -> None:
    source = "a" * 101 + f'{{{{ first_name | default: "x" | {filter_} }}}}'
    assert real(source, name, None) > estimated(source, name, None)


@given(st.integers(90, 170), names.filter(lambda name: len((name or "").upper()) == len(name or "")))
def test_capitals_take_no_more_than_estimated(length: int, name: str | None) -> None:
    source = "a" * length + '{{ first_name | default: "x" | upper }}'
    assert real(source, name, None) <= estimated(source, name, None)


grows_not = names.filter(lambda name: len((name or "").upper()) == len(name or ""))
"""Names with no letter that becomes two in capitals, as ß and և do."""


@given(st.integers(60, 170), grows_not, names)
def test_nor_do_capitals_beside_small_letters(length: int, first: str | None, last: str | None) -> None:
    source = "a" * length + '{{ first_name | default: "x" | upper }}{{ last_name | default: "x" }}'
    assert real(source, first, last) <= estimated(source, first, last)


@given(st.integers(60, 170), grows_not, grows_not)
def test_nor_do_full_names_in_capitals(length: int, first: str | None, last: str | None) -> None:
    source = "a" * length + '{{ full_name | default: "x" | upper }}'
    assert real(source, first, last) <= estimated(source, first, last)


@pytest.mark.parametrize(
    ("variable", "first", "last", "segments"),
    [
        ("first_name", "Μαρία", None, 1),
        ("full_name", "Μαρία", "Παππά", 1),
        ("full_name", "Maria", "Παππά", 1),
        ("full_name", "Gonçalo", "Μαΐου", 1),
        ("first_name", "Łukasz", None, 2),
        ("full_name", "Łukasz", "Παππά", 2),
        ("full_name", "Παππά", "😀", 2),
    ],
)
def test_names_in_capitals_are_estimated_as_they_will_be(
    variable: str, first: str, last: str | None, segments: int
) -> None:
    small = "a" * 100 + f'{{{{ {variable} | default: "x" }}}}'
    capitals = small.replace(" }}", " | upper }}")
    assert (real(small, first, last), estimated(small, first, last)) == (2, 2)
    assert (real(capitals, first, last), estimated(capitals, first, last)) == (segments, segments)


@pytest.mark.parametrize("name", ["Hélène", "Niccolò", "Μαρία", "ZOà"])
def test_no_name_of_the_alphabet_leaves_it_in_capitals(name: str) -> None:
    source = "a" * 100 + '{{ first_name | default: "x" | upper }}'
    assert real(source, name, None) == 1


def test_people_who_get_no_text_cost_nothing() -> None:
    assert estimated("Hi {{ first_name }}", None, None) == 0


def test_a_name_kept_before_sizes_told_of_capitals_counts_as_dear_in_them() -> None:
    compiled = compile_text("a" * 100 + "{{ first_name | upper }}", CAMPAIGN)
    assert segments_for(compiled, shop, {"first_name": -5}) == 2
    assert segments_for(compiled, shop, {"first_name": gsm.signed_size("Μαρία")}) == 1


def test_a_size_beyond_what_a_text_shows_counts_as_what_it_shows() -> None:
    compiled = compile_text("{{ first_name }}", CAMPAIGN)
    assert segments_for(compiled, shop, {"first_name": 5_000}) == 1
    assert segments_for(compiled, shop, {"first_name": -5_000}) == 2


@pytest.mark.parametrize(
    ("first", "last", "size"),
    [
        (0, 0, 0),
        (5, 0, 5),
        (0, -3, -3),
        (5, 4, 10),
        (5, -4, -10),
        (-5, 4, -10),
        (-10_005, 4, -10_010),
        (-10_005, -10_004, -10_010),
        (-10_005, -4, -10),
        (0, -10_004, -10_004),
    ],
)
def test_the_size_of_a_full_name(first: int, last: int, size: int) -> None:
    assert full_name_size(first, last) == size
