"""Workers count what files would do, and import them. A chunk is one transaction; a killed worker's file is another's.

A turn is bounded in time: the file goes on behind whatever else waits.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import delete, text, update

from blossom.consent import service as consent
from blossom.contacts import queries as imports
from blossom.contacts.errors import ImportTaken, Interrupted
from blossom.contacts.rules import Attestation, ImportState
from blossom.contacts.service import Following
from blossom.platform import clock, queue, stopping
from blossom.platform.db import for_thread, rows_changed, session, transaction
from blossom.platform.errors import BlossomError
from blossom.uploads import rules
from blossom.uploads.models import Upload, UploadPart
from blossom.uploads.rules import State
from blossom.uploads.service import content

log = structlog.get_logger()

AT_A_TIME_SECONDS = 45.0
"""A job hands its worker back after this. To go on, a file is read up to there once more, which takes seconds."""

BEAT_SECONDS = 10.0
"""So often a worker counts its time with a file anew, whatever it is at: a file that it reads from its beginning, or a
chunk that waits. So a killed one's file need not wait for as long as the slowest chunk may take."""

FORESEEN = "dry run"
"""The merchant's word as a dry run supposes it: what would come of it is what it counts."""


def run_due() -> int:
    """Work on the files that are due, until none is, or the time is up; how many. Manages its transactions."""
    ends_at = time.monotonic() + AT_A_TIME_SECONDS
    worked_on = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with transaction():
            run = session.execute(_TAKE, {"now": clock.now(), "until": _from_now()}).one_or_none()
        if run is None:
            return worked_on
        worked_on += 1
        _Turn(run, ends_at).take()
    with transaction():
        queue.enqueue("uploads.run", queue="slow", unless_waiting=True)
    return worked_on


class _Turn:
    """One worker's time with one file."""

    def __init__(self, run: Any, ends_at: float) -> None:
        self._run, self._ends_at = run, ends_at
        self._is_check, self._tries = run.state == State.CHECKING, run.tries
        self._facts = {"upload_id": run.id, "shop_id": run.shop_id, "state": run.state}

    def take(self) -> None:
        """Whatever comes of it is written down, unless another worker has the file by then."""
        try:
            with self._kept_in_hand():
                if self._is_counted():
                    self._end()
                else:
                    self._try()
        except ImportTaken:
            log.warning("uploads.taken_over", **self._facts)

    @contextlib.contextmanager
    def _kept_in_hand(self) -> Iterator[None]:
        """Whoever is late all the same, since the machine stood still, writes nothing: `turn` is another's by then."""
        ended = threading.Event()
        beat = threading.Thread(target=for_thread(self._beat), args=(ended,), name="beat", daemon=True)
        beat.start()
        try:
            yield
        finally:
            ended.set()
            beat.join(BEAT_SECONDS)

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                with transaction():
                    session.execute(_BEAT, {"id": self._run.id, "turn": self._run.turn, "until": _from_now()})
            except Exception as error:  # the next one may be heard
                log.warning("uploads.beat_lost", **self._facts, fault=type(error).__name__)

    def _is_counted(self) -> bool:
        """Whether all of it was done before, by a worker that was killed before it could say so."""
        import_id = self._run.check_id if self._is_check else self._run.import_id
        with transaction():
            counted = import_id and imports.import_counts(self._run.shop_id, [import_id]).get(import_id)
        return bool(counted and counted.state is ImportState.COMPLETED)

    def _try(self) -> None:
        run = self._run
        try:
            consent.import_customers(
                run.shop_id,
                content.open_file(run.shop_id, run.id, run.size),
                filename=run.filename,
                mapping=run.mapping,
                attestation=self._attestation(),
                encoding=run.encoding,
                progress=self._go_on,
                following=Following(
                    dry_run=self._is_check,
                    keep_refused=not self._is_check,
                    going_on=run.check_id if self._is_check else run.import_id,
                    on_begin=self._begun,
                ),
            )
        except ImportTaken:
            raise
        except Interrupted:
            self._write(next_try_at=clock.now(), in_hand_until=None)
        except BlossomError as error:  # the file's own fault: another try would end the same way
            self._give_up(error.code, error.details)
        except Exception as error:
            log.exception("uploads.stumbled", **self._facts)
            self._put_off(type(error).__name__)
        else:
            self._end()

    def _attestation(self) -> Attestation | None:
        run = self._run
        if self._is_check:
            return Attestation(FORESEEN, FORESEEN, of_everybody=run.everybody_agreed)
        if run.attested_wording is None:
            return None
        return Attestation(run.attested_by, run.attested_wording, of_everybody=run.everybody_agreed)

    def _begun(self, import_id: int) -> None:
        """In the transaction that makes the import, or the dry run."""
        self._set(**{"check_id" if self._is_check else "import_id": import_id})

    def _go_on(self, _read: int, _total: int) -> None:
        self._write(in_hand_until=_from_now(), tries=0)
        self._tries = 0
        if stopping.requested() or time.monotonic() > self._ends_at:
            raise Interrupted

    def _end(self) -> None:
        now = clock.now()
        done: dict[str, Any] = {"next_try_at": None, "in_hand_until": None, "fault": None}
        with transaction():
            if self._is_check:
                self._set(state=State.CHECKED.value, expires_at=now + rules.FILE_KEPT, **done)
            else:
                kept = {"finished_at": now, "expires_at": now + rules.REFUSED_KEPT, "sample_sealed": None}
                self._set(state=State.COMPLETED.value, **kept, **done)
                of_file = (UploadPart.shop_id == self._run.shop_id, UploadPart.upload_id == self._run.id)
                session.execute(delete(UploadPart).where(*of_file))
        log.info("uploads.done", **self._facts)

    def _give_up(self, code: str, details: dict[str, Any]) -> None:
        """A fault that counting finds leads back to the columns; one of an import leaves it where it stopped."""
        log.warning("uploads.given_up", **self._facts, code=code)
        state = State.RECEIVED if self._is_check else State.FAILED
        self._write(state=state.value, fault=code, fault_details=details, next_try_at=None, in_hand_until=None)

    def _put_off(self, fault: str) -> None:
        tries = self._tries + 1
        if tries > rules.MOST_TRIES:
            self._give_up(fault, {})
            return
        at = clock.now() + rules.retry_after(tries)
        self._write(next_try_at=at, in_hand_until=None, tries=tries, fault=fault, fault_details={})

    def _write(self, **values: Any) -> None:
        with transaction():
            self._set(**values)

    def _set(self, **values: Any) -> None:
        """Raises `ImportTaken` when another worker has it by now, or the merchant has discarded it."""
        statement = (
            update(Upload)
            .where(Upload.shop_id == self._run.shop_id, Upload.id == self._run.id, Upload.turn == self._run.turn)
            .values(values)
            .execution_options(synchronize_session=False)
        )
        if rows_changed(statement) == 0:
            raise ImportTaken(self._run.import_id or 0)


def _from_now() -> datetime:
    return clock.now() + rules.IN_HAND


# Not of one that has ended: what nobody has in hand is let go of in its time.
_BEAT = text("UPDATE uploads SET in_hand_until = :until WHERE id = :id AND turn = :turn AND in_hand_until IS NOT NULL")
_TAKE = text(
    """
    UPDATE uploads SET turn = turn + 1, in_hand_until = :until
    WHERE id = (
        SELECT id FROM uploads
        WHERE next_try_at <= :now AND (in_hand_until IS NULL OR in_hand_until <= :now)
        ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, shop_id, state, filename, size, encoding, mapping, everybody_agreed, check_id, import_id,
        attested_by, attested_wording, turn, tries
    """
)
