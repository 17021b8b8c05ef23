"""Whatever a file or a cell holds: it is read for what it is, or refused in words (Hypothesis)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import TypeVar

from hypothesis import example, given
from hypothesis import strategies as st

from blossom.contacts import service as contacts
from blossom.contacts.errors import PhoneRefused, UnreadableFile
from blossom.contacts.rules import csv_file
from blossom.contacts.rules.imports import Refused
from blossom.contacts.rules.mapping import choose_columns
from blossom.contacts.rules.people import Listed, Reading, read_person
from blossom.contacts.rules.phones import Phone, normalise_phone
from blossom.platform.errors import BlossomError

T = TypeVar("T")


def outcome(call: Callable[[], T]) -> T | BlossomError:
    try:
        return call()
    except BlossomError as refused:
        return refused


MARKS = [
    b",",
    b";",
    b"\t",
    b'"',
    b"\r",
    b"\n",
    b"\r\n",
    b"'",
    b"=",
    b"\\",
    b" ",
    b"sep=;\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
]
WORDS = [b"Phone", b"First Name", b"+306984303406", b"698 430 3406", "Ελένη".encode(), b"\0", b"\xff", b"\xed\xa0\x80"]

soups = st.lists(st.sampled_from([*MARKS, *WORDS]) | st.binary(max_size=4), max_size=40).map(b"".join)
files = soups | st.builds(lambda rest: b"Phone,First Name\n" + rest, soups)


@given(files)
def test_any_bytes_are_read_to_their_end_or_refused_in_words(data: bytes) -> None:
    stream = io.BytesIO(data)
    found = outcome(lambda: contacts.check_file(stream))
    if isinstance(found, UnreadableFile):
        assert found.code.startswith("csv_")
        assert found.message.endswith(".")
        assert found.actionable
        return
    assert isinstance(found, contacts.FileCheck)
    surveyed = csv_file.survey(stream)
    _, columns = choose_columns(surveyed.header, None)
    reading = Reading(columns, surveyed.header, "GR", "Europe/Athens")
    records = list(csv_file.records(stream, surveyed))
    assert len(records) == found.rows == surveyed.rows_total
    for record in records:
        if record.cells is not None:
            assert isinstance(read_person(record.cells, record.line, reading), (Listed, Refused))


cells = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
rows = st.lists(st.lists(cells, min_size=3, max_size=3).filter(lambda row: any(map(str.strip, row))), max_size=6)


@given(
    rows,
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_table_says_is_read_however_it_is_written(
    table: list[list[str]], delimiter: str, line_end: str, encoding: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([["Phone", "First Name", "Tags"], *table])
    stream = io.BytesIO(out.getvalue().encode(encoding))

    surveyed = csv_file.survey(stream)

    assert surveyed.header == ["Phone", "First Name", "Tags"]
    assert [record.cells for record in csv_file.records(stream, surveyed)] == table


digits = st.sampled_from([*"0123456789", "٠", "６", "९", "²", "⑦"])
marks = st.sampled_from(
    [*"+ -–()./,;'\"=x#E", "\u200f", "\u00a0", "\n", "ext", "tel:", "00", "+30", "69", "\ud800", "😀"]
)
numbers = st.lists(digits | marks, max_size=24).map("".join) | st.text(max_size=40)


@example("698430340²")  # a note's mark, which made another number of it
@example("698430340.5")
@given(numbers)
def test_any_cell_is_one_number_that_stays_the_same_or_none(written: str) -> None:
    phone = outcome(lambda: normalise_phone(written, "GR"))
    if isinstance(phone, PhoneRefused):
        assert phone.code.startswith("phone_")
        assert phone.actionable
        return
    assert isinstance(phone, Phone)
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", phone.e164)
    assert normalise_phone(phone.e164, "US") == phone
    said = [character for character in written if character.isdecimal()]
    assert len(phone.e164) - 1 <= len(said) + len("30"), "no digit is made up, but a country's code"
