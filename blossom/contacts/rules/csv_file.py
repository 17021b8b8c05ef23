"""A CSV file of any size, read as a stream: first surveyed as a whole, so that a bad file imports nothing.

Neither pass keeps more than a line in memory. A record that can't be taken apart is reported and passed over;
what makes the whole file unreadable raises `UnreadableFile`.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from blossom.contacts.errors import UnreadableFile

MOST_COLUMNS = 1_000
LONGEST_FIELD = 131_072  # characters; csv's own default, said here because it is process-wide
LONGEST_LINE = 2 * 1024 * 1024  # characters; beyond it nobody's line of customers is
ENCODINGS = (
    "utf-8",
    "utf-16",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-7",
    "iso-8859-15",
    "macroman",
)
"""What a caller may name; without a name only UTF-8, and UTF-16 with its mark: another guess would garble names."""

_BLOCK = 64 * 1024
_OTHER_KINDS = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a Rich Text document"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"SQLite format", "a database"),
    (b"<", "a web page or an XML file"),
    (b'{"', "a JSON file"),
    (b"[{", "a JSON file"),
    (b"BEGIN:VCARD", "a file of address cards"),
)
"""How files begin that no list of customers begins like."""

_LONGEST_BEGINNING = 16
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Survey:
    """What the first pass learnt: how to read the file, what its columns are called, how much there is."""

    encoding: str
    delimiter: str
    header: list[str]
    header_lines: int  # records to pass over before the first customer
    rows_total: int  # records that aren't empty, without the header
    digest: bytes  # SHA-256 of the bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the table. `cells` is None when its quotation marks can't be made sense of, up to `last_line`."""

    line: int
    last_line: int
    cells: list[str] | None


def survey(stream: BinaryIO, encoding: str | None = None) -> Survey:
    """Read the whole of a seekable `stream` once. Raises `UnreadableFile`; leaves the stream where it likes."""
    stream.seek(0)
    chosen, digest = _check_bytes(stream, encoding)
    delimiter, header_lines = _read_first_line(stream, chosen)
    header: list[str] = []
    rows = 0
    for number, record in enumerate(_records(stream, chosen, delimiter)):
        if number < header_lines:
            header = [cell.strip() for cell in record.cells or []]
        else:
            rows += 1
    if not any(header):
        raise _unreadable("csv_empty", "The file is empty.", "Export the customers again, and send that file.")
    if len(header) > MOST_COLUMNS:
        raise _too_many_columns(len(header))
    return Survey(chosen, delimiter, header, header_lines, rows, digest)


def check_holds_customers(surveyed: Survey) -> None:
    """Raises `UnreadableFile` for a file that ends with its header: an import of nobody is a mistake of somebody's."""
    if surveyed.rows_total == 0:
        raise _unreadable(
            "csv_no_customers",
            "The file names its columns, but no customer follows.",
            "Export the customers again, and see that the file has a line for each.",
        )


def records(stream: BinaryIO, surveyed: Survey, skip: int = 0) -> Generator[Record, None, None]:
    """The customers' records of a surveyed file, without the first `skip`, without the header and empty lines.

    Close it before the stream (`contextlib.closing`) when you stop early.
    """
    with closing(_records(stream, surveyed.encoding, surveyed.delimiter)) as all_records:
        yield from islice(all_records, surveyed.header_lines + skip, None)


def peek(head: bytes, encoding: str | None = None, *, rows: int = 5) -> tuple[list[str], list[list[str]]]:
    """The names of the columns and the first customers of a file that begins with `head`, as `survey` would read them.

    For a look before all of it is read; raises `UnreadableFile` for what is wrong up to there.
    """
    _check_kind(head)
    chosen = _encoding_of(head, encoding)
    try:
        begun = codecs.getincrementaldecoder(chosen)().decode(head)  # its last character may be cut in two
    except UnicodeDecodeError as error:
        raise _wrong_encoding(chosen, error.object[: error.start].count(b"\n") + 1) from None
    if "\0" in begun:
        raise _nul_bytes(begun[: begun.index("\0")].count("\n") + 1)
    stream = io.BytesIO(begun.encode())
    delimiter, header_lines = _read_first_line(stream, "utf-8")
    with closing(_records(stream, "utf-8", delimiter)) as found:
        first = [record.cells or [] for record in islice(found, header_lines + rows)]
    header = [cell.strip() for cell in first[header_lines - 1]] if len(first) >= header_lines else []
    if not any(header):
        raise _unreadable("csv_empty", "The file is empty.", "Export the customers again, and send that file.")
    if len(header) > MOST_COLUMNS:
        raise _too_many_columns(len(header))
    return header, first[header_lines:]


