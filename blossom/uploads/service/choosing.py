"""What a merchant says of a file: its letters, its columns, that its people agreed. Flushed; the request commits."""

from __future__ import annotations

from collections.abc import Mapping

from blossom.audit import service as audit
from blossom.contacts import service as contacts
from blossom.contacts.rules import mapping as mappings
from blossom.platform import clock, queue
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import noted
from blossom.uploads import queries, rules
from blossom.uploads.errors import ConsentUnsaid, NotAttested, OutOfStep
from blossom.uploads.models import Upload
from blossom.uploads.rules import State
from blossom.uploads.service import receiving


def name_encoding(shop_id: int, upload_id: int, encoding: str | None) -> Upload:
    """Read the file's beginning by these letters. Raises `NotFound`, `OutOfStep`, `UnreadableFile`."""
    upload = _in_state(shop_id, upload_id, State.RECEIVED)
    upload.encoding = encoding
    receiving.look_at(upload)
    session.flush()
    return upload


def choose_columns(shop_id: int, upload_id: int, mapping: Mapping[str, str], *, everybody_agreed: bool) -> Upload:
    """Say what the columns are (our field → header), and have a worker count what an import would do.

    `everybody_agreed`: all on the list agreed, whose own number it gives; not beside a column that says so of each.
    Raises `NotFound`, `OutOfStep`, `InvalidInput`, `UnreadableFile` for two columns of one name.
    """
    upload = queries.upload(shop_id, upload_id, lock=True)
    if upload.state == State.CHECKING and (upload.mapping, upload.everybody_agreed) == (mapping, everybody_agreed):
        return upload  # a second click
    if upload.state != State.RECEIVED or upload.header is None:
        raise OutOfStep
    chosen, _ = mappings.choose_columns(upload.header, mapping)
    if everybody_agreed and "sms_consent" in chosen:
        raise InvalidInput(
            {"consent": noted("The file has a column for consent: either that one counts, or your word for everybody.")}
        )
    upload.mapping, upload.everybody_agreed = chosen, everybody_agreed
    _hand_over(upload, State.CHECKING)
    return upload


def change_columns(shop_id: int, upload_id: int) -> Upload:
    """Go back to the columns, from what was counted by them. Raises `NotFound`, `OutOfStep`."""
    upload = queries.upload(shop_id, upload_id, lock=True)
    if upload.state == State.RECEIVED:
        return upload
    if upload.state != State.CHECKED:
        raise OutOfStep
    _forget_check(upload)
    upload.state = State.RECEIVED.value
    session.flush()
    return upload


def start(shop_id: int, upload_id: int, *, attested: str | None, actor: str, without_consent: bool = False) -> Upload:
    """Have a worker import it, or go on with an import that failed. `attested`: the sentence that the merchant has
    confirmed, that its people agreed; None: they come in without their consent, which is to be meant
    (`without_consent`) where a column of the file says that some agreed.

    Once, however often it is clicked. Raises `NotFound`, `OutOfStep`, `NotAttested`, `ConsentUnsaid`.
    """
    upload = queries.upload(shop_id, upload_id, lock=True)
    if upload.state in (State.IMPORTING, State.COMPLETED):
        return upload
    if upload.state == State.FAILED and upload.expires_at is not None:
        _hand_over(upload, State.IMPORTING)
        return upload
    if upload.state != State.CHECKED:
        raise OutOfStep
    if upload.everybody_agreed and attested is None:
        raise NotAttested
    if attested is None and not without_consent:
        check = queries.standing(shop_id, upload_id).check
        if check is not None and check.tallies.get("consent_opted_in"):
            raise ConsentUnsaid
    if attested is not None:
        upload.attested_by, upload.attested_wording = actor, attested
    _hand_over(upload, State.IMPORTING)
    audit.record(
        shop_id,
        "contacts.import_started",
        actor=actor,
        subject_type="upload",
        subject_id=upload.id,
        details={"attested": attested is not None},
    )
    return upload


def discard(shop_id: int, upload_id: int) -> None:
    """Let go of a file, and of what was counted by it; what was imported stays. Raises `NotFound`, and `OutOfStep`
    while it is being imported, or has been."""
    upload = queries.upload(shop_id, upload_id, lock=True)
    if upload.state in (State.IMPORTING, State.COMPLETED):
        raise OutOfStep
    _forget_check(upload)
    if upload.import_id is not None:
        contacts.forget_refused_lines(shop_id, upload.import_id)
    session.delete(upload)
    session.flush()


def _in_state(shop_id: int, upload_id: int, state: State) -> Upload:
    upload = queries.upload(shop_id, upload_id, lock=True)
    if upload.state != state:
        raise OutOfStep
    return upload


def _hand_over(upload: Upload, state: State) -> None:
    """To a worker."""
    now = clock.now()
    upload.state, upload.next_try_at, upload.tries, upload.fault = state.value, now, 0, None
    upload.expires_at = now + rules.FILE_KEPT
    session.flush()
    queue.enqueue("uploads.run", queue="slow", unless_waiting=True)


def _forget_check(upload: Upload) -> None:
    if upload.check_id is not None:
        check_id, upload.check_id = upload.check_id, None
        session.flush()
        contacts.drop_import(upload.shop_id, check_id)
