"""Importing customer files: what is created, updated, refused, resumed, and never doubled."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

import blossom.sandbox
from blossom.contacts import queries
from blossom.contacts import service as contacts
from blossom.contacts.errors import ImportTaken, UnreadableFile
from blossom.contacts.models import ContactImport, ImportKey, ImportRefusal
from blossom.contacts.rules import Attestation, ImportReport, ImportState
from blossom.contacts.rules.imports import ImportedChunk
from blossom.platform import crypto, gsm
from blossom.platform.db import transaction
from blossom.platform.errors import InvalidInput
from blossom.sandbox import customers
from tests.factories.contacts import a_phone, create_contact
from tests.factories.shops import create_shop
from tests.personas import Personas

SAMPLE = Path(blossom.sandbox.__file__).parent / "data" / "customers-1000.csv"


def a_file(*rows: Sequence[str], header: Sequence[str] = ("Phone", "First Name", "Tags")) -> BinaryIO:
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows])
    return io.BytesIO(out.getvalue().encode())


def do_import(shop_id: int, file: BinaryIO, **options: Any) -> ImportReport:
    return contacts.import_csv(shop_id, file, filename="customers.csv", **options)


def test_people_are_created_with_what_the_file_says(personas: Personas) -> None:
    ours = personas.ours.id
    header = (
        "Phone",
        "First Name",
        "Last Name",
        "Email",
        "Country",
        "Total Spent",
        "Total Orders",
        "Customer ID",
        "Tags",
    )

    report = do_import(
        ours, a_file(("6984303406", "Ελένη", "Nikolaou", "E@x.gr", "DE", "12.50", "3", "77", "vip,b2b"), header=header)
    )

    assert (report.state, report.created, report.refused) == (ImportState.COMPLETED, 1, 0)
    contact = queries.contact_by_phone(ours, "+306984303406")
    assert contact is not None
    assert (contact.phone, contact.first_name, contact.last_name, contact.email) == (
        "+306984303406", "Ελένη", "Nikolaou", "E@x.gr"
    )  # fmt: skip
    assert (contact.first_name_size, contact.last_name_size) == (-10_005, 8)
    assert (contact.phone_country, contact.country, contact.zone) == ("GR", "DE", "Europe/Berlin")
    assert (contact.total_spent_minor, contact.orders_count, contact.shopify_customer_id) == (1250, 3, 77)
    assert contact.tags == ["vip", "b2b"]
    assert contact.email_hash == crypto.for_shop(ours).lookup("e@x.gr")


def test_nothing_personal_stands_in_clear_in_the_table(personas: Personas, session: Session) -> None:
    do_import(personas.ours.id, a_file(("6984303406", "Eleni", ""), ("210 123 4567", "Nikos", "")))

    stored = str(session.execute(text("SELECT to_jsonb(contacts) FROM contacts")).all())
    refused = str([(r.text, r.column) for r in session.scalars(select(ImportRefusal))])

    assert "Eleni" not in stored
    assert "6984303406" not in stored
    assert b"6984303406".hex() not in stored
    assert "1234567" not in refused.replace(" ", "")


def test_the_same_file_again_changes_nothing(personas: Personas, session: Session) -> None:
    first = do_import(personas.ours.id, a_file(("6984303406", "Eleni", "vip"), ("6974303406", "Nikos", "")))
    before = {c.id: (c.updated_at, c.phone_sealed) for c in queries.contacts(personas.ours.id)}

    again = do_import(personas.ours.id, a_file(("6984303406", "Eleni", "vip"), ("6974303406", "Nikos", "")))

    assert (first.created, again.created, again.updated, again.unchanged) == (2, 0, 0, 2)
    assert again.import_id != first.import_id
    assert {c.id: (c.updated_at, c.phone_sealed) for c in queries.contacts(personas.ours.id)} == before


def test_a_newer_file_updates_what_it_names_and_keeps_what_it_is_silent_about(personas: Personas) -> None:
    ours = personas.ours.id
    do_import(ours, a_file(("6984303406", "Eleni", "vip")))

    report = do_import(ours, a_file(("+306984303406", "Helen"), header=("Phone", "First Name")))

    assert (report.created, report.updated) == (0, 1)
    contact = queries.contact_by_phone(ours, "+306984303406")
    assert contact is not None
    assert (contact.first_name, contact.tags) == ("Helen", ["vip"])


def test_names_kept_before_sizes_told_of_capitals_are_written_again_by_the_next_import(
    personas: Personas, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = personas.ours.id
    rows, header = (("6984303406", "Ελένη"), ("6984303407", "Helen")), ("Phone", "First Name")
    with monkeypatch.context() as before:
        before.setattr(gsm, "signed_size", lambda name: len(name) if gsm.is_gsm(name) else -len(name))
        do_import(ours, a_file(*rows, header=header))
    assert {each.first_name: each.first_name_size for each in queries.contacts(ours)} == {"Ελένη": -5, "Helen": 5}

    report = do_import(ours, a_file(*rows, header=header))

    assert (report.updated, report.unchanged) == (1, 1)
    assert {each.first_name: each.first_name_size for each in queries.contacts(ours)} == {"Ελένη": -10_005, "Helen": 5}


def test_what_a_file_empties_is_emptied(personas: Personas) -> None:
    do_import(personas.ours.id, a_file(("6984303406", "Eleni", "vip")))
    do_import(personas.ours.id, a_file(("6984303406", "", "")))

    [contact] = queries.contacts(personas.ours.id)
    assert (contact.first_name, contact.first_name_size, contact.tags) == (None, 0, [])


def test_an_edit_elsewhere_is_seen_by_the_next_import(personas: Personas, session: Session) -> None:
    do_import(personas.ours.id, a_file(("6984303406", "Eleni", "vip")))
    [contact] = queries.contacts(personas.ours.id)
    contact.tags, contact.fingerprint = ["edited"], None
    session.commit()

    report = do_import(personas.ours.id, a_file(("6984303406", "Eleni", "vip")))

    assert report.updated == 1
    assert queries.contacts(personas.ours.id)[0].tags == ["vip"]


def test_a_zone_that_the_person_told_is_not_replaced_by_a_derived_one(personas: Personas) -> None:
    ours = personas.ours.id
    do_import(ours, a_file(("6984303406", "Asia/Tokyo"), header=("Phone", "Timezone")))
    do_import(ours, a_file(("6984303406", "DE"), header=("Phone", "Country")))

    [contact] = queries.contacts(ours)
    assert (contact.country, contact.zone, contact.zone_is_own) == ("DE", "Asia/Tokyo", True)


def test_of_two_lines_with_one_phone_the_first_wins_and_the_second_is_reported(personas: Personas) -> None:
    ours = personas.ours.id
    rows = [("6984303406", "Eleni", ""), *((a_phone(), "x", "") for _ in range(5)), ("00306984303406", "Nikos", "")]

    for size in (100, 2):  # in one chunk, and in different ones
        report = do_import(ours, a_file(*rows, (a_phone(), f"{size}", "")), chunk_rows=size)

        assert (report.refused, report.refused_by_code) == (1, {"phone_doubled": 1})
        assert (report.first_refused[0].line, report.first_refused[0].column) == (8, "Phone")
        assert "line 2" in report.first_refused[0].text
        contact = queries.contact_by_phone(ours, "+306984303406")
        assert contact is not None
        assert contact.first_name == "Eleni"


def test_a_customer_who_changed_the_number_stays_the_same_contact(personas: Personas) -> None:
    ours, header = personas.ours.id, ("Phone", "Customer ID")
    do_import(ours, a_file(("6984303406", "77"), header=header))
    [before] = queries.contacts(ours)

    report = do_import(ours, a_file(("6974303406", "77"), header=header))

    [after] = queries.contacts(ours)
    assert (report.updated, after.id, after.phone) == (1, before.id, "+306974303406")


def test_two_customers_who_swap_numbers_swap_their_ids(personas: Personas) -> None:
    ours, header = personas.ours.id, ("Phone", "Customer ID")
    do_import(ours, a_file(("6984303406", "1"), ("6974303406", "2"), header=header))

    do_import(ours, a_file(("6984303406", "2"), ("6974303406", "1"), header=header))

    assert {(c.phone, c.shopify_customer_id) for c in queries.contacts(ours)} == {
        ("+306984303406", 2),
        ("+306974303406", 1),
    }


def test_a_number_that_goes_from_one_customer_to_another_goes_with_its_id(personas: Personas) -> None:
    ours, header = personas.ours.id, ("Phone", "Customer ID")
    do_import(ours, a_file(("6984303406", "1"), ("6974303406", "2"), header=header))

    do_import(ours, a_file(("6974303406", "1"), ("6944303406", "2"), header=header))

    assert {(c.phone, c.shopify_customer_id) for c in queries.contacts(ours)} == {
        ("+306984303406", None),
        ("+306974303406", 1),
        ("+306944303406", 2),
    }


def test_a_customer_listed_with_two_numbers_is_two_people_one_without_the_id(personas: Personas) -> None:
    rows = (("6984303406", "1"), ("6974303406", "1"))
    report = do_import(personas.ours.id, a_file(*rows, header=("Phone", "Customer ID")))

    assert (report.created, report.tallies) == (2, {"ignored_customer_id": 1})
    assert {c.shopify_customer_id for c in queries.contacts(personas.ours.id)} == {1, None}


def test_refused_lines_never_stop_the_import_and_can_all_be_read(personas: Personas) -> None:
    ours = personas.ours.id
    bad = [("69843", "x", "")] * 30
    report = do_import(ours, a_file(*bad, ("6984303406", "Eleni", ""), ("", "Nobody", "")), chunk_rows=7)

    assert (report.rows_read, report.imported, report.refused) == (32, 1, 31)
    assert report.refused_by_code == {"phone_too_short": 30, "phone_missing": 1}
    assert len(report.first_refused) == queries.FIRST_REFUSED
    lines, after = [], 0
    while page := queries.refusals(ours, report.import_id, after_id=after, limit=10):
        lines += [refusal.line for refusal in page]
        after = page[-1].id
    assert lines == [*range(2, 32), 33]


def test_a_line_of_senseless_quotes_is_one_of_the_refused(personas: Personas) -> None:
    file = io.BytesIO(b'Phone,First Name\n6974303406,"a"b\n6984303406,Eleni\n')

    report = do_import(personas.ours.id, file)

    assert (report.created, report.refused_by_code) == (1, {"csv_malformed": 1})


def test_a_file_that_can_not_be_read_imports_nothing_and_leaves_no_trace(personas: Personas, session: Session) -> None:
    good = b"".join(f"{a_phone()},x\n".encode() for _ in range(100))

    with pytest.raises(UnreadableFile):
        do_import(personas.ours.id, io.BytesIO(b"Phone,First Name\n" + good + b'6984303406,"open\n'), chunk_rows=10)

    assert queries.count(personas.ours.id) == 0
    assert session.scalar(select(func.count()).select_from(ContactImport)) == 0


@pytest.mark.parametrize(
    ("file", "code"),
    [(b"Phone,First Name\n", "csv_no_customers"), (b"Phone,Phone\n6984303406,6974303406\n", "csv_doubled_columns")],
)
def test_a_file_that_lists_nobody_or_two_columns_of_a_name_begins_no_import(
    personas: Personas, session: Session, file: bytes, code: str
) -> None:
    with pytest.raises(UnreadableFile) as refused:
        do_import(personas.ours.id, io.BytesIO(file))

    assert refused.value.code == code
    assert session.scalar(select(func.count()).select_from(ContactImport)) == 0


def test_a_formula_in_a_cell_is_a_name_like_any_other_and_never_a_number(personas: Personas) -> None:
    formula = "=cmd|' /C calc'!A0"

    report = do_import(personas.ours.id, a_file(("6984303406", formula, "=1+1"), (formula, "Nikos", "")))

    [contact] = queries.contacts(personas.ours.id)
    assert (contact.first_name, contact.tags) == (formula, ["=1+1"])
    assert report.refused_by_code == {"phone_not_a_number": 1}


def test_any_csv_is_imported_by_a_mapping(personas: Personas) -> None:
    file = a_file(("6984303406", "Eleni"), header=("Nr", "Wer"))

    report = do_import(personas.ours.id, file, mapping={"phone": "Nr", "first_name": "Wer"})

    assert report.created == 1
    assert queries.contacts(personas.ours.id)[0].first_name == "Eleni"


def test_a_wrong_mapping_is_refused_before_anything_is_imported(personas: Personas) -> None:
    with pytest.raises(InvalidInput):
        do_import(personas.ours.id, a_file(("6984303406", "", "")), mapping={"phone": "Fone"})

    assert queries.count(personas.ours.id) == 0


def test_a_pipe_can_be_imported_too(personas: Personas) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation("seek")

    report = do_import(personas.ours.id, Pipe(a_file(("6984303406", "Eleni", "")).read()))

    assert report.created == 1


def test_each_chunk_is_handed_on_inside_its_transaction_and_its_counts_add_up(personas: Personas) -> None:
    seen: list[ImportedChunk] = []

    def count(chunk: ImportedChunk) -> Mapping[str, int]:
        seen.append(chunk)
        return {"met": len(chunk.people)}

    heard: list[tuple[int, int]] = []
    report = do_import(
        personas.ours.id,
        a_file(*((a_phone(), "x", "") for _ in range(5))),
        on_chunk=count,
        progress=lambda done, total: heard.append((done, total)),
        attestation=Attestation("staff:1", "They agreed."),
        chunk_rows=2,
    )

    assert report.tallies == {"met": 5}
    assert heard == [(2, 5), (4, 5), (5, 5)]
    ids = {c.id for c in queries.contacts(personas.ours.id)}
    assert {person.contact_id for chunk in seen for person in chunk.people} == ids
    assert {chunk.attestation for chunk in seen} == {Attestation("staff:1", "They agreed.")}


def test_another_shops_contact_with_the_same_phone_and_id_is_another_contact(personas: Personas) -> None:
    header = ("Phone", "Customer ID", "First Name")
    do_import(personas.theirs.id, a_file(("6984303406", "1", "Theirs"), header=header))
    do_import(personas.ours.id, a_file(("6984303406", "1", "Ours"), header=header))

    assert queries.contacts(personas.theirs.id)[0].first_name == "Theirs"
    ours, theirs = queries.contacts(personas.ours.id)[0], queries.contacts(personas.theirs.id)[0]
    assert ours.phone_hash != theirs.phone_hash


class PowerCut(BaseException):
    """Like a kill: no handler of ours runs for it."""


def test_a_killed_import_goes_on_where_it_was_and_doubles_nothing(committed_app: Flask) -> None:
    rows = [(a_phone(), f"name {n}", "t") for n in range(50)]
    rows[45] = rows[1]  # met again after the kill
    with transaction():
        shop_id = create_shop().id

    def die_in_the_third(chunk: ImportedChunk) -> Mapping[str, int]:
        if chunk.people[0].line >= 22:
            raise PowerCut
        return {"met": len(chunk.people)}

    with pytest.raises(PowerCut):
        do_import(shop_id, a_file(*rows), on_chunk=die_in_the_third, chunk_rows=10)
    with transaction() as session:
        killed = session.scalars(select(ContactImport)).one()
        assert (killed.state, killed.rows_read, killed.created) == (ImportState.RUNNING, 20, 20)
        assert queries.count(shop_id) == 20

    report = do_import(shop_id, a_file(*rows), on_chunk=lambda c: {"met": len(c.people)}, chunk_rows=10)

    assert (report.import_id, report.state, report.rows_read) == (killed.id, ImportState.COMPLETED, 50)
    assert (report.created, report.refused_by_code, report.tallies) == (49, {"phone_doubled": 1}, {"met": 49})
    assert "line 3" in report.first_refused[0].text
    with transaction() as session:
        assert queries.count(shop_id) == 49
        assert session.scalar(select(func.count()).select_from(ImportKey)) == 0


def test_an_import_that_a_fault_stopped_says_so_and_goes_on_with_the_same_file(
    personas: Personas, session: Session
) -> None:
    ours = personas.ours.id
    rows = [(a_phone(), "x", "") for _ in range(6)]

    def break_down(chunk: ImportedChunk) -> Mapping[str, int]:
        if chunk.people[0].line > 2:
            raise RuntimeError("a fault of ours")
        return {}

    with pytest.raises(RuntimeError):
        do_import(ours, a_file(*rows), on_chunk=break_down, chunk_rows=2)
    stopped = queries.import_report(ours, session.scalars(select(ContactImport.id)).one())
    report = do_import(ours, a_file(*rows), chunk_rows=2)

    assert (stopped.state, stopped.rows_read) == (ImportState.FAILED, 2)
    assert (report.import_id, report.created) == (stopped.import_id, 6)


def test_of_two_workers_on_one_import_the_slower_gives_way(committed_app: Flask) -> None:
    rows = [(a_phone(), "x", "") for _ in range(6)]
    with transaction():
        shop_id = create_shop().id
    overtaken = []

    def be_overtaken(done: int, total: int) -> None:
        if not overtaken:
            overtaken.append(do_import(shop_id, a_file(*rows), chunk_rows=2))

    with pytest.raises(ImportTaken):
        do_import(shop_id, a_file(*rows), progress=be_overtaken, chunk_rows=2)

    with transaction():
        report = queries.import_report(shop_id, overtaken[0].import_id)
        assert (report.state, report.created, report.rows_read) == (ImportState.COMPLETED, 6, 6)


def test_the_report_of_another_shops_import_is_not_there(personas: Personas) -> None:
    report = do_import(personas.theirs.id, a_file(("6984303406", "", "")))

    with pytest.raises(Exception, match="no such import"):
        queries.import_report(personas.ours.id, report.import_id)
    assert queries.refusals(personas.ours.id, report.import_id) == []


def test_the_sample_of_a_thousand_is_imported_with_every_oddity(personas: Personas) -> None:
    with SAMPLE.open("rb") as file:
        report = do_import(personas.ours.id, file)

    assert report.rows_total == 1000
    assert report.imported + report.refused == 1000
    assert report.imported > 850
    assert {"phone_doubled", "phone_missing", "phone_not_mobile", "phone_digits_lost", "phone_too_short"} <= set(
        report.refused_by_code
    )
    countries = {c.phone_country for c in queries.contacts(personas.ours.id, limit=1000)}
    assert len(countries) >= 20


def test_the_sample_is_what_the_generator_writes() -> None:
    out = io.StringIO()
    customers.write(1000, 7, out)

    assert out.getvalue() == SAMPLE.read_bytes().decode()


def test_memory_does_not_grow_with_the_file(personas: Personas) -> None:
    do_import(personas.ours.id, a_file((a_phone(), "Warm", "up")))  # caches that are filled once
    peaks = []
    for count in (1_000, 15_000):
        file = a_file(*((f"+3069{count % 97:02d}{n:06d}", "Eleni", "vip") for n in range(count)))
        tracemalloc.start()
        try:
            report = do_import(personas.ours.id, file, chunk_rows=250)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert report.imported == count

    assert peaks[1] < peaks[0] * 1.25


def test_listing_reads_page_by_page_newest_first(personas: Personas) -> None:
    made = [create_contact(personas.ours).id for _ in range(5)]

    first = queries.contacts(personas.ours.id, limit=3)
    rest = queries.contacts(personas.ours.id, before_id=first[-1].id, limit=3)

    assert [c.id for c in (*first, *rest)] == made[::-1]


def test_another_shops_contact_is_not_there(personas: Personas) -> None:
    theirs = create_contact(personas.theirs)

    with pytest.raises(Exception, match="no such contact"):
        queries.contact(personas.ours.id, theirs.id)
    assert theirs.phone is not None
    assert queries.contact_by_phone(personas.ours.id, cast(str, theirs.phone)) is None
