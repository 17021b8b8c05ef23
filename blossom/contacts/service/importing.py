"""Importing a customer file: surveyed as a whole first, then chunk by chunk, each in a transaction of its own."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO, cast

from sqlalchemy import delete, insert, select, text

from blossom.contacts import queries
from blossom.contacts.errors import ImportTaken
from blossom.contacts.models import ContactImport, ImportKey, ImportRefusal
from blossom.contacts.rules import csv_file
from blossom.contacts.rules.csv_file import Record, Survey
from blossom.contacts.rules.imports import (
    Attestation,
    Imported,
    ImportedChunk,
    ImportReport,
    ImportState,
    ListedConsent,
    Refused,
)
from blossom.contacts.rules.mapping import choose_columns
from blossom.contacts.rules.people import Listed, Reading, read_person
from blossom.contacts.service.saving import FIELDS, Outcome, save_people
from blossom.platform import bulk, clock, crypto
from blossom.platform.db import lock_for_transaction, session, transaction
from blossom.platform.errors import BlossomError, NotFound
from blossom.shops.models import Shop

CHUNK_ROWS = 2_000

OnChunk = Callable[[ImportedChunk], Mapping[str, int]]
"""Called inside each chunk's transaction; what it counts is added to the import's tallies."""

OnProgress = Callable[[int, int], None]
"""Called after each chunk's commit with the rows read and the rows in all."""


@dataclass(frozen=True)
class _Run:
    """One run of an import: a new one, or one that goes on after `rows_read`."""

    shop_id: int
    import_id: int
    rows_read: int
    attestation: Attestation | None
    reading: Reading


