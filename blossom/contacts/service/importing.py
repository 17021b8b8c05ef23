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

import orjson
from sqlalchemy import insert, select

from blossom.contacts import queries
from blossom.contacts.errors import ImportTaken, Interrupted
from blossom.contacts.models import ContactImport, ImportRefusal
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
from blossom.contacts.service import doubles
from blossom.contacts.service.doubles import Foreseen
from blossom.contacts.service.foreseeing import foresee_people
from blossom.contacts.service.saving import FIELDS, Outcome, save_people
from blossom.platform import clock, crypto
from blossom.platform.db import lock_for_transaction, session, transaction
from blossom.platform.errors import BlossomError, NotFound
from blossom.shops.models import Shop

CHUNK_ROWS = 2_000

OnChunk = Callable[[ImportedChunk], Mapping[str, int]]
"""Called inside each chunk's transaction; what it counts is added to the import's tallies."""

OnProgress = Callable[[int, int], None]
"""Called after each chunk's commit with the rows read and the rows in all. May raise `Interrupted` to end the run."""


@dataclass(frozen=True)
class Following:
    """How an import is written down for somebody who follows it; without, it goes on where the same file stopped.

    `dry_run`: count what would be done, and touch no contact. `keep_refused`: keep refused lines themselves, sealed.
    `going_on`: the import that this run goes on with; None: a new one, whose id `on_begin` is told in the transaction
    that makes it.
    """

    dry_run: bool = False
    keep_refused: bool = False
    going_on: int | None = None
    on_begin: Callable[[int], None] | None = None


