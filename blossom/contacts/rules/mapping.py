"""Which column of a customer file is what. Shopify's export is known by its headers, of today and of before."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from blossom.contacts.errors import UnreadableFile
from blossom.platform.errors import InvalidInput

FIELDS: dict[str, tuple[str, ...]] = {
    "phone": (
        "phone",
        "phone number",
        "mobile",
        "mobile phone",
        "mobile number",
        "cell",
        "cell phone",
        "sms",
        "tel",
        "telephone",
        "msisdn",
        "κινητό",
        "τηλέφωνο",
        "κινητό τηλέφωνο",
        "handy",
        "telefon",
        "téléphone",
        "teléfono",
        "telefono",
        "cellulare",
    ),
    "address_phone": ("default address phone", "address phone", "shipping phone", "billing phone"),
    "first_name": ("first name", "firstname", "given name", "forename", "όνομα", "vorname", "prénom", "nome", "nombre"),
    "last_name": (
        "last name",
        "lastname",
        "surname",
        "family name",
        "επώνυμο",
        "nachname",
        "nom",
        "cognome",
        "apellido",
    ),
    "email": ("email", "e mail", "email address", "e mail address"),
    "country": ("default address country code", "country code", "default address country", "country", "χώρα", "land"),
    "province": (
        "default address province code",
        "province code",
        "state code",
        "default address province",
        "province",
    ),
    "zone": ("timezone", "time zone", "tz"),
    "locale": ("locale", "language"),
    "tags": ("tags",),
    "total_spent": ("total spent", "amount spent"),
    "orders_count": ("total orders", "orders count", "orders"),
    "customer_id": ("customer id", "shopify customer id", "id"),
    "sms_consent": ("accepts sms marketing", "sms marketing consent", "sms marketing status", "sms consent"),
}
"""Our field → the headers that mean it, folded, the surest first. The first column found wins."""

_NOT_WORD = re.compile(r"[\W_]+")


def fold_header(header: str) -> str:
    """A header as it is compared: no case, punctuation or doubled spaces."""
    return _NOT_WORD.sub(" ", header.casefold()).strip()


def propose_mapping(headers: Sequence[str]) -> dict[str, str]:
    """Our field → the header of the file that means it. What is not recognised is left out, "phone" too."""
    by_name: dict[str, str] = {}
    for header in headers:
        by_name.setdefault(fold_header(header), header)
    proposed = {}
    for field, names in FIELDS.items():
        known = next((by_name[name] for name in names if name in by_name), None)
        if known is not None:
            proposed[field] = known
    return proposed


def check_mapping(mapping: Mapping[str, str], headers: Sequence[str]) -> dict[str, int]:
    """Our field → the index of its column. Raises `InvalidInput` for fields or headers that don't exist."""
    faults = {}
    columns = {}
    for field, header in mapping.items():
        if field not in FIELDS:
            faults[f"mapping.{field}"[:80]] = f"There is no such field; there are {', '.join(FIELDS)}."
        elif header not in headers:
            faults[f"mapping.{field}"] = "The file has no such column."
        else:
            columns[field] = headers.index(header)
    if "phone" not in columns and not faults:
        faults["mapping.phone"] = "Name the column that holds the phone numbers."
    if faults:
        raise InvalidInput(faults, "The columns of this file can't be read as said.")
    return columns


def choose_columns(headers: Sequence[str], given: Mapping[str, str] | None) -> tuple[dict[str, str], dict[str, int]]:
    """The mapping that holds for this file (the given one, else the proposed one) and the columns it points to.

    Raises `UnreadableFile` when a column that is needed stands there twice, or when nothing was given and the phones
    can't be found; `InvalidInput` for a wrong mapping.
    """
    if given is not None:
        columns = check_mapping(given, headers)
        _refuse_doubled([header for header in given.values() if headers.count(header) > 1])
        return dict(given), columns
    proposed = propose_mapping(headers)
    if "phone" not in proposed and "address_phone" not in proposed:
        raise _without_phones(headers)
    counted = Counter(map(fold_header, headers))
    _refuse_doubled([header for header in proposed.values() if counted[fold_header(header)] > 1])
    return proposed, {field: headers.index(header) for field, header in proposed.items()}


def _refuse_doubled(headers: Sequence[str]) -> None:
    """Of two columns of one name nobody can say which was meant, and the wrong one may text a stranger."""
    if headers:
        names = [name[:80] for name in dict.fromkeys(headers)]
        raise UnreadableFile(
            f"More than one column is called “{'”, “'.join(names)}”, so that it can't be told which one counts.",
            code="csv_doubled_columns",
            details={"columns": names},
            actionable="Rename or remove all but one of them.",
        )


def _without_phones(headers: Sequence[str]) -> UnreadableFile:
    if any(_DATA.search(header) for header in headers):
        return _without_names()
    parted = "" if len(headers) > 1 else " Part the columns by commas, semicolons or tabs."
    return UnreadableFile(
        "No column of the file is known to hold phone numbers.",
        code="csv_no_phone_column",
        details={"columns": [header[:80] for header in headers[:100]]},
        actionable="Say which column holds the phone numbers, or name that column “Phone”." + parted,
    )


def check_names_columns(headers: Sequence[str]) -> None:
    """Raises `UnreadableFile` for a first line with somebody's number or e-mail address: whoever chooses among these
    as if they were names of columns would pass that customer over, and have them kept in the clear."""
    if any(_SOMEBODYS.fullmatch(header.strip()) for header in headers):
        raise _without_names()


def _without_names() -> UnreadableFile:
    return UnreadableFile(
        "The first line holds a customer instead of the names of the columns.",
        code="csv_no_header",
        actionable="Put a line with the columns' names first, such as Phone, First Name, Last Name.",
    )


_SOMEBODYS = re.compile(r"'?\+?(?:\d[\s().-]*){9,15}|[^@\s]+@[\w-]+\.[\w.-]+")
"""A whole cell. Nine digits at least: a date has eight, and may be a column's name."""

_DATA = re.compile(r"(?:\d[\s().-]?){7,}|@[\w-]+\.")
"""A phone number or an e-mail address: no name of a column, and never to be quoted in an error."""
