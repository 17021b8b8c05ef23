"""Files that are no customer list, or nearly: each gives its own clear error, before anything is imported."""

from __future__ import annotations

import io
import zipfile

import pytest

from blossom.contacts.errors import UnreadableFile
from blossom.contacts.rules import csv_file


def lines_of(data: bytes, encoding: str | None = None) -> list[tuple[int, list[str] | None]]:
    stream = io.BytesIO(data)
    surveyed = csv_file.survey(stream, encoding)
    return [(record.line, record.cells) for record in csv_file.records(stream, surveyed)]


def a_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "csv_empty"),
        (b"\n\n \n", "csv_empty"),
        (b"\xef\xbb\xbf", "csv_empty"),
        (a_zip(), "csv_is_no_text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "csv_is_no_text"),
        (b"%PDF-1.7", "csv_is_no_text"),
        (b"\x1f\x8b\x08\x00", "csv_is_no_text"),
        (b"7z\xbc\xaf\x27\x1c", "csv_is_no_text"),
        (b"Rar!\x1a\x07", "csv_is_no_text"),
        (b"\xfd7zXZ\x00", "csv_is_no_text"),
        (b"{\\rtf1 Phone}", "csv_is_no_text"),
        (b"<!DOCTYPE html><title>Log in</title>", "csv_is_no_text"),
        (b"\xef\xbb\xbf<html>", "csv_is_no_text"),
        (b'[{"Phone": "6984303406"}]', "csv_is_no_text"),
        (b'{"customers": [\n]}', "csv_is_no_text"),
        (b"BEGIN:VCARD\nTEL:6984303406\n", "csv_is_no_text"),
        (b"Phone,Name\n6984303406,El\0eni\n", "csv_nul_bytes"),
        ("Phone\n6984303406\n".encode("utf-16-le"), "csv_nul_bytes"),
        ("Phone\n6984303406\n".encode("utf-16-be"), "csv_nul_bytes"),
        ("Phone\n6984303406\n".encode("utf-32"), "csv_nul_bytes"),
        ("Τηλέφωνο\n6984303406\n".encode("utf-16-le"), "csv_encoding"),
        ("Phone\n6984303406\n".encode("utf-16") + b"x", "csv_encoding"),
        (b"Phone\n\xed\xa0\x80\n", "csv_encoding"),
        ("Phone,Name\n6984303406,Ελένη\n".encode("windows-1253"), "csv_encoding"),
        ("Phone,Name\n6984303406,Zoë\n".encode("windows-1252"), "csv_encoding"),
        (b'Phone,Name\n6984303406,"Eleni\n6974303406,Nikos\n', "csv_unclosed_quote"),
        (b'"Phone,Name\n6984303406,Eleni\n', "csv_unclosed_quote"),
        (b'"', "csv_unclosed_quote"),
        (b",,,\n,,\n", "csv_empty"),
        (b"sep=;\n", "csv_empty"),
        (b"Phone," + b"x" * 10_000_000, "csv_field_too_large"),
        (b'Phone,Name\n6984303406,"Eleni\n' + b"6974303406,Nikos\n" * 20_000, "csv_unclosed_quote"),
        (b'Phone,Name\n6984303406,"' + b"x" * 10_000_000 + b'"\n', "csv_field_too_large"),
        (b"Phone,Name\n6984303406," + b"x" * 10_000_000 + b"\n", "csv_field_too_large"),
        (b"Phone,Name\n6984303406," + b"x" * 200_000 + b"\n", "csv_field_too_large"),
        (b"Phone" + b",x" * 100_000 + b"\n6984303406\n", "csv_too_many_columns"),
        (b"Phone" + b",x" * 1_000 + b"\n6984303406\n", "csv_too_many_columns"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}_bytes",
)
def test_a_file_that_can_not_be_read_says_why_and_what_to_do(data: bytes, code: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        lines_of(data)

    assert refused.value.code == code
    assert refused.value.message.endswith(".")
    assert refused.value.actionable


@pytest.mark.parametrize("data", [b"Phone,Name\n", b"Phone", b"sep=;\nPhone;Name\n", b"Phone,Name\n,\n\n"])
def test_a_file_of_a_header_alone_says_that_it_lists_nobody(data: bytes) -> None:
    surveyed = csv_file.survey(io.BytesIO(data))

    with pytest.raises(UnreadableFile) as refused:
        csv_file.check_holds_customers(surveyed)

    assert refused.value.code == "csv_no_customers"
    assert "a line for each" in (refused.value.actionable or "")


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("Phone,Name\n1,a\n2,Zoë\n".encode("windows-1252"), 3),
        (b"Phone,Name\n1,a\n2,b\n3,\0\n", 4),
        (b'Phone,Name\n1,a\n2,"b\n3,c\n', 3),
        (b"Phone,Name\n1,a\n" + b"2," + b"x" * 200_000 + b"\n", 3),
        (b"Phone,Name\n" + b"1,a\n" * 600_000 + "2,Zoë\n".encode("windows-1252"), 600_002),
    ],
    ids=["encoding", "nul", "quote", "field", "encoding far down"],
)
def test_the_error_names_the_line(data: bytes, line: int) -> None:
    with pytest.raises(UnreadableFile) as refused:
        lines_of(data)

    assert refused.value.details["line"] == line


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("Phone,Name\n1,Ελένη 🌸\n".encode(), None),
        ("Phone,Name\n1,Ελένη 🌸\n".encode("utf-8-sig"), None),
        ("Phone,Name\n1,Ελένη 🌸\n".encode("utf-8-sig"), "UTF-8"),
        ("Phone,Name\n1,Ελένη 🌸\n".encode("utf-16"), None),
        ("Phone;Name\n1;Ελένη 🌸\n".encode(), None),
        ("Phone\tName\n1\tΕλένη 🌸\n".encode(), None),
        ("sep=;\nPhone;Name\n1;Ελένη 🌸\n".encode(), None),
        ("\n\nPhone,Name\r\n\r\n1,Ελένη 🌸\r\n,\r\n".encode(), None),
        ("Phone,Name\r1,Ελένη 🌸\r".encode(), None),
        ('"Phone","Name"\n"1","Ελένη 🌸"'.encode(), None),
    ],
)
def test_every_usual_way_to_write_a_csv_is_read(data: bytes, encoding: str | None) -> None:
    assert [cells for _, cells in lines_of(data, encoding)] == [["1", "Ελένη 🌸"]]


