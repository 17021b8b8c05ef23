"""Files, their columns and their lines in a merchant's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blossom.contacts.rules import ImportReport
from blossom.contacts.rules.mapping import FIELDS
from blossom.platform.languages import noted
from blossom.uploads.rules.steps import State

FIELD_WORDS = {
    "phone": noted("Phone number"),
    "sms_consent": noted("Agreed to texts"),
    "first_name": noted("First name"),
    "last_name": noted("Last name"),
    "email": noted("E-mail address"),
    "country": noted("Country"),
    "tags": noted("Tags"),
    "locale": noted("Language"),
    "zone": noted("Time zone"),
    "province": noted("Province or state"),
    "orders_count": noted("Number of orders"),
    "total_spent": noted("Amount spent"),
    "customer_id": noted("Customer number at Shopify"),
    "address_phone": noted("Phone number of the address"),
}
"""Our fields, in the order of the form."""

FIELD_HINTS = {
    "phone": noted("Needed. Numbers without a country code are read by the country column, else for your country."),
    "sms_consent": noted("Yes, no, or unsubscribed. Whoever opted out here stays so, whatever the file says."),
    "address_phone": noted("Used where the phone column is empty. The list's consent never counts for it."),
}

STATE_WORDS = {
    State.RECEIVING: noted("Coming in"),
    State.RECEIVED: noted("Columns to check"),
    State.CHECKING: noted("Being counted"),
    State.CHECKED: noted("Ready to import"),
    State.IMPORTING: noted("Importing"),
    State.COMPLETED: noted("Imported"),
    State.FAILED: noted("Stopped"),
}

BADGES = {
    State.CHECKING: "sending",
    State.IMPORTING: "sending",
    State.COMPLETED: "completed",
    State.FAILED: "failed",
}
"""The colour of a state's badge, by the state of a campaign that has it; others are grey."""

ENCODING_WORDS = {
    "windows-1253": noted("Greek (Windows)"),
    "iso-8859-7": noted("Greek (ISO 8859-7)"),
    "windows-1252": noted("Western European (Windows)"),
    "iso-8859-15": noted("Western European (ISO 8859-15)"),
    "windows-1250": noted("Central European (Windows)"),
    "iso-8859-2": noted("Central European (ISO 8859-2)"),
    "windows-1251": noted("Cyrillic (Windows)"),
    "windows-1254": noted("Turkish (Windows)"),
    "macroman": noted("Western European (older Mac)"),
    "utf-16": noted("UTF-16"),
}
"""What may be chosen where a file's letters can't be told; UTF-8 is found out by itself."""

_FAULTS = {
    "csv_is_no_text": noted(
        "This is not a CSV file. In your spreadsheet, save it as “CSV UTF-8”, and choose that file."
    ),
    "csv_empty": noted("The file is empty. Export the customers again, and choose that file."),
    "csv_no_customers": noted("The file has a line of column names, and no customer after it."),
    "csv_no_header": noted("The first line has to name the columns, such as Phone, First Name. It holds a customer."),
    "csv_no_phone_column": noted("Say which column holds the phone numbers."),
    "csv_doubled_columns": noted("Two columns of the file have the same name. Rename one of them in the file."),
    "csv_too_many_columns": noted("The file has too many columns. Keep those that are needed: phone, names, consent."),
    "csv_encoding": noted("Line %(line)s has letters that can't be told. Choose how the file was saved."),
    "csv_nul_bytes": noted("Line %(line)s holds what no text does. Choose how the file was saved."),
    "csv_field_too_large": noted("Line %(line)s holds a cell that is far too long. Shorten it in the file."),
    "csv_unclosed_quote": noted("A quotation mark that opens on line %(line)s is never closed. Mend it in the file."),
    "csv_unknown_encoding": noted("Choose how the file was saved."),
}
_OURS = noted("Something broke on our side while we read the file. What was read is kept.")


def fault(code: str, details: Mapping[str, Any]) -> str:
    """What is wrong with a file, and what to do about it."""
    words = _FAULTS.get(code)
    if words is None:
        return _OURS
    return noted(words.message, line=details.get("line", 0)) if "%(line)s" in words.message else words


def may_be_mended_by_letters(code: str | None) -> bool:
    return code in ("csv_encoding", "csv_nul_bytes", "csv_unknown_encoding")


_REFUSED = {
    "phone_missing": noted("There is no phone number"),
    "phone_not_a_number": noted("It is not a phone number"),
    "phone_several": noted("There is more than one number in the cell"),
    "phone_digits_lost": noted("A spreadsheet has cut the number’s last digits off"),
    "phone_too_short": noted("The number has too few digits"),
    "phone_too_long": noted("The number has too many digits"),
    "phone_not_valid": noted("No such number is given out"),
    "phone_not_mobile": noted("The number takes no texts, such as a fixed line"),
    "phone_doubled": noted("The number stands on an earlier line already"),
    "csv_malformed": noted("A quotation mark stands where none can"),
    "csv_columns": noted("The line has more cells than there are columns"),
    "name_too_long": noted("The name is too long to be one"),
}


def refused(code: str) -> str:
    """Why a line can't be imported."""
    return _REFUSED.get(code, noted("The line can't be read"))


def refusals(report: ImportReport) -> list[tuple[str, int]]:
    """Why lines were refused, and how many, the most first."""
    return sorted(((refused(code), lines) for code, lines in report.refused_by_code.items()), key=lambda row: -row[1])


def percent(report: ImportReport | None) -> int:
    """How much of the file has been read."""
    if report is None or not report.rows_total:
        return 0
    return min(100, 100 * report.rows_read // report.rows_total)


ATTESTED = noted(
    "Everybody who comes in as opted in has agreed to get marketing texts from this shop, and I can show how."
)
ATTESTED_OF_ALL = noted("Everybody in this file has agreed to get marketing texts from this shop, and I can show how.")
"""What a merchant confirms. It is kept with each consent, in the language in which it was read."""


@dataclass(frozen=True)
class Column:
    """A field of ours with the header that was chosen for it (empty: none), and what there is to choose from."""

    field: str
    chosen: str


def columns(chosen: Mapping[str, str]) -> list[Column]:
    """The form's rows."""
    assert set(FIELD_WORDS) == set(FIELDS), "each field has its words"
    return [Column(field, chosen.get(field, "")) for field in FIELD_WORDS]


def sample_of(header: Sequence[str], lines: Sequence[Sequence[str]], name: str, most: int = 3) -> str:
    """What stands in a column's first cells."""
    if name not in header:
        return ""
    place = header.index(name)
    cells = dict.fromkeys(line[place].strip() for line in lines if place < len(line))
    return ", ".join([cell for cell in cells if cell][:most])[:120]
