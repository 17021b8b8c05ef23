"""Writes customer exports as Shopify's admin does, with every oddity that such files have.

    python -m blossom.sandbox.customers --count 10000 --seed 7 > customers.csv

The same count and seed give the same bytes. Lines are written as they are made, so any count takes the same memory.
Each number comes from libphonenumber's own example of a mobile of its country, with other last digits, and is valid
again by libphonenumber; none is taken from a person, but one or the other may belong to somebody: never text them.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import IO

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

HEADER = (
    "Customer ID",
    "First Name",
    "Last Name",
    "Email",
    "Accepts Email Marketing",
    "Default Address Company",
    "Default Address Address1",
    "Default Address Address2",
    "Default Address City",
    "Default Address Province Code",
    "Default Address Country Code",
    "Default Address Zip",
    "Default Address Phone",
    "Phone",
    "Accepts SMS Marketing",
    "Total Spent",
    "Total Orders",
    "Note",
    "Tax Exempt",
    "Tags",
)


@dataclass(frozen=True)
class Country:
    """Where customers live, how often, and what they are called there."""

    code: str
    weight: int
    city: str
    provinces: tuple[str, ...]
    zip: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]


_ENGLISH = ("Olivia", "Liam", "Amelia", "Noah", "Grace", "Jack"), ("Smith", "O'Brien", "Taylor", "Wilson", "Clarke")
COUNTRIES = (
    Country(
        "GR",
        40,
        "Θεσσαλονίκη",
        ("", "B", "I"),
        "546 24",
        ("Ελένη", "Γιώργος", "Μαρία", "Νίκος", "Κατερίνα", "Δημήτρης", "Eleni", "Giorgos"),
        ("Παπαδοπούλου", "Γεωργίου", "Οικονόμου", "Νικολαΐδης", "Ιωάννου", "Papadakis"),
    ),
    Country(
        "DE",
        10,
        "Köln",
        ("",),
        "50667",
        ("Jürgen", "Anna", "Lukas", "Zoë"),
        ("Müller", "Weiß", "Schäfer", "von der Au"),
    ),
    Country("GB", 8, "Leeds", ("ENG", "SCT", "WLS"), "LS1 4DY", *_ENGLISH),
    Country("US", 8, "Austin", ("TX", "CA", "NY", "FL", "HI"), "73301", *_ENGLISH),
    Country("FR", 5, "Orléans", ("",), "45000", ("Chloé", "Anaïs", "Hugo", "Léa"), ("Lefèvre", "d'Arc", "Moreau")),
    Country("IT", 5, "Forlì", ("FC", "RM", "MI"), "47121", ("Niccolò", "Giulia", "Lucia"), ("Rossi", "D'Angelo")),
    Country("CY", 4, "Λεμεσός", ("",), "3021", ("Άντρη", "Κώστας"), ("Χριστοδούλου", "Χαραλάμπους")),
    Country("ES", 3, "A Coruña", ("C", "GC", "M"), "15001", ("Íñigo", "Lucía"), ("Muñoz", "García López")),
    Country("NL", 3, "Den Haag", ("",), "2511 AB", ("Daan", "Fleur"), ("van 't Hof", "de Vries")),
    Country("PL", 2, "Łódź", ("",), "90-001", ("Łukasz", "Zofia"), ("Wiśniewska", "Dąbrowski")),
    Country("SE", 2, "Malmö", ("",), "211 20", ("Åsa", "Björn"), ("Öberg", "Lindström")),
    Country("PT", 2, "Évora", ("PT-07", "PT-20"), "7000-500", ("João", "Inês"), ("Gonçalves", "Simões")),
    Country("BG", 2, "Пловдив", ("",), "4000", ("Иван", "Мария"), ("Петров", "Димитрова")),
    Country("RO", 1, "Iași", ("IS", "B"), "700001", ("Ștefan", "Ioana"), ("Țurcanu", "Popescu")),
    Country("CA", 1, "Montréal", ("QC", "ON", "BC"), "H2Y 1C6", ("Zoé", "Ethan"), ("Tremblay", "MacDonald")),
    Country("AU", 1, "Hobart", ("TAS", "NSW", "WA"), "7000", *_ENGLISH),
    Country("IL", 1, "תל אביב", ("",), "6100000", ("נועה", "יוסף"), ("כהן", "לוי")),
    Country("AE", 1, "دبي", ("DU", "AZ"), "", ("محمد", "فاطمة"), ("الهاشمي", "العلي")),
    Country("JP", 1, "札幌市", ("JP-01", "JP-13"), "060-0001", ("陽菜", "蓮"), ("佐藤", "鈴木")),
    Country("BR", 1, "São Luís", ("MA", "SP", "AM"), "65000-000", ("Antônio", "Conceição"), ("Araújo", "dos Santos")),
)

_NAMES_WITH_MARKS = (
    "Zoë 🌸",
    "👩‍👧 Άννα",
    'Maria "Mimi"',
    "Anna, dite Nan",
    "Jean\u00a0Luc",
    "Ó\u200bengus",
    "\u202bدانة\u202c",
    "{Bracket}",
    "X Æ A-12",
)
_NOTES = (
    "",
    "",
    "",
    "Likes red, not blue",
    "Said: “call me”\nand then hung up",
    'Wants the "big" box\r\nand a card',
    "VIP; ask first",
    "=SUM(A1:A2)",
)
_TAGS = ("vip", "newsletter", "wholesale", "Black Friday 2026", "νέος πελάτης", "returns", "b2b", "café")
_ODD_PHONES = (
    "12345",
    "call me",
    "3.0698E+11",
    "+30 210 123 4567",
    "0000000000",
    "+999 123 456 789",
    "n/a",
    "+306912345678901",
    "6941112223 / 6941112224",
    "+1 800 555 0199",
)


def rows(count: int, seed: int) -> Iterator[tuple[str, ...]]:
    """`count` customers, without the header."""
    luck = random.Random(seed)
    weights = [country.weight for country in COUNTRIES]
    mobiles = _Mobiles(luck)
    recent: list[str] = []
    for number in range(count):
        country = luck.choices(COUNTRIES, weights)[0]
        phone, says = _phone_and_consent(luck, mobiles, country, recent)
        yield _row(luck, country, number, phone, says)


def _phone_and_consent(luck: random.Random, mobiles: _Mobiles, country: Country, recent: list[str]) -> tuple[str, str]:
    """What stands in Phone and in Accepts SMS Marketing: mostly well, now and then one of the oddities."""
    dice = luck.random()
    if dice < 0.03 and recent:  # two customers with one phone, the second written another way
        return luck.choice(recent).replace("+", "00"), "yes"
    if dice < 0.06:
        return luck.choice(_ODD_PHONES), luck.choice(("yes", "no"))
    if dice < 0.10:  # an e-mail customer
        return "", "no"
    e164 = mobiles.next(country.code)
    recent[:] = [*recent[-19:], e164]
    says = luck.choices(("yes", "no", "unsubscribed", ""), (78, 17, 3, 2))[0]
    return _written(luck, e164, country.code), says


def _row(luck: random.Random, country: Country, number: int, phone: str, says: str) -> tuple[str, ...]:
    first, last = luck.choice(country.first_names), luck.choice(country.last_names)
    odd = luck.random()
    if odd < 0.03:
        first = luck.choice(_NAMES_WITH_MARKS)
    elif odd < 0.06:
        first = ""
    elif odd < 0.07:
        first, last = "", ""
    orders = min(int(luck.expovariate(0.5)), 60)
    return (
        f"'{7_000_000_000_000 + number * 32_768}",  # Shopify keeps spreadsheets from rounding ids this way
        first,
        last,
        f"customer{number}@example.com" if luck.random() > 0.04 else "",
        luck.choice(("yes", "no")),
        "Ρόδα & Υιοί, Ο.Ε." if luck.random() < 0.02 else "",
        f"{luck.randint(1, 200)} High Street",
        "Flat 2, back door" if luck.random() < 0.05 else "",
        country.city,
        luck.choice(country.provinces),
        country.code,
        country.zip,
        "",
        phone,
        says,
        f"{orders * luck.uniform(8, 120):.2f}",
        str(orders),
        luck.choice(_NOTES),
        luck.choice(("no", "no", "no", "yes")),
        ", ".join(luck.sample(_TAGS, luck.choice((0, 0, 1, 2, 3)))),
    )


class _Mobiles:
    """Valid mobiles, country by country, none twice."""

    def __init__(self, luck: random.Random) -> None:
        self._begin = luck.randrange(10**8)
        self._made: Counter[str] = Counter()

    def next(self, country: str) -> str:
        """Another one of `country`, in E.164."""
        while True:
            code, template = _example(country)
            digits = min(8, len(template) - 2)
            # Steps of a number that shares no factor with 10 visit each of the 10^digits ends once.
            end = (self._begin + self._made[country] * 61_803_399) % 10**digits
            self._made[country] += 1
            national = f"{template[:-digits]}{end:0{digits}d}"
            number = PhoneNumber(country_code=code, national_number=int(national))
            if (
                phonenumbers.is_valid_number_for_region(number, country)
                and phonenumbers.number_type(number) in _MOBILES
            ):
                return f"+{code}{national}"


_MOBILES = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


@cache
def _example(country: str) -> tuple[int, str]:
    example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    assert example is not None, f"libphonenumber has an example for {country}"
    assert example.country_code is not None, "an example is whole"
    return example.country_code, phonenumbers.national_significant_number(example)


def _written(luck: random.Random, e164: str, country: str) -> str:
    """The number as people and programs write it; each form can be read again with the address's country."""
    dice = luck.random()
    if dice < 0.62:
        return e164
    if dice < 0.68:
        return "'" + e164
    if dice < 0.74:
        return e164.replace("+", "00", 1)
    if dice < 0.78:
        return e164[1:]
    number = phonenumbers.parse(e164, None)
    if dice < 0.90:
        return phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    if country == "AE":
        return national.translate(_ARABIC_DIGITS)
    return national.replace(" ", ".") if dice < 0.93 else national


_ARABIC_DIGITS = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def write(count: int, seed: int, out: IO[str]) -> None:
    """The whole file: header and `count` customers."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows(rows(count, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a customer export of our own making to standard output.")
    parser.add_argument("--count", type=int, default=1000, help="how many customers (default: 1000)")
    parser.add_argument("--seed", type=int, default=7, help="another seed, other customers (default: 7)")
    given = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]  # always a TextIOWrapper here
    write(given.count, given.seed, sys.stdout)


if __name__ == "__main__":
    main()
