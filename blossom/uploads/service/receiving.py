"""A file comes in, part by part, and is looked at from its beginning. Flushed; the request commits."""

from __future__ import annotations

from pathlib import PurePosixPath

import orjson
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from blossom.audit import service as audit
from blossom.contacts.errors import UnreadableFile
from blossom.contacts.rules import csv_file, mapping
from blossom.platform import clock
from blossom.platform.db import lock_for_transaction, session
from blossom.uploads import queries, rules
from blossom.uploads.errors import FileEmpty, FileTooLarge, OutOfStep, PartRefused, TooManyFiles
from blossom.uploads.models import Upload, UploadPart
from blossom.uploads.rules import State
from blossom.uploads.service import content

LETTERS = ("csv_encoding", "csv_nul_bytes")
"""Faults of a file that another encoding may mend; any other one is the file's own."""


def begin(shop_id: int, filename: str, size: int, *, actor: str) -> Upload:
    """Make a place for a file of so many bytes. Raises `FileTooLarge`, `FileEmpty`, `TooManyFiles`."""
    if size > rules.MOST_BYTES:
        raise FileTooLarge(rules.MOST_BYTES)
    if size < 1:
        raise FileEmpty
    lock_for_transaction("uploads.begin", shop_id)
    if queries.open_count(shop_id) >= rules.MOST_OPEN:
        raise TooManyFiles(rules.MOST_OPEN)
    now = clock.now()
    upload = Upload(
        shop_id=shop_id,
        state=State.RECEIVING.value,
        filename=_name(filename),
        size=size,
        uploaded_by=actor,
        created_at=now,
        expires_at=now + rules.FILE_KEPT,
    )
    session.add(upload)
    session.flush()
    return upload


def receive_part(shop_id: int, upload_id: int, number: int, part: bytes) -> None:
    """Keep a part of the file, sealed; the same one again counts once.

    Raises `NotFound`, `OutOfStep`, `PartRefused`.
    """
    upload = queries.upload(shop_id, upload_id, lock=True)  # a discard waits until the part is kept, and takes it along
    if upload.state != State.RECEIVING:
        raise OutOfStep
    if len(part) != rules.part_size(upload.size, number):
        raise PartRefused
    kept = {"size": len(part), "content_sealed": content.sealed(shop_id, part)}
    session.execute(
        insert(UploadPart)
        .values(shop_id=shop_id, upload_id=upload_id, number=number, **kept)
        .on_conflict_do_update(index_elements=["shop_id", "upload_id", "number"], set_=kept)
    )


def end_receiving(shop_id: int, upload_id: int, *, actor: str) -> Upload:
    """All of the file is here: look at its beginning. Told once more, it is as it was.

    Raises `NotFound`, `PartRefused` for a part that is missing, and `UnreadableFile` for what is no such file.
    """
    upload = queries.upload(shop_id, upload_id, lock=True)
    if upload.state != State.RECEIVING:
        return upload
    if queries.received(shop_id, upload_id) != (rules.part_count(upload.size), upload.size):
        raise PartRefused
    look_at(upload)
    upload.state = State.RECEIVED.value
    audit.record(
        shop_id,
        "contacts.file_uploaded",
        actor=actor,
        subject_type="upload",
        subject_id=upload.id,
        details={"bytes": upload.size},
    )
    session.flush()
    return upload


def look_at(upload: Upload) -> None:
    """Read the names of its columns and its first lines. Letters that can't be told are noted, for the encoding to be
    named; whatever else is wrong raises `UnreadableFile`."""
    query = select(UploadPart.content_sealed).where(
        UploadPart.shop_id == upload.shop_id, UploadPart.upload_id == upload.id, UploadPart.number == 0
    )
    head = content.opened(upload.shop_id, session.scalars(query).one())
    try:
        header, lines = csv_file.peek(head, upload.encoding)
        mapping.check_names_columns(header)
    except UnreadableFile as fault:
        if fault.code not in LETTERS:
            raise
        upload.header, upload.sample = None, None
        upload.fault, upload.fault_details = fault.code, fault.details
        return
    upload.header, upload.sample = header, orjson.dumps(lines).decode()
    upload.fault, upload.fault_details = None, {}


def _name(given: str) -> str:
    """The file's own name: no folder, nothing that can't be shown."""
    name = PurePosixPath(given.replace("\\", "/")).name
    return "".join(letter for letter in name if letter.isprintable())[:255] or "customers.csv"
