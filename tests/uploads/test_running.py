"""A worker that is killed, stopped or overtaken in the middle of a file: another goes on, and nothing counts twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from blossom.consent import service as consent
from blossom.contacts import queries as contacts
from blossom.contacts.models import ContactImport
from blossom.platform import clock, crypto, queue, resealing, stopping
from blossom.platform.db import session, transaction
from blossom.uploads import queries, rules, service
from blossom.uploads.errors import OutOfStep
from blossom.uploads.models import Upload, UploadPart
from blossom.uploads.rules import State, steps
from blossom.uploads.service import content, running
from tests.personas import Personas

MAPPING = {"phone": "Phone", "first_name": "Name"}
ROWS = 10


class Killed(BaseException):
    """As SIGKILL: nothing that the worker would still do is done."""


@pytest.fixture
def shop_id(personas: Personas) -> int:
    return personas.ours.id


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines a chunk."""
    real = consent.import_customers
    monkeypatch.setattr(consent, "import_customers", lambda *a, **k: real(*a, **k, chunk_rows=2))


def upload_to(shop_id: int, state: State, rows: int = ROWS) -> int:
    """A file at this step."""
    data = "Phone,Name\n" + "".join(f"+3069{number:08d},Anna {number}\n" for number in range(rows))
    with transaction():
        made = service.begin(shop_id, "people.csv", len(data.encode()), actor="staff:1")
        upload_id = made.id
        service.receive_part(shop_id, upload_id, 0, data.encode())
        service.end_receiving(shop_id, upload_id, actor="staff:1")
        if state is not State.RECEIVED:
            service.choose_columns(shop_id, upload_id, MAPPING, everybody_agreed=False)
    if state in (State.CHECKED, State.IMPORTING):
        service.run_due()
    if state is State.IMPORTING:
        with transaction():
            service.start(shop_id, upload_id, attested=None, actor="staff:1")
    return upload_id


