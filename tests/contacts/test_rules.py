"""Zones, columns and people: what a line of a customer file means."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from blossom.contacts.errors import UnreadableFile
from blossom.contacts.rules import Phone, propose_mapping
from blossom.contacts.rules import zones as zones_module
from blossom.contacts.rules.imports import ListedConsent, Refused
from blossom.contacts.rules.mapping import check_names_columns, choose_columns
from blossom.contacts.rules.people import Listed, Reading, read_person
from blossom.contacts.rules.zones import country_of, known_zones, zone_of
from blossom.platform.errors import InvalidInput
from blossom.sandbox.customers import HEADER

GREEK = Phone("+306984303406", "GR")


@pytest.mark.parametrize(
    ("own", "country", "province", "phone", "zone"),
    [
        ("Asia/Tokyo", "GR", None, GREEK, "Asia/Tokyo"),  # their own word goes first
        ("Athens time", "GR", None, GREEK, "Europe/Athens"),  # which must be a zone
        (None, "DE", None, GREEK, "Europe/Berlin"),  # then the address, before the number
        (None, "US", "CA", None, "America/Los_Angeles"),
        (None, "US", "hi", None, "Pacific/Honolulu"),
        (None, "AU", "WA", None, "Australia/Perth"),
        (None, "CA", "NL", None, "America/St_Johns"),
        (None, "BR", "AM", None, "America/Manaus"),
        (None, "MX", "Q ROO", None, "America/Cancun"),
        (None, "RU", "SVE", None, "Asia/Yekaterinburg"),
        (None, "US", None, Phone("+13105550123", "US"), "America/Los_Angeles"),  # the area code tells where
        (None, "US", "??", None, "America/New_York"),
        (None, "ES", None, Phone("+34612345678", "ES"), "Europe/Madrid"),  # a mobile tells nothing: most live there
        (None, "BR", None, None, "America/Sao_Paulo"),
        (None, None, None, GREEK, "Europe/Athens"),
        (None, None, None, Phone("+61412345678", "AU"), "Australia/Sydney"),
        (None, None, None, None, "Europe/Lisbon"),  # the shop's in the end
        (None, "BV", None, None, "Europe/Lisbon"),  # an island without people, and without a zone
    ],
)
def test_the_zone_is_the_persons_own_else_the_addresss_else_the_numbers_else_the_shops(
    own: str | None, country: str | None, province: str | None, phone: Phone | None, zone: str
) -> None:
    found, is_own = zone_of(own=own, country=country, province=province, phone=phone, shop_zone="Europe/Lisbon")

    assert found == zone
    assert is_own is (own == "Asia/Tokyo")


def test_every_zone_of_the_tables_is_one_that_exists() -> None:
    named = {zone for provinces in zones_module._BY_PROVINCE.values() for zone in provinces.values()}

    assert named | set(zones_module._MAIN_ZONE.values()) <= known_zones()


def test_the_table_of_provinces_knows_every_american_state() -> None:
    assert len(zones_module._BY_PROVINCE["US"]) == 51 + 5  # states and the capital; territories


@pytest.mark.parametrize(
    ("cell", "code"),
    [("GR", "GR"), ("gr", "GR"), (" Greece ", "GR"), ("UK", "GB"), ("United Kingdom", "GB"), ("United States", "US"),
     ("Ελλάδα", "GR"), ("", None), ("XX", None), ("Atlantis", None)],
)  # fmt: skip
def test_a_country_is_read_by_code_or_name(cell: str, code: str | None) -> None:
    assert country_of(cell) == code


def test_shopifys_export_is_recognised_by_its_headers() -> None:
    assert propose_mapping(HEADER) == {
        "phone": "Phone",
        "address_phone": "Default Address Phone",
        "first_name": "First Name",
        "last_name": "Last Name",
        "email": "Email",
        "country": "Default Address Country Code",
        "province": "Default Address Province Code",
        "tags": "Tags",
        "total_spent": "Total Spent",
        "orders_count": "Total Orders",
        "customer_id": "Customer ID",
        "sms_consent": "Accepts SMS Marketing",
    }


def test_shopifys_older_headers_are_recognised_too() -> None:
    older = (
        "First Name,Last Name,Email,Accepts Email Marketing,Company,Address1,Address2,City,Province,Province Code,"
        "Country,Country Code,Zip,Phone,Accepts SMS Marketing,Total Spent,Total Orders,Tags,Note,Tax Exempt"
    )

    proposed = propose_mapping(older.split(","))

    assert (proposed["country"], proposed["province"], proposed["phone"]) == ("Country Code", "Province Code", "Phone")


@pytest.mark.parametrize("header", ["PHONE", "phone_number", "Mobile Phone", " Κινητό ", "E-mail;Handy"])
def test_other_files_are_recognised_by_the_usual_words(header: str) -> None:
    assert "phone" in propose_mapping(header.split(";"))


def test_a_mapping_that_names_what_is_not_there_is_refused_by_field() -> None:
    with pytest.raises(InvalidInput) as refused:
        choose_columns(["Nr", "Wer"], {"phone": "Number", "shoe_size": "Wer"})

    assert set(refused.value.details["fields"]) == {"mapping.phone", "mapping.shoe_size"}


def test_without_a_phone_column_the_columns_are_named() -> None:
    with pytest.raises(UnreadableFile) as refused:
        choose_columns(["Nr", "Wer"], None)

    assert refused.value.code == "csv_no_phone_column"
    assert refused.value.details["columns"] == ["Nr", "Wer"]


@pytest.mark.parametrize(
    ("headers", "mapping"),
    [
        (["Phone", "Phone"], None),
        (["Phone", "First Name", "PHONE"], None),
        (["Phone", "First Name", "First-name"], None),
        (["Nr", "Nr"], {"phone": "Nr"}),
    ],
)
def test_two_columns_of_one_name_are_refused_if_one_of_them_is_needed(
    headers: list[str], mapping: dict[str, str] | None
) -> None:
    with pytest.raises(UnreadableFile) as refused:
        choose_columns(headers, mapping)

    assert refused.value.code == "csv_doubled_columns"
    [doubled] = refused.value.details["columns"]
    assert doubled in headers
    assert f"“{doubled}”" in refused.value.message


@pytest.mark.parametrize(
    ("headers", "mapping"),
    [(["Phone", "Note", "Note"], None), (["Phone", "", ""], None), (["Phone", "PHONE"], {"phone": "PHONE"})],
)
def test_doubled_names_do_no_harm_where_nothing_is_read_or_the_very_name_was_given(
    headers: list[str], mapping: dict[str, str] | None
) -> None:
    _, columns = choose_columns(headers, mapping)

    assert columns == {"phone": 1 if mapping else 0}


def test_a_file_parted_by_a_mark_that_we_do_not_know_is_told_which_we_know() -> None:
    with pytest.raises(UnreadableFile) as refused:
        choose_columns(["Phone|First Name"], None)

    assert refused.value.code == "csv_no_phone_column"
    assert "commas, semicolons or tabs" in (refused.value.actionable or "")


@pytest.mark.parametrize("cell", ["+30 698 430 3406", "6984303406", "eleni@example.com"])
def test_a_file_that_begins_with_a_customer_is_refused_without_quoting_them(cell: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        choose_columns(["Eleni", cell], None)

    assert refused.value.code == "csv_no_header"
    assert cell not in str(refused.value.as_json(None))


@pytest.mark.parametrize("cell", ["+30 698 430 3406", "6984303406", "'00306984303406", "eleni@example.com"])
def test_a_first_line_that_holds_somebody_s_number_or_address_names_no_columns(cell: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        check_names_columns(["Eleni", f" {cell} "])
    assert refused.value.code == "csv_no_header"


def test_dates_and_questions_may_be_names_of_columns() -> None:
    check_names_columns(["Phone", "2024-01-15", "Orders 2019-2024", "Tel. (+30 first)", "E-mail @ work", ""])


def read(cells: Sequence[str], headers: Sequence[str]) -> Listed | Refused:
    _, columns = choose_columns(headers, None)
    return read_person(cells, 2, Reading(columns, headers, "GR", "Europe/Athens"))


def test_a_line_of_shopifys_export_becomes_a_person() -> None:
    cells = [
        "'7000000000000", " Ελένη ", "Παπά\u00a0δοπούλου", "Eleni@Example.com", "yes", "", "", "", "", "NY", "US", "",
        "", "6984303406", "yes", "1234.5", "7", "a note\nof two lines", "no", "vip, vip ,νέος πελάτης,,",
    ]  # fmt: skip

    listed = read(cells, HEADER)

    assert isinstance(listed, Listed)
    person = listed.person
    assert person.phone == GREEK
    assert (person.first_name, person.last_name, person.email) == ("Ελένη", "Παπά δοπούλου", "Eleni@Example.com")
    assert (person.country, person.zone, person.zone_is_own) == ("US", "America/New_York", False)
    assert (person.total_spent_minor, person.orders_count, person.tags) == (123450, 7, ("vip", "νέος πελάτης"))
    assert (person.shopify_customer_id, listed.consent, listed.ignored) == (7000000000000, ListedConsent.YES, ())


def test_a_number_without_a_country_code_is_read_where_its_owner_lives_and_then_where_the_shop_is() -> None:
    german = read(["0151 23456789", "DE"], ["Phone", "Country"])
    greek_abroad = read(["6984303406", "US"], ["Phone", "Country"])

    assert isinstance(german, Listed)
    assert german.person.phone.e164 == "+4915123456789"
    assert isinstance(greek_abroad, Listed)
    assert greek_abroad.person.phone == GREEK


def test_the_addresss_number_stands_in_for_a_missing_one_but_says_nothing_of_consent() -> None:
    listed = read(["", "6984303406", "yes"], ["Phone", "Default Address Phone", "Accepts SMS Marketing"])

    assert isinstance(listed, Listed)
    assert listed.person.phone == GREEK
    assert listed.consent is None


@pytest.mark.parametrize(
    ("cell", "consent"),
    [("yes", ListedConsent.YES), ("YES ", ListedConsent.YES), ("TRUE", ListedConsent.YES),
     ("SUBSCRIBED", ListedConsent.YES),
     ("no", ListedConsent.NO), ("NOT_SUBSCRIBED", ListedConsent.NO), ("", None), ("maybe", None),
     ("UNSUBSCRIBED", ListedConsent.UNSUBSCRIBED)],
)  # fmt: skip
def test_what_a_list_says_of_consent(cell: str, consent: ListedConsent | None) -> None:
    listed = read(["6984303406", cell], ["Phone", "Accepts SMS Marketing"])

    assert isinstance(listed, Listed)
    assert listed.consent is consent
    assert listed.ignored == (("sms_consent",) if cell == "maybe" else ())


def test_odd_secondary_cells_are_left_out_and_counted_and_the_person_stays() -> None:
    headers = ["Phone", "Email", "Country", "Total Spent", "Total Orders", "Customer ID", "Locale", "Timezone"]
    listed = read(
        ["6984303406", "no mail", "Atlantis", "a lot", "many", "7E+12", "Greek (Greece)", "GMT plus"], headers
    )

    assert isinstance(listed, Listed)
    assert set(listed.ignored) == {
        "email", "country", "total_spent", "orders_count", "customer_id", "locale", "zone"
    }  # fmt: skip
    assert (listed.person.country, listed.person.zone) == ("GR", "Europe/Athens")


@pytest.mark.parametrize(
    ("cell", "minor"),
    [("12", 1200), ("12.5", 1250), ("12,50", 1250), ("1,234.50", 123450), ("1.234,50", 123450), ("€ 1.234", 123400),
     ("1,234,567", 123456700), ("-3.10", -310), ("", 0), ("0.05", 5)],
)  # fmt: skip
def test_amounts_are_read_in_either_notation(cell: str, minor: int) -> None:
    listed = read(["6984303406", cell], ["Phone", "Total Spent"])

    assert isinstance(listed, Listed)
    assert listed.person.total_spent_minor == minor


def test_names_keep_their_letters_and_lose_what_can_not_be_seen() -> None:
    listed = read(["6984303406", "\u202bدانة\u202c  👩‍👧\t\n", "Zoe\u0308"], ["Phone", "First Name", "Last Name"])

    assert isinstance(listed, Listed)
    assert (listed.person.first_name, listed.person.last_name) == ("دانة 👩‍👧", "Zoë")


def test_a_refused_line_names_its_line_its_column_and_the_number_masked() -> None:
    refused = read(["Eleni", "+30 210 123 4567"], ["First Name", "Phone"])

    assert isinstance(refused, Refused)
    assert (refused.line, refused.column, refused.code) == (2, "Phone", "phone_not_mobile")
    assert "+30…67" in refused.text
    assert "123" not in refused.text


def test_a_name_of_a_slipped_line_is_refused() -> None:
    refused = read(["6984303406", "x" * 256], ["Phone", "First Name"])

    assert isinstance(refused, Refused)
    assert refused.code == "name_too_long"


def test_more_cells_than_columns_are_refused_and_fewer_are_empty_ones() -> None:
    more = read(["6984303406", "Eleni", "vip", "shop"], ["Phone", "First Name", "Tags"])
    trailing = read(["6984303406", "Eleni", "vip", "", " "], ["Phone", "First Name", "Tags"])
    fewer = read(["6984303406"], ["Phone", "First Name", "Tags"])

    assert isinstance(more, Refused)
    assert more.code == "csv_columns"
    assert isinstance(trailing, Listed)
    assert isinstance(fewer, Listed)