def _check_bytes(stream: BinaryIO, named: str | None) -> tuple[str, bytes]:
    """The encoding, proven on every byte, and the digest."""
    head = stream.read(_LONGEST_BEGINNING)
    _check_kind(head)
    encoding = _encoding_of(head, named)
    decoder = codecs.getincrementaldecoder(encoding)()
    digest = hashlib.sha256()
    lines = 0
    stream.seek(0)
    while True:
        block = stream.read(_BLOCK)
        digest.update(block)
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = lines + error.object[: error.start].count(b"\n") + 1
            raise _wrong_encoding(encoding, line) from None
        if "\0" in text:
            line = lines + text[: text.index("\0")].count("\n") + 1
            raise _nul_bytes(line)
        lines += text.count("\n")
        if not block:
            return encoding, digest.digest()


def _check_kind(head: bytes) -> None:
    for beginning, what in _OTHER_KINDS:
        if head.removeprefix(codecs.BOM_UTF8).startswith(beginning):
            raise _unreadable(
                "csv_is_no_text", f"This file is {what}, not a CSV.", "Save the sheet as “CSV UTF-8” and send that."
            )


def _encoding_of(head: bytes, named: str | None) -> str:
    if named is not None:
        folded = named.strip().lower().replace("_", "-").replace("cp12", "windows-12")
        if folded not in ENCODINGS:
            raise _unreadable(
                "csv_unknown_encoding", "There is no such encoding here.", f"Name one of {', '.join(ENCODINGS)}."
            )
        return "utf-8-sig" if folded == "utf-8" else folded
    return "utf-16" if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _lines(stream: BinaryIO, encoding: str) -> Generator[str, None, None]:
    """Lines with their ends; a line is what csv takes for one (a quoted cell may go on over several)."""
    stream.seek(0)
    text = io.TextIOWrapper(stream, encoding=encoding, newline="")
    try:
        number = 0
        while line := text.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE:
                raise _field_too_large(number)
            yield line
    finally:
        text.detach()  # or closing the wrapper would close the caller's stream


def _read_first_line(stream: BinaryIO, encoding: str) -> tuple[str, int]:
    """The header's delimiter, and how many records come before the customers (Excel may write `sep=;`)."""
    with closing(_lines(stream, encoding)) as lines:
        passed_over = 1
        for line in lines:
            if line.lower().startswith("sep=") and len(line.strip()) <= 5:
                passed_over += 1
            elif line.strip():
                return _delimiter(line), passed_over
    raise _unreadable("csv_empty", "The file is empty.", "Export the customers again, and send that file.")


def _delimiter(line: str) -> str:
    """The mark that parts the header: the most frequent one outside quotation marks, a comma if there is none."""
    outside = "".join(line.split('"')[::2])
    counts = [outside.count(mark) for mark in _DELIMITERS]
    if max(counts) > MOST_COLUMNS:
        raise _too_many_columns(max(counts) + 1)
    return _DELIMITERS[counts.index(max(counts))]


def _records(stream: BinaryIO, encoding: str, delimiter: str) -> Generator[Record, None, None]:
    """Every record that isn't empty, the header among them."""
    csv.field_size_limit(LONGEST_FIELD)
    with closing(_lines(stream, encoding)) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                _raise_if_hopeless(str(error), line, reader.line_num)
                yield Record(line, reader.line_num, None)
                continue
            if any(cells) and any(cell.strip() for cell in cells):
                yield Record(line, reader.line_num, cells)


def _raise_if_hopeless(fault: str, line: int, last_line: int) -> None:
    """csv has one exception and tells its reasons by their text only; each is tested against the real thing."""
    if "unexpected end of data" in fault or ("field larger" in fault and last_line > line):
        raise _unreadable(
            "csv_unclosed_quote",
            f"A quotation mark opened on line {line} is never closed.",
            f"Close the quotation mark on line {line}, or take it away.",
            line=line,
        )
    if "field larger" in fault:
        raise _field_too_large(line)


def _field_too_large(line: int) -> UnreadableFile:
    return _unreadable(
        "csv_field_too_large",
        f"Line {line} holds a cell of more than {LONGEST_FIELD // 1024} KB.",
        f"Shorten or remove that cell of line {line}.",
        line=line,
    )


def _too_many_columns(count: int) -> UnreadableFile:
    return _unreadable(
        "csv_too_many_columns",
        f"The file has {count} columns; a customer file has at most {MOST_COLUMNS}.",
        "Keep the columns that are needed: the phone number, the names, the country, the consent.",
    )


def _nul_bytes(line: int) -> UnreadableFile:
    return _unreadable(
        "csv_nul_bytes",
        f"Line {line} holds zero bytes, which no text does, unless this is UTF-16 without its mark.",
        "Save the file as “CSV UTF-8” and send that; or name the encoding, if it is utf-16.",
        line=line,
    )


def _wrong_encoding(encoding: str, line: int) -> UnreadableFile:
    name = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
    return _unreadable(
        "csv_encoding",
        f"Line {line} is not {name}, so its letters can't be told.",
        "In Excel save as “CSV UTF-8”; or name the encoding (Western Windows: windows-1252, Greek: windows-1253).",
        line=line,
    )


def _unreadable(code: str, message: str, actionable: str, line: int | None = None) -> UnreadableFile:
    return UnreadableFile(message, code=code, actionable=actionable, details={} if line is None else {"line": line})
