"""A dry run counts what the import then does, to the last line, and touches nothing."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from blossom.consent import service as consent
from blossom.consent.rules import Source
from blossom.contacts import queries
from blossom.contacts import service as contacts
from blossom.contacts.errors import ImportTaken, Interrupted
from blossom.contacts.models import ImportRefusal
from blossom.contacts.rules import Attestation, ImportReport
from blossom.contacts.service import Following, OnProgress
from blossom.platform import crypto, db
from blossom.platform.db import transaction
from tests.personas import Personas

HEADER = ("Phone", "First Name", "Tags", "Customer ID", "Accepts SMS Marketing")
ATTESTED = Attestation("staff:42", "They agreed", of_everybody=True)


def a_file(rows: Sequence[tuple[str, ...]]) -> io.BytesIO:
    out = io.StringIO()
    csv.writer(out).writerows([HEADER, *rows])
    return io.BytesIO(out.getvalue().encode())


def a_phone(number: int) -> str:
    return f"+3069{number:08d}"


def some_rows(chance: random.Random, count: int) -> list[tuple[str, ...]]:
    """People over few numbers and few customer ids, so that they meet; some lines that nobody can use."""
    rows: list[tuple[str, ...]] = []
    for _ in range(count):
        phone = chance.choice(["", "210 1234567", "Anna", *[a_phone(chance.randrange(12)) for _ in range(9)]])
        customer = str(chance.choice(["", *range(1, 9)]))
        said = chance.choice(["yes", "no", "unsubscribed", ""])
        rows.append((phone, chance.choice(["Anna", "Ben"]), chance.choice(["", "vip"]), customer, said))
    return rows


def run(shop_id: int, rows: Sequence[tuple[str, ...]], following: Following, **options: Any) -> ImportReport:
    return consent.import_customers(
        shop_id, a_file(rows), filename="x.csv", attestation=ATTESTED, following=following, **options
    )


@pytest.mark.parametrize("seed", range(8))
def test_counts_what_the_import_then_does(personas: Personas, seed: int) -> None:
    shop_id, chance = personas.ours.id, random.Random(seed)
    run(shop_id, some_rows(chance, 8), Following())
    for number in range(3):
        phone_hash = crypto.for_shop(shop_id).lookup(a_phone(number))
        consent.opt_out(shop_id, phone_hash, source=Source.KEYWORD)
    rows = some_rows(chance, 30)

    before = everything()
    begun: list[int] = []
    with pytest.raises(Interrupted):  # killed in the middle, and gone on with
        run(shop_id, rows, Following(dry_run=True, on_begin=begun.append), chunk_rows=4, progress=stop_after(chance))
    foreseen = run(shop_id, rows, Following(dry_run=True, going_on=begun[0]), chunk_rows=4)
    assert foreseen.import_id == begun[0]
    assert everything() == before
    done = run(shop_id, rows, Following(), chunk_rows=4)

    for count in ("rows_total", "created", "updated", "unchanged", "refused", "refused_by_code"):
        assert getattr(foreseen, count) == getattr(done, count), count
    told = {name: number for name, number in foreseen.tallies.items() if not name.startswith("stand_")}
    for name in {*told, *done.tallies} - {"consent_already"}:  # of a number that is met again, it may be one less
        assert told.get(name, 0) == done.tallies.get(name, 0), name


def stop_after(chance: random.Random) -> OnProgress:
    """End the run after some of its chunks."""
    left = [chance.randrange(1, 7)]

    def stop(_read: int, _total: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Interrupted

    return stop


def everything() -> list[Any]:
    statements = (f"SELECT t::text FROM {table} t ORDER BY 1" for table in ("contacts", "consents", "consent_events"))
    return [db.session.execute(text(statement)).all() for statement in statements]


def test_says_how_many_stand_opted_out_whatever_the_file_says(personas: Personas) -> None:
    shop_id = personas.ours.id
    for number, said in ((1, ""), (2, "yes"), (3, "no")):
        run(shop_id, [(a_phone(number), "Anna", "", "", "")], Following())
        consent.opt_out(shop_id, crypto.for_shop(shop_id).lookup(a_phone(number)), source=Source.KEYWORD)
        assert said is not None
    rows = [(a_phone(1), "", "", "", ""), (a_phone(2), "", "", "", "yes"), (a_phone(3), "", "", "", "no"),
            (a_phone(4), "", "", "", "yes")]  # fmt: skip

    report = run(shop_id, rows, Following(dry_run=True))

    assert report.tallies["stand_opted_out"] == 3
    assert report.tallies["consent_opted_in"] == 1
    assert report.tallies["consent_opted_out_stands"] == 2


def test_of_everybody_means_those_whose_own_number_it_is(personas: Personas) -> None:
    shop_id = personas.ours.id
    file = io.BytesIO(b"Phone,Default Address Phone\n6984303406,\n,6974303406\n")

    report = consent.import_customers(shop_id, file, filename="x.csv", attestation=ATTESTED)

    assert (report.created, report.tallies["consent_opted_in"]) == (2, 1)


def test_keeps_refused_lines_sealed_and_lets_go_of_them(personas: Personas) -> None:
    shop_id = personas.ours.id
    report = run(shop_id, [("210 1234567", "Anna, B", "", "", "")], Following(keep_refused=True))

    (refused,) = queries.refusals(shop_id, report.import_id)
    assert refused.cells == '["210 1234567","Anna, B","","",""]'
    assert b"1234567" not in (refused.cells_sealed or b"")
    contacts.forget_refused_lines(shop_id, report.import_id)
    db.session.expire_all()
    assert queries.refusals(shop_id, report.import_id)[0].cells is None


def test_one_that_is_forgotten_while_it_runs_gives_way(personas: Personas) -> None:
    begun: list[int] = []

    def forget(_read: int, _total: int) -> None:
        with transaction():
            contacts.drop_import(personas.ours.id, begun[0])

    rows = [(a_phone(number), "", "", "", "") for number in range(4)]
    with pytest.raises(ImportTaken):
        run(personas.ours.id, rows, Following(dry_run=True, on_begin=begun.append), chunk_rows=2, progress=forget)
    assert db.session.query(ImportRefusal).count() == 0