def kill_after(chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker die once so many chunks are committed."""
    left, real = [chunks], running._Turn._go_on

    def go_on(turn: Any, read: int, total: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        real(turn, read, total)

    monkeypatch.setattr(running._Turn, "_go_on", go_on)
    with pytest.raises(Killed):
        service.run_due()
    monkeypatch.setattr(running._Turn, "_go_on", real)


def standing(shop_id: int, upload_id: int) -> queries.Standing:
    with transaction():
        return queries.standing(shop_id, upload_id)


@pytest.mark.usefixtures("small_chunks")
class TestKilled:
    @pytest.mark.parametrize("chunks", [1, 3, 5])
    def test_in_an_import_is_gone_on_with_once_its_time_is_up(
        self, shop_id: int, monkeypatch: pytest.MonkeyPatch, chunks: int
    ) -> None:
        upload_id = upload_to(shop_id, State.IMPORTING)
        kill_after(chunks, monkeypatch)
        assert service.run_due() == 0, "the one that was killed has it in hand yet"
        with clock.frozen_at(clock.now() + rules.IN_HAND + timedelta(seconds=1)):
            assert service.run_due() == 1
        done = standing(shop_id, upload_id)
        assert done.report is not None
        assert (done.state, done.report.created, done.report.rows_read) == (State.COMPLETED, ROWS, ROWS)
        with transaction():
            assert contacts.count(shop_id) == ROWS
            assert session.query(ContactImport).filter(~ContactImport.dry_run).count() == 1

    def test_in_a_count_is_gone_on_with_and_counts_nothing_twice(
        self, shop_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload_id = upload_to(shop_id, State.CHECKING)
        kill_after(3, monkeypatch)
        with clock.frozen_at(clock.now() + rules.IN_HAND + timedelta(seconds=1)):
            service.run_due()
        done = standing(shop_id, upload_id)
        assert done.check is not None
        assert (done.state, done.check.created, done.check.rows_read) == (State.CHECKED, ROWS, ROWS)
        with transaction():
            assert session.query(ContactImport).count() == 1

    @pytest.mark.parametrize("state", [State.CHECKING, State.IMPORTING])
    def test_between_the_last_line_and_saying_so_does_nothing_again(
        self, shop_id: int, monkeypatch: pytest.MonkeyPatch, state: State
    ) -> None:
        upload_id = upload_to(shop_id, state)

        def die(_turn: Any) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(running._Turn, "_end", die)
            with pytest.raises(Killed):
                service.run_due()
        with clock.frozen_at(clock.now() + rules.IN_HAND + timedelta(seconds=1)):
            service.run_due()
        done = standing(shop_id, upload_id)
        assert done.counted is not None
        assert (done.state, done.counted.created) == (
            State.CHECKED if state is State.CHECKING else State.COMPLETED, ROWS,
        )  # fmt: skip
        with transaction():
            assert session.query(ContactImport).count() == (1 if state is State.CHECKING else 2)

    def test_and_woken_again_gives_way_to_who_has_it_now(self, shop_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
        upload_id = upload_to(shop_id, State.IMPORTING)
        real, overtaken = running._Turn._go_on, list[int]()

        def go_on(turn: Any, read: int, total: int) -> None:
            if not overtaken:
                overtaken.append(read)
                with clock.frozen_at(clock.now() + rules.IN_HAND + timedelta(seconds=1)):
                    service.run_due()
            real(turn, read, total)

        monkeypatch.setattr(running._Turn, "_go_on", go_on)
        service.run_due()
        done = standing(shop_id, upload_id)
        assert done.report is not None
        assert (done.state, done.report.created) == (State.COMPLETED, ROWS)
        with transaction():
            assert contacts.count(shop_id) == ROWS


@pytest.mark.usefixtures("small_chunks")
class TestStopped:
    def test_lets_go_of_the_file_for_the_next(self, shop_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
        upload_id = upload_to(shop_id, State.IMPORTING)
        monkeypatch.setattr(stopping, "requested", iter([False, True, *[True] * 50]).__next__)
        service.run_due()
        halfway = standing(shop_id, upload_id)
        assert halfway.report is not None
        assert (halfway.state, halfway.report.rows_read) == (State.IMPORTING, 2)
        assert halfway.upload.in_hand_until is None
        monkeypatch.undo()
        service.run_due()
        assert standing(shop_id, upload_id).state is State.COMPLETED

    def test_when_its_time_is_up_goes_on_behind_the_others(self, shop_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
        upload_id = upload_to(shop_id, State.IMPORTING)
        monkeypatch.setattr(running, "AT_A_TIME_SECONDS", 0.0001)
        for _ in range(ROWS):
            service.run_due()
        monkeypatch.undo()
        service.run_due()
        done = standing(shop_id, upload_id)
        assert done.report is not None
        assert (done.state, done.report.created) == (State.COMPLETED, ROWS)


class TestFaults:
    def test_of_ours_are_tried_again_later_and_then_given_up(
        self, shop_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload_id = upload_to(shop_id, State.IMPORTING)
        with monkeypatch.context() as patched:
            patched.setattr(content, "opened", lambda *_: (_ for _ in ()).throw(OSError("disk")))
            at = clock.now()
            for _ in range(rules.MOST_TRIES + 1):
                with clock.frozen_at(at):
                    service.run_due()
                at += timedelta(hours=1)
        failed = standing(shop_id, upload_id)
        assert (failed.state, failed.upload.fault) == (State.FAILED, "OSError")
        with transaction():
            service.start(shop_id, upload_id, attested=None, actor="staff:1")
        service.run_due()
        assert standing(shop_id, upload_id).state is State.COMPLETED

    def test_a_file_that_is_worked_on_or_done_is_not_discarded(self, shop_id: int) -> None:
        upload_id = upload_to(shop_id, State.IMPORTING)
        for _ in range(2):
            with transaction(), pytest.raises(OutOfStep):
                service.discard(shop_id, upload_id)
            service.run_due()

    def test_one_that_is_discarded_while_it_is_counted_stops(
        self, shop_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload_id = upload_to(shop_id, State.CHECKING)
        real = running._Turn._begun

        def begun(turn: Any, import_id: int) -> None:
            real(turn, import_id)
            session.execute(update(Upload).where(Upload.id == upload_id).values(turn=99))

        monkeypatch.setattr(running._Turn, "_begun", begun)
        service.run_due()
        assert standing(shop_id, upload_id).state is State.CHECKING, "it is not his to say any more"
        with transaction():
            service.discard(shop_id, upload_id)
            assert (session.query(Upload).count(), session.query(UploadPart).count()) == (0, 0)
            assert session.query(ContactImport).count() == 0


class TestFileAtRest:
    def test_is_read_from_any_place(self, shop_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rules, "PART_BYTES", 7)
        monkeypatch.setattr(steps, "PART_BYTES", 7)
        data = bytes(range(256)) * 3
        with transaction():
            upload_id = service.begin(shop_id, "x", len(data), actor="staff:1").id
            for number in range(rules.part_count(len(data))):
                service.receive_part(shop_id, upload_id, number, data[number * 7 : number * 7 + 7])
        with content.open_file(shop_id, upload_id, len(data)) as file:
            assert file.read() == data
            assert (file.seek(100), file.read(5), file.tell()) == (100, data[100:105], 105)
            assert file.seek(0, 2) == len(data)
            assert file.read(1) == b""

    def test_outlives_a_change_of_the_shops_key(self, shop_id: int) -> None:
        upload_id = upload_to(shop_id, State.IMPORTING)
        resealing.rotate(shop_id)
        with transaction():
            kept = session.query(UploadPart).one().content_sealed
            assert crypto.for_shop(shop_id).key_id(kept) == crypto.for_shop(shop_id).current_key_id
        service.run_due()
        assert standing(shop_id, upload_id).state is State.COMPLETED

    def test_names_its_job_when_there_is_something_to_do(self, shop_id: int) -> None:
        upload_to(shop_id, State.CHECKING)
        assert queue.rq_queue("slow").count >= 1