@dataclass(frozen=True)
class _Run:
    """One run of an import: a new one, or one that goes on after `rows_read`. `foreseen`: of a dry run."""

    shop_id: int
    import_id: int
    rows_read: int
    attestation: Attestation | None
    reading: Reading
    dry_run: bool
    keep_refused: bool
    foreseen: Foreseen


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
    following: Following | None = None,
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
            row = _begin(shop_id, filename, surveyed, chosen, attestation, following)
            run = _run_of(
                row, Reading(columns, surveyed.header, *_places(shop_id)), attestation, following or Following()
            )
        try:
            _import_rows(run, file, surveyed, on_chunk, progress, chunk_rows)
        except (ImportTaken, Interrupted):
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
    attestation: Attestation | None,
    following: Following | None,
) -> ContactImport:
    lock_for_transaction("contacts.import", shop_id)
    found = _begun_before(shop_id, surveyed, mapping, following)
    is_new = found is None
    if found is None:
        found = ContactImport(
            shop_id=shop_id,
            filename=filename[:255],
            file_digest=surveyed.digest,
            mapping=mapping,
            dry_run=following is not None and following.dry_run,
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
    if is_new and following is not None and following.on_begin is not None:
        following.on_begin(found.id)
    return found


def _begun_before(
    shop_id: int, surveyed: Survey, mapping: dict[str, str], following: Following | None
) -> ContactImport | None:
    """The import that this run goes on with: the one that is named, or the last open one of the same file."""
    query = select(ContactImport).where(
        ContactImport.shop_id == shop_id,
        ContactImport.file_digest == surveyed.digest,
        ContactImport.state != ImportState.COMPLETED,
        ContactImport.mapping == mapping,
        ContactImport.dry_run == (following is not None and following.dry_run),
    )
    if following is not None:
        query = query.where(ContactImport.id == (following.going_on or 0))
    return session.scalar(query.order_by(ContactImport.id.desc()).limit(1))


def _places(shop_id: int) -> tuple[str, str]:
    """The country by which a shop's numbers are read, and its zone."""
    shop = session.get(Shop, shop_id)
    if shop is None:
        raise NotFound("shop")
    return shop.default_country, shop.timezone


def _run_of(row: ContactImport, reading: Reading, attestation: Attestation | None, following: Following) -> _Run:
    known = doubles.foreseen(row.shop_id, row.id) if row.dry_run and row.rows_read else Foreseen()
    return _Run(row.shop_id, row.id, row.rows_read, attestation, reading, row.dry_run, following.keep_refused, known)


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
    """So many rows of the file, read. `cells`: of each line, as they stand there."""

    rows: int
    listed: list[Listed]
    refused: list[Refused]
    cells: dict[int, list[str]]


def _read(records: Sequence[Record], reading: Reading) -> _Chunk:
    """The people of a chunk and the lines that hold none. No transaction is open while this computes."""
    chunk = _Chunk(len(records), [], [], {record.line: record.cells or [] for record in records})
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
    kept, doubled = doubles.without_doubles(run.shop_id, run.import_id, chunk.listed, run.reading)
    refused = sorted([*chunk.refused, *doubled], key=lambda r: r.line)
    people, outcomes = (_foresee if run.dry_run else _save)(run, kept)
    tallies: Counter[str] = Counter(row.tallies)
    tallies.update(f"ignored_{field}" for one in kept for field in one.ignored)
    if on_chunk is not None:
        people += _doubled_opt_outs(run, chunk.listed, kept)
        tallies.update(on_chunk(ImportedChunk(run.shop_id, run.import_id, run.attestation, people)))
    _write_refusals(
        run, refused[: max(0, queries.FIRST_REFUSED - row.refused)] if run.dry_run else refused, chunk.cells
    )
    if run.dry_run:
        doubles.remember(run.shop_id, run.import_id, run.foreseen)
    row.rows_read += chunk.rows
    row.created += outcomes[Outcome.CREATED]
    row.updated += outcomes[Outcome.UPDATED]
    row.unchanged += outcomes[Outcome.UNCHANGED]
    row.refused += len(refused)
    row.refused_by_code = dict(Counter(row.refused_by_code) + Counter(r.code for r in refused))
    row.tallies = dict(tallies)


def _save(run: _Run, kept: Sequence[Listed]) -> tuple[list[Imported], Counter[Outcome]]:
    saved = save_people(run.shop_id, [one.person for one in kept], _fields_given(run.reading.columns))
    people = [
        Imported(one.line, contact.contact_id, contact.phone_hash, one.consent, one.own_number)
        for one, contact in zip(kept, saved, strict=True)
    ]
    return people, Counter(contact.outcome for contact in saved)


def _foresee(run: _Run, kept: Sequence[Listed]) -> tuple[list[Imported], Counter[Outcome]]:
    people = [one.person for one in kept]
    outcomes, given_up = foresee_people(run.shop_id, people, _fields_given(run.reading.columns), run.foreseen.given_up)
    run.foreseen.give_up(given_up)
    cipher = crypto.for_shop(run.shop_id)
    hashes = [cipher.lookup(one.person.phone.e164) for one in kept]
    listed = list(zip(kept, hashes, strict=True))
    run.foreseen.unsubscribe({each for one, each in listed if one.consent is ListedConsent.UNSUBSCRIBED})
    return [Imported(one.line, None, each, one.consent, one.own_number) for one, each in listed], Counter(outcomes)


def _fields_given(columns: Mapping[str, int]) -> frozenset[str]:
    """What the file says of people; the zone is told by the address as well. Where it is silent, nothing changes."""
    return FIELDS & set(columns) | ({"zone"} if {"zone", "country", "province"} & set(columns) else set())


def _locked(run: _Run) -> ContactImport:
    query = select(ContactImport).where(ContactImport.shop_id == run.shop_id, ContactImport.id == run.import_id)
    found = session.scalars(query.with_for_update()).one_or_none()
    if found is None:  # the dry run was begun anew meanwhile, or its file discarded
        raise ImportTaken(run.import_id)
    return found


def _doubled_opt_outs(run: _Run, listed: list[Listed], kept: list[Listed]) -> list[Imported]:
    """Who unsubscribed on a line that is left out for being doubled: the opt-out counts all the same."""
    lines = {one.line for one in kept}
    left_out = [one for one in listed if one.line not in lines and one.consent is ListedConsent.UNSUBSCRIBED]
    cipher = crypto.for_shop(run.shop_id)
    found = []
    for one in left_out:
        phone_hash = cipher.lookup(one.person.phone.e164)
        contact = None if run.dry_run else queries.contact_by_phone_hash(run.shop_id, phone_hash)
        if contact is not None or (run.dry_run and phone_hash not in run.foreseen.unsubscribed):
            contact_id = contact.id if contact is not None else None
            found.append(Imported(one.line, contact_id, phone_hash, ListedConsent.UNSUBSCRIBED, one.own_number))
            if run.dry_run:
                run.foreseen.unsubscribe({phone_hash})
    return found


def _write_refusals(run: _Run, refused: Sequence[Refused], cells: Mapping[int, list[str]]) -> None:
    if refused:
        rows = [
            {
                "shop_id": run.shop_id,
                "import_id": run.import_id,
                "line": r.line,
                "column": r.column and r.column[:255],
                "code": r.code,
                "text": r.text,
                "cells_sealed": _sealed(run, cells[r.line]) if run.keep_refused else None,
            }
            for r in refused
        ]
        session.execute(insert(ImportRefusal), rows)


def _sealed(run: _Run, cells: list[str]) -> bytes | None:
    """None for a line that is too long to be anybody's, or that could not be taken apart."""
    if not cells or sum(map(len, cells)) > LONGEST_KEPT:
        return None
    return crypto.for_shop(run.shop_id).seal(orjson.dumps(cells).decode(), "refused_line")


LONGEST_KEPT = 20_000
"""Characters of a refused line that is kept."""


def _finish(run: _Run) -> None:
    row = _locked(run)
    if row.state != ImportState.RUNNING:
        raise ImportTaken(run.import_id)
    row.state = ImportState.COMPLETED
    row.finished_at = clock.now()
    doubles.forget(run.shop_id, run.import_id)


def _fail(run: _Run, error: Exception) -> None:
    """Say why it stopped. What was imported stays, and the same file goes on from there."""
    row = _locked(run)
    reason = (
        error.message if isinstance(error, BlossomError) else f"Something broke on our side ({type(error).__name__})."
    )
    row.state = ImportState.FAILED
    row.fault = f"{reason} {row.rows_read} of {row.rows_total} rows were imported; send the same file again to go on."