def test_a_named_encoding_is_used() -> None:
    assert lines_of("Phone,Name\n1,Ελένη\n".encode("windows-1253"), "cp1253") == [(2, ["1", "Ελένη"])]


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(UnreadableFile) as refused:
        lines_of(b"Phone\n1\n", "klingon")

    assert refused.value.code == "csv_unknown_encoding"


def test_a_record_over_several_lines_is_one_and_counts_by_where_it_begins() -> None:
    data = b'Phone,Note\n1,"two\r\nlines, and a ""word"""\n\n2,x\n'

    assert lines_of(data) == [(2, ["1", 'two\r\nlines, and a "word"']), (5, ["2", "x"])]


def test_a_line_with_senseless_quotes_is_passed_over_and_the_next_is_read() -> None:
    assert lines_of(b'Phone,Name\n1,"a"b\n2,c\n') == [(2, None), (3, ["2", "c"])]


def test_letters_that_only_look_like_line_ends_end_no_line() -> None:
    assert lines_of("Phone,Name\n1,a\u2028b\x0bc\x85d\n".encode()) == [(2, ["1", "a\u2028b\x0bc\x85d"])]


def test_a_survey_counts_the_customers_and_can_be_gone_on_from() -> None:
    stream = io.BytesIO(b"Phone\n1\n\n2\n3\n")

    surveyed = csv_file.survey(stream)

    assert surveyed.rows_total == 3
    assert [r.cells for r in csv_file.records(stream, surveyed, skip=2)] == [["3"]]


def test_the_callers_stream_stays_open() -> None:
    stream = io.BytesIO(b"Phone\n1\n")
    list(csv_file.records(stream, csv_file.survey(stream)))

    assert not stream.closed