def import_csv(
    shop_id: int,
    stream: BinaryIO,
    *,
    filename: str,
    mapping: Mapping[str, str] | None = None,
    attestation: Attestation | None = None,
    encoding: str | None = None,
    on_chunk: OnChunk | None = None,
    progress: OnProgress | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> ImportReport:
    """Import the people of a CSV file; those who are there already are updated. Memory does not grow with the file.

    Opens and commits its own transactions, one a chunk, so call it from a job or a command with none open, and hold no
    ORM object across the call. Most callers want `consent.service.import_customers`, which also reads consent.

    A file that can't be read raises `UnreadableFile` before anything is imported; a wrong `mapping` (our field →
    header) raises `InvalidInput`. A line that can't be used is refused and reported, and never stops the import.
    After a kill or a fault, the same file given again with the same mapping goes on after the last chunk that was
    committed; `ImportTaken` means that another worker is doing so at this moment.
    """
    started = time.monotonic()
    with _seekable(stream) as file:
        surveyed, chosen, columns = _survey(file, mapping, encoding)
        with transaction():
            run = _begin(shop_id, filename, surveyed, chosen, columns, attestation)
        try:
            _import_rows(run, file, surveyed, on_chunk, progress, chunk_rows)
        except ImportTaken:
            raise
        except Exception as error:
            with transaction():
                _fail(run, error)
            raise
    with transaction():
        report = queries.import_report(shop_id, run.import_id)
    return replace(report, seconds=time.monotonic() - started)


@dataclass(frozen=True)
class FileCheck:
    """What an import would read of a file: its encoding, our field → its column's header, its customers' lines."""

    encoding: str
    mapping: dict[str, str]
    rows: int


def check_file(stream: BinaryIO, *, mapping: Mapping[str, str] | None = None, encoding: str | None = None) -> FileCheck:
    """Judge a file as `import_csv` would before it begins, with its errors; needs no database."""
    with _seekable(stream) as file:
        surveyed, chosen, _ = _survey(file, mapping, encoding)
    return FileCheck(surveyed.encoding, chosen, surveyed.rows_total)


def _survey(
    file: BinaryIO, mapping: Mapping[str, str] | None, encoding: str | None
) -> tuple[Survey, dict[str, str], dict[str, int]]:
    """The survey, the mapping that holds, and the columns that it points to."""
    surveyed = csv_file.survey(file, encoding)
    chosen, columns = choose_columns(surveyed.header, mapping)
    csv_file.check_holds_customers(surveyed)
    return surveyed, chosen, columns


@contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The stream itself, or a copy on disk of one that can't be read twice (a pipe)."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(stream, copy, 1024 * 1024)
        yield cast(BinaryIO, copy)


def _begin(
    shop_id: int,
    filename: str,
    surveyed: Survey,
    mapping: dict[str, str],
    columns: dict[str, int],
    attestation: Attestation | None,
) -> _Run:
    lock_for_transaction("contacts.import", shop_id)
    shop = session.get(Shop, shop_id)
    if shop is None:
        raise NotFound("shop")
    found = session.scalar(
        select(ContactImport)
        .where(
            ContactImport.shop_id == shop_id,
            ContactImport.file_digest == surveyed.digest,
            ContactImport.state != ImportState.COMPLETED,
            ContactImport.mapping == mapping,
        )
        .order_by(ContactImport.id.desc())
        .limit(1)
    )
    if found is None:
        found = ContactImport(
            shop_id=shop_id,
            filename=filename[:255],
            file_digest=surveyed.digest,
            mapping=mapping,
            rows_total=surveyed.rows_total,
            rows_read=0,
            started_at=clock.now(),
        )
        session.add(found)
    found.state = ImportState.RUNNING
    found.fault = None
    if attestation is not None:
        found.attested_by, found.attested_wording = attestation.actor, attestation.wording
        found.attested_at = clock.now()
    session.flush()
    reading = Reading(columns, surveyed.header, shop.default_country, shop.timezone)
    return _Run(shop_id, found.id, found.rows_read, attestation, reading)


def _import_rows(
    run: _Run, file: BinaryIO, surveyed: Survey, on_chunk: OnChunk | None, progress: OnProgress | None, size: int
) -> None:
    done = run.rows_read
    with closing(csv_file.records(file, surveyed, skip=done)) as records:
        while rows := list(islice(records, size)):
            chunk = _read(rows, run.reading)
            with transaction():
                _store(run, done, chunk, on_chunk)
            done += chunk.rows
            if progress is not None:
                progress(done, surveyed.rows_total)
    with transaction():
        _finish(run)


@dataclass(frozen=True)
class _Chunk:
    """So many rows of the file, read."""

    rows: int
    listed: list[Listed]
    refused: list[Refused]


def _read(records: Sequence[Record], reading: Reading) -> _Chunk:
    """The people of a chunk and the lines that hold none. No transaction is open while this computes."""
    chunk = _Chunk(len(records), [], [])
    for record in records:
        read = read_person(record.cells, record.line, reading) if record.cells is not None else _malformed(record)
        if isinstance(read, Refused):
            chunk.refused.append(read)
        else:
            chunk.listed.append(read)
    return chunk


def _malformed(record: Record) -> Refused:
    lines = f"Line {record.line}" if record.last_line <= record.line else f"Lines {record.line} to {record.last_line}"
    text = f"{lines} can't be taken apart: a quotation mark stands where none can."
    return Refused(record.line, None, "csv_malformed", text)


def _store(run: _Run, expected: int, chunk: _Chunk, on_chunk: OnChunk | None) -> None:
    """One chunk and the note how far we are, in one transaction: both or neither."""
    row = _locked(run)
    if row.state != ImportState.RUNNING or row.rows_read != expected:
        raise ImportTaken(run.import_id)
    kept, doubled = _without_doubles(run, chunk.listed)
    refused = sorted([*chunk.refused, *doubled], key=lambda r: r.line)
    saved = save_people(run.shop_id, [one.person for one in kept], _fields_given(run.reading.columns))
    tallies: Counter[str] = Counter(row.tallies)
    tallies.update(f"ignored_{field}" for one in kept for field in one.ignored)
    if on_chunk is not None:
        people = [
            Imported(one.line, contact.contact_id, contact.phone_hash, one.consent)
            for one, contact in zip(kept, saved, strict=True)
        ]
        people += _doubled_opt_outs(run, chunk.listed, kept)
        tallies.update(on_chunk(ImportedChunk(run.shop_id, run.import_id, run.attestation, people)))
    _write_refusals(run, refused)
    outcomes = Counter(contact.outcome for contact in saved)
    row.rows_read += chunk.rows
    row.created += outcomes[Outcome.CREATED]
    row.updated += outcomes[Outcome.UPDATED]
    row.unchanged += outcomes[Outcome.UNCHANGED]
    row.refused += len(refused)
    row.refused_by_code = dict(Counter(row.refused_by_code) + Counter(r.code for r in refused))
    row.tallies = dict(tallies)


def _fields_given(columns: Mapping[str, int]) -> frozenset[str]:
    """What the file says of people; the zone is told by the address as well. Where it is silent, nothing changes."""
    return FIELDS & set(columns) | ({"zone"} if {"zone", "country", "province"} & set(columns) else set())


def _locked(run: _Run) -> ContactImport:
    query = select(ContactImport).where(ContactImport.shop_id == run.shop_id, ContactImport.id == run.import_id)
    return session.scalars(query.with_for_update()).one()


def _without_doubles(run: _Run, listed: list[Listed]) -> tuple[list[Listed], list[Refused]]:
    """Each phone once in a file: the first line that names it wins. A customer id counts once, too."""
    cipher = crypto.for_shop(run.shop_id)
    columns = run.reading.columns
    header = run.reading.headers[columns.get("phone", columns.get("address_phone", 0))]
    phones = [cipher.lookup(one.person.phone.e164) for one in listed]
    first_by_phone = _claim(run, [(phone, one.line) for phone, one in zip(phones, listed, strict=True)])
    kept, doubled = [], []
    for phone, one in zip(phones, listed, strict=True):
        first = first_by_phone[phone]
        if first == one.line:
            kept.append(one)
        else:
            why = f"The number stands on line {first} already; that line was imported, this one was not."
            doubled.append(Refused(one.line, header, "phone_doubled", why))
    return _without_doubled_ids(run, kept), doubled


def _doubled_opt_outs(run: _Run, listed: list[Listed], kept: list[Listed]) -> list[Imported]:
    """Who unsubscribed on a line that is left out for being doubled: the opt-out counts all the same."""
    lines = {one.line for one in kept}
    left_out = [one for one in listed if one.line not in lines and one.consent is ListedConsent.UNSUBSCRIBED]
    cipher = crypto.for_shop(run.shop_id)
    found = [
        (one.line, queries.contact_by_phone_hash(run.shop_id, cipher.lookup(one.person.phone.e164))) for one in left_out
    ]
    return [
        Imported(line, contact.id, contact.phone_hash, ListedConsent.UNSUBSCRIBED)
        for line, contact in found
        if contact is not None and contact.phone_hash is not None
    ]


def _without_doubled_ids(run: _Run, kept: list[Listed]) -> list[Listed]:
    """A customer listed with a second number is a person of their own, without the id that the first line has."""
    ids = [(_id_key(one), one.line) for one in kept if one.person.shopify_customer_id is not None]
    first_by_id = _claim(run, ids)
    return [
        one
        if one.person.shopify_customer_id is None or first_by_id[_id_key(one)] == one.line
        else replace(one, person=replace(one.person, shopify_customer_id=None), ignored=(*one.ignored, "customer_id"))
        for one in kept
    ]


def _id_key(one: Listed) -> bytes:
    return int(one.person.shopify_customer_id or 0).to_bytes(8, "big")


def _claim(run: _Run, keys: Sequence[tuple[bytes, int]]) -> dict[bytes, int]:
    """Write down on which line each key stands first in this import, and tell it for each of `keys`."""
    first: dict[bytes, int] = {}
    for key, line in keys:
        first.setdefault(key, line)
    if not first:
        return first
    new = session.scalars(
        _WRITE_KEYS,
        {
            "shop": run.shop_id,
            "import": run.import_id,
            "rows": bulk.json_rows([{"key": key, "line": line} for key, line in first.items()]),
        },
    )
    older = first.keys() - {bytes(key) for key in new}
    if older:
        rows = session.execute(
            select(ImportKey.key, ImportKey.line).where(
                ImportKey.shop_id == run.shop_id, ImportKey.import_id == run.import_id, ImportKey.key.in_(older)
            )
        )
        first |= {bytes(row.key): row.line for row in rows}
    return first


_WRITE_KEYS = text(
    """
    INSERT INTO contact_import_keys (shop_id, import_id, key, line)
    SELECT :shop, :import, decode(key, 'hex'), line
    FROM json_to_recordset(CAST(:rows AS json)) AS given(key text, line integer)
    ON CONFLICT DO NOTHING RETURNING key
    """
)


def _write_refusals(run: _Run, refused: Sequence[Refused]) -> None:
    if refused:
        rows = [
            {
                "shop_id": run.shop_id,
                "import_id": run.import_id,
                "line": r.line,
                "column": r.column and r.column[:255],
                "code": r.code,
                "text": r.text,
            }
            for r in refused
        ]
        session.execute(insert(ImportRefusal), rows)


def _finish(run: _Run) -> None:
    row = _locked(run)
    if row.state != ImportState.RUNNING:
        raise ImportTaken(run.import_id)
    row.state = ImportState.COMPLETED
    row.finished_at = clock.now()
    _forget_keys(run)


def _forget_keys(run: _Run) -> None:
    session.execute(delete(ImportKey).where(ImportKey.shop_id == run.shop_id, ImportKey.import_id == run.import_id))


def _fail(run: _Run, error: Exception) -> None:
    """Say why it stopped. What was imported stays, and the same file goes on from there."""
    row = _locked(run)
    reason = (
        error.message if isinstance(error, BlossomError) else f"Something broke on our side ({type(error).__name__})."
    )
    row.state = ImportState.FAILED
    row.fault = f"{reason} {row.rows_read} of {row.rows_total} rows were imported; send the same file again to go on."
