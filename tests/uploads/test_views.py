"""A merchant's file from their browser into the contacts: every step, and what can be wrong at each."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from blossom.consent import queries as consents
from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.contacts.models import ContactImport, ImportRefusal
from blossom.platform import clock, crypto, db
from blossom.shops.models import Shop
from blossom.uploads import rules, service
from blossom.uploads.models import Upload, UploadPart
from blossom.uploads.rules import steps
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import create_contact
from tests.uploads.sending import HEADER, PARTIAL, announce, post, send

ANNA, BEN, CLEO = "+306984303406", "+306974303406", "+306944303406"
LISTED = {"phone": "Phone", "first_name": "First Name", "sms_consent": "Accepts SMS Marketing", "consent": "column"}


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def figures(html: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r'data-import="(\w+)">([\d,]+)<', html)}


def shown(visitor: Visitor, address: str) -> str:
    response = visitor.fetch(address, headers=PARTIAL)
    assert response.status_code == 200
    return response.get_data(as_text=True)


def state_of(shop_id: int, phone: str) -> State:
    return consents.state_of(shop_id, crypto.for_shop(shop_id).lookup(phone))


def counted(visitor: Visitor, rows: str, **chosen: str) -> str:
    """The address of a file that was sent, and counted by these columns."""
    address, _ = send(visitor, (HEADER + rows).encode())
    assert post(visitor, f"{address}/columns", **{**LISTED, **chosen}).status_code == 200
    service.run_due()
    return address


def imported(visitor: Visitor, rows: str, **chosen: str) -> str:
    address = counted(visitor, rows, **chosen)
    assert post(visitor, f"{address}/start", attested="yes").status_code == 200
    service.run_due()
    return address


@pytest.fixture(autouse=True)
def shop_id(ours: Shop) -> int:
    """Ours is in Greece. Its number outlives the session that a job closes."""
    ours.default_country = "GR"
    return ours.id


class TestSending:
    def test_ends_at_the_columns_with_ours_guessed(self, visitor: Visitor) -> None:
        address, answer = send(visitor, (HEADER + f"{ANNA},Anna,yes\n").encode())
        html = answer.get_data(as_text=True)
        assert answer.headers["HX-Push-Url"] == address
        assert html.strip().startswith('<div class="stack" id="import"')
        selects = dict(re.findall(r'<select id="column-(\w+)".*?<option selected>([^<]*)', html, re.DOTALL))
        assert selects["phone"] == "Phone"
        assert "Such as: Anna" in words(html)
        assert re.search(r'id="consent-column"[^>]* checked', html)

    def test_in_many_parts_is_the_same_file(
        self, visitor: Visitor, shop_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rules, "PART_BYTES", 100)
        monkeypatch.setattr(steps, "PART_BYTES", 100)
        lines = "".join(f"+3069{number:08d},Ελένη,yes\n" for number in range(50))
        address = imported(visitor, lines)
        assert figures(shown(visitor, address))["created"] == 50
        assert contacts.count(shop_id) == 50
        assert {each.first_name for each in contacts.contacts(shop_id)} == {"Ελένη"}

    def test_the_same_part_twice_is_one_and_another_size_is_refused(self, visitor: Visitor) -> None:
        address = announce(visitor, 3).get_json()["address"]
        for part, status in ((b"abc", 204), (b"abd", 204), (b"ab", 422), (b"abcd", 422), (b"", 422)):
            assert visitor.fetch(f"{address}/parts/1", method="PUT", data=part).status_code == status
        assert visitor.fetch(f"{address}/parts/2", method="PUT", data=b"abc").status_code == 422
        assert db.session.query(UploadPart).count() == 1

    def test_what_is_missing_is_asked_for(self, visitor: Visitor) -> None:
        address = announce(visitor, 10).get_json()["address"]
        answer = visitor.fetch(f"{address}/received", method="POST", headers=PARTIAL)
        assert answer.status_code == 422
        assert "did not arrive as it was sent" in words(answer.get_data(as_text=True))

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"PK\x03\x04 a workbook", "This is not a CSV file."),
            (b"\n\n", "The file is empty."),
            (b"+30 698 430 3406,Eleni\n", "It holds a customer."),
            (b"Eleni;eleni@example.com\nAnna;anna@example.com\n", "It holds a customer."),
        ],
    )
    def test_says_what_is_wrong_with_the_file_at_the_field(self, visitor: Visitor, content: bytes, told: str) -> None:
        _, answer = send(visitor, content)
        assert answer.status_code == 422
        html = answer.get_data(as_text=True)
        assert told in words(html)
        assert re.search(r'<input id="file"[^>]* aria-invalid="true"', html)

    @pytest.mark.parametrize(
        ("size", "status"), [(0, 422), (rules.MOST_BYTES + 1, 422), ("x", 422), (rules.MOST_BYTES, 201)]
    )
    def test_is_bounded(self, visitor: Visitor, size: int, status: int) -> None:
        assert announce(visitor, size).status_code == status

    def test_so_many_wait_at_once_and_no_more(self, visitor: Visitor) -> None:
        for _ in range(rules.MOST_OPEN):
            address = announce(visitor, 10).get_json()["address"]
        assert announce(visitor, 10).status_code == 409
        post(visitor, f"{address}/discard")
        assert announce(visitor, 10).status_code == 201

    def test_no_name_or_number_stands_in_the_clear(self, visitor: Visitor) -> None:
        send(visitor, (HEADER + f"{ANNA},Anastasia,yes\n").encode())
        rows = [
            db.session.execute(text(f"SELECT t::text FROM {table} t")).scalars().all()
            for table in ("uploads", "upload_parts")
        ]
        hidden = [word.encode().hex() for word in ("Anastasia", "6984303406")]
        assert not [word for word in ("Anastasia", "6984303406", *hidden) if word in str(rows)]

    def test_letters_that_cannot_be_told_are_asked_for(self, visitor: Visitor, shop_id: int) -> None:
        address, answer = send(visitor, (HEADER + f"{ANNA},Ελένη,yes\n").encode("windows-1253"))
        assert answer.status_code == 200
        assert "Line 2 has letters that can" in words(answer.get_data(as_text=True))
        html = post(visitor, f"{address}/encoding", encoding="windows-1253").get_data(as_text=True)
        assert "Such as: Ελένη" in words(html)
        post(visitor, f"{address}/columns", **LISTED)
        service.run_due()
        post(visitor, f"{address}/start", attested="yes")
        service.run_due()
        assert contacts.contacts(shop_id)[0].first_name == "Ελένη"


class TestCounting:
    def test_says_what_would_be_and_does_nothing(self, visitor: Visitor, ours: Shop, shop_id: int) -> None:
        create_contact(ours, phone=BEN, first_name="Benjamin")
        opt_out(create_contact(ours, phone=CLEO))
        address = counted(visitor, f"{ANNA},Anna,yes\n{BEN},Ben,no\n{CLEO},Cleo,yes\n210 1234567,,\n{ANNA},,\n")
        html = shown(visitor, address)
        assert figures(html) == {
            "importable": 3, "created": 1, "updated": 2, "unchanged": 0, "refused": 2,
            "opted_in": 1, "stand_opted_in": 0, "stand_opted_out": 1, "opted_out": 0,
        }  # fmt: skip
        assert "The number takes no texts, such as a fixed line 1" in words(html)
        assert "The number stands on an earlier line already 1" in words(html)
        assert "Line 5 · Phone" in words(html)
        assert contacts.count(shop_id) == 2
        assert "Import 3 contacts" in words(html)

    def test_goes_back_to_the_columns_and_forgets_what_was_counted(self, visitor: Visitor) -> None:
        address = counted(visitor, f"{ANNA},Anna,yes\n")
        html = post(visitor, f"{address}/back").get_data(as_text=True)
        assert "Which column is what?" in words(html)
        assert db.session.query(ContactImport).count() == 0

    def test_without_a_column_of_phones_says_so_and_keeps_the_choice(self, visitor: Visitor) -> None:
        address, _ = send(visitor, (HEADER + f"{ANNA},Anna,yes\n").encode())
        answer = post(visitor, f"{address}/columns", first_name="First Name", consent="everybody")
        html = answer.get_data(as_text=True)
        assert answer.status_code == 422
        assert "Say which column holds the phone numbers." in words(html)
        assert re.search(r'<select id="column-phone"[^>]*aria-invalid="true"', html)
        assert re.search(r'id="consent-everybody"[^>]* checked', html)

    def test_by_a_column_that_is_not_named_says_so(self, visitor: Visitor) -> None:
        address, _ = send(visitor, (HEADER + f"{ANNA},Anna,yes\n").encode())
        answer = post(visitor, f"{address}/columns", phone="Phone", consent="column")
        assert answer.status_code == 422
        html = answer.get_data(as_text=True)
        assert "Say which column tells who has agreed." in words(html)
        assert re.search(r'<select id="column-sms_consent"[^>]* aria-invalid="true"', html)
        assert not re.search(r'<select id="column-phone"[^>]* aria-invalid="true"', html)

    def test_finds_what_is_wrong_further_down_and_leads_back(self, visitor: Visitor) -> None:
        rows = "".join(f"+3069{number:08d},Anna,yes\n" for number in range(20))
        address = counted(visitor, rows + '+306999999999,"Anna,yes\n')
        html = shown(visitor, address)
        assert "A quotation mark that opens on line 22 is never closed." in words(html)
        assert "Which column is what?" in words(html)

    def test_asks_for_the_letters_that_it_meets_further_down(self, visitor: Visitor) -> None:
        rows = "".join(f"+3069{number:08d},Anna,yes\n" for number in range(200_000)) + f"{ANNA},Ελένη,yes\n"
        address, _ = send(visitor, (HEADER + rows).encode("windows-1253"))
        post(visitor, f"{address}/columns", **LISTED)
        service.run_due()
        html = shown(visitor, address)
        assert "Line 200,002 has letters that can" in words(html)
        assert '<details class="card" open>' in html
        html = post(visitor, f"{address}/encoding", encoding="windows-1253").get_data(as_text=True)
        assert re.search(r'<select id="column-phone".*?<option selected>Phone', html, re.DOTALL)
        assert "Line 200,002" not in words(html)

    @pytest.mark.parametrize(
        ("rows", "asked", "told"),
        [
            (1, "", "1 of 1 line "), (2, "", "2 of 2 lines "),
            (1, "?locale=el", "1 από 1 γραμμή "), (2, "?locale=el", "2 από 2 γραμμές "),
        ],
    )  # fmt: skip
    def test_says_one_line_of_one_and_lines_of_more(self, visitor: Visitor, rows: int, asked: str, told: str) -> None:
        address = counted(visitor, "".join(f"{phone},,\n" for phone in (ANNA, BEN)[:rows]))
        assert told in words(visitor.fetch(address + asked).get_data(as_text=True))

    def test_shows_how_far_it_is_while_it_counts(self, visitor: Visitor) -> None:
        address, _ = send(visitor, (HEADER + f"{ANNA},Anna,yes\n").encode())
        html = post(visitor, f"{address}/columns", **LISTED).get_data(as_text=True)
        assert 'hx-trigger="every 1s"' in html
        assert 'role="progressbar"' in html
        service.run_due()
        assert "every 1s" not in shown(visitor, address)


class TestImporting:
    def test_with_the_merchants_word_opts_in_who_the_file_says_agreed(
        self, visitor: Visitor, ours: Shop, shop_id: int
    ) -> None:
        opt_out(create_contact(ours, phone=CLEO))
        address = imported(visitor, f"{ANNA},Anna,yes\n{BEN},Ben,\n{CLEO},Cleo,yes\n")
        told = figures(shown(visitor, address))
        assert (told["created"], told["updated"], told["opted_in"], told["opted_out_stands"]) == (2, 1, 1, 1)
        assert (state_of(shop_id, ANNA), state_of(shop_id, BEN), state_of(shop_id, CLEO)) == (
            State.OPTED_IN, State.NEVER_SUBSCRIBED, State.OPTED_OUT,
        )  # fmt: skip
        (event,) = consents.events(shop_id, crypto.for_shop(shop_id).lookup(ANNA))
        assert event.actor == "staff:1" or (event.actor or "").startswith("staff:")
        assert "has agreed to get marketing texts" in (event.wording or "")

    def test_tells_who_was_opted_out_by_the_file(self, visitor: Visitor, ours: Shop, shop_id: int) -> None:
        create_subscriber(ours, phone=CLEO)
        rows = f"{ANNA},Anna,yes\n{CLEO},Cleo,unsubscribed\n"
        assert figures(shown(visitor, counted(visitor, rows)))["opted_out"] == 1
        told = figures(shown(visitor, imported(visitor, rows)))
        assert (told["opted_in"], told["opted_out"], told["opted_out_stands"]) == (1, 1, 0)
        assert state_of(shop_id, CLEO) is State.OPTED_OUT

    def test_without_it_asks_whether_nobody_is_to_be_opted_in(self, visitor: Visitor, shop_id: int) -> None:
        address = counted(visitor, f"{ANNA},Anna,yes\n{BEN},Ben,\n")
        asked = words(shown(visitor, address))
        assert "With it, 1 person is opted in. Without it they come in as contacts only" in asked
        assert "Import 2 contacts without consent" in asked
        refused = post(visitor, f"{address}/start")
        assert refused.status_code == 422
        html = refused.get_data(as_text=True)
        assert "Confirm that they have agreed, or import them without consent." in words(html)
        assert re.search(r'<input id="attested"[^>]* aria-invalid="true"', html)
        service.run_due()
        assert contacts.count(shop_id) == 0

    @pytest.mark.parametrize("ticked", [{}, {"attested": "yes"}])
    def test_and_told_so_brings_them_in_as_contacts_only(
        self, visitor: Visitor, shop_id: int, ticked: dict[str, str]
    ) -> None:
        address = counted(visitor, f"{ANNA},Anna,yes\n")
        assert post(visitor, f"{address}/start", without_consent="yes", **ticked).status_code == 200
        service.run_due()
        assert contacts.count(shop_id) == 1
        assert state_of(shop_id, ANNA) is State.NEVER_SUBSCRIBED

    def test_where_nobody_agreed_says_that_none_of_them_can_be_texted(self, visitor: Visitor, shop_id: int) -> None:
        address = counted(visitor, f"{ANNA},Anna,yes\n{BEN},Ben,\n", consent="nobody")
        asked = words(shown(visitor, address))
        assert "2 contacts come in. Nobody is opted in by this file: none of them can be texted." in asked
        assert "Import 2 contacts without consent" in asked
        assert post(visitor, f"{address}/start").status_code == 200

    def test_and_names_those_who_agreed_before(self, visitor: Visitor, shop_id: int) -> None:
        imported(visitor, f"{ANNA},Anna,yes\n")
        asked = words(shown(visitor, counted(visitor, f"{ANNA},Anne,\n{BEN},Ben,\n", consent="nobody")))
        assert "1 agreed before, and can still be texted." in asked
        assert "Import 2 contacts Change" in asked

    def test_of_everybody_needs_the_word_and_takes_it_for_all(self, visitor: Visitor, shop_id: int) -> None:
        address = counted(visitor, f"{ANNA},Anna,\n{BEN},Ben,no\n", consent="everybody")
        refused = post(visitor, f"{address}/start")
        assert refused.status_code == 422
        assert "Confirm that everybody in this file has agreed" in words(refused.get_data(as_text=True))
        post(visitor, f"{address}/start", attested="yes")
        service.run_due()
        assert {state_of(shop_id, ANNA), state_of(shop_id, BEN)} == {State.OPTED_IN}

    def test_is_begun_once_however_often_it_is_clicked(self, visitor: Visitor) -> None:
        address = imported(visitor, f"{ANNA},Anna,yes\n")
        post(visitor, f"{address}/start", attested="yes")
        service.run_due()
        assert figures(shown(visitor, address))["created"] == 1
        assert db.session.query(ContactImport).filter(~ContactImport.dry_run).count() == 1

    def test_begins_at_nothing_not_at_what_was_counted_before(self, visitor: Visitor) -> None:
        address = counted(visitor, f"{ANNA},Anna,yes\n")
        begun = words(post(visitor, f"{address}/start", attested="yes").get_data(as_text=True))
        assert "100%" not in begun
        assert "The file is being read" in begun

    def test_leaves_nothing_of_the_file(self, visitor: Visitor) -> None:
        imported(visitor, f"{ANNA},Anna,yes\n")
        (upload,) = db.session.scalars(select(Upload))
        assert (db.session.query(UploadPart).count(), upload.sample_sealed) == (0, None)

    def test_gives_the_refused_lines_back_to_be_corrected(self, visitor: Visitor) -> None:
        address = imported(visitor, f'{ANNA},Anna,yes\n210 1234567,"=cmd()",\n{ANNA},@Again,\n')
        assert f'href="{address}/refused.csv"' in shown(visitor, address)
        answer = visitor.fetch(f"{address}/refused.csv")
        assert answer.headers["Content-Disposition"].startswith("attachment")
        rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))
        assert rows == [
            ["Line", "Why it was refused", "Phone", "First Name", "Accepts SMS Marketing"],
            ["3", "The number takes no texts, such as a fixed line", "210 1234567", "'=cmd()", ""],
            ["4", "The number stands on an earlier line already", ANNA, "'@Again", ""],
        ]

    def test_and_takes_them_once_they_are_corrected(self, visitor: Visitor) -> None:
        address = imported(visitor, "210 1234567,Ben,yes\n")
        report = visitor.fetch(f"{address}/refused.csv").get_data().replace(b"210 1234567", BEN.encode())
        again, _ = send(visitor, report, "corrected.csv")
        post(visitor, f"{again}/columns", **LISTED)
        service.run_due()
        assert figures(shown(visitor, again))["created"] == 1

    def test_goes_by_itself_after_its_time(self, visitor: Visitor) -> None:
        done = imported(visitor, "210 1234567,Ben,yes\n")
        left, _ = send(visitor, (HEADER + f"{ANNA},Anna,yes\n").encode())
        with clock.frozen_at(clock.now() + rules.REFUSED_KEPT + timedelta(minutes=1)):
            assert service.forget_expired() == 2
        assert db.session.query(UploadPart).count() == 0
        assert db.session.scalars(select(ImportRefusal.cells_sealed).distinct()).all() == [None]
        assert visitor.fetch(f"{done}/refused.csv").status_code == 404
        assert "The refused lines themselves have been deleted by now." in words(shown(visitor, done))
        assert visitor.fetch(left).status_code == 404


class TestStopped:
    @pytest.fixture
    def stopped(self, visitor: Visitor) -> str:
        """An import that a fault of ours has stopped."""
        address = counted(visitor, f"{ANNA},Anna,yes\n210 1234567,,\n")
        upload = db.session.query(Upload).one()
        upload.state, upload.fault = "failed", "OSError"
        return address

    def test_says_so_and_goes_on_when_asked(self, visitor: Visitor, stopped: str, shop_id: int) -> None:
        html = shown(visitor, stopped)
        assert "Something broke on our side while we read the file." in words(html)
        post(visitor, f"{stopped}/start")
        service.run_due()
        assert contacts.count(shop_id) == 1

    def test_and_left_alone_lets_go_of_the_file_and_says_so(self, visitor: Visitor, stopped: str) -> None:
        visitor.fetch(stopped)
        with clock.frozen_at(clock.now() + rules.FILE_KEPT + timedelta(minutes=1)):
            assert service.forget_expired() == 1
        assert db.session.query(UploadPart).count() == 0
        html = shown(visitor, stopped)
        assert "The file has been deleted by now." in words(html)
        assert post(visitor, f"{stopped}/start").status_code == 409

    def test_while_it_comes_in_says_so(self, visitor: Visitor) -> None:
        address = announce(visitor, 10).get_json()["address"]
        assert "Not all of this file has arrived" in words(shown(visitor, address))

    @pytest.mark.parametrize("deed", ["encoding", "columns", "back", "start"])
    def test_out_of_step_is_told_and_changes_nothing(self, visitor: Visitor, deed: str) -> None:
        address = announce(visitor, 10).get_json()["address"]
        answer = post(visitor, f"{address}/{deed}", **LISTED)
        assert answer.status_code == 409
        assert "This file is further on by now." in words(answer.get_data(as_text=True))


class TestWhoMay:
    def test_who_may_only_look_at_contacts_is_refused(self, visitor: Visitor, ours: Shop) -> None:
        address, _ = send(visitor, (HEADER + f"{ANNA},Anna,yes\n").encode())
        member(ours, ("read_customers",), user_id=7)
        looking = token(sub="7")
        assert visitor.fetch("/contacts/imports", looking).status_code == 403
        assert visitor.fetch(address, looking).status_code == 403
        assert visitor.fetch("/contacts/imports", looking, method="POST", data={"size": 3}).status_code == 403

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", ""), ("GET", "/refused.csv"), ("PUT", "/parts/1"), *[
            ("POST", f"/{deed}") for deed in ("received", "encoding", "columns", "back", "start", "discard")]],
    )  # fmt: skip
    def test_another_shops_file_is_not_there(self, visitor: Visitor, stranger: Visitor, method: str, path: str) -> None:
        address, _ = send(stranger, (HEADER + f"{ANNA},Anna,yes\n").encode(), "theirs.csv")
        answer = visitor.fetch(f"{address}{path}", method=method, data=b"" if method == "PUT" else None)
        assert answer.status_code == 404
        assert "theirs.csv" not in answer.get_data(as_text=True)

    def test_the_list_asks_as_often_for_many_as_for_few(self, visitor: Visitor) -> None:
        def ask() -> int:
            with statements() as seen:
                assert visitor.fetch("/contacts/imports").status_code == 200
            return len(seen)

        imported(visitor, f"{ANNA},Anna,yes\n")
        ask()
        few = ask()
        imported(visitor, f"{BEN},Anna,yes\n")
        imported(visitor, f"{CLEO},Anna,yes\n")
        assert ask() == few <= 8
