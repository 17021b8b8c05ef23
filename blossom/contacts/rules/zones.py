"""Which clock a person lives by: their own word, else their address, else their number, else the shop (spec §7).

Countries and their zones come from the time zone database itself (zone.tab of the `tzdata` package).
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import available_timezones

import phonenumbers
from phonenumbers import timezone as phone_zones

from blossom.contacts.rules.phones import Phone


def zone_of(
    *, own: str | None, country: str | None, province: str | None, phone: Phone | None, shop_zone: str
) -> tuple[str, bool]:
    """The IANA zone, and whether it is the person's own word.

    `province` is Shopify's code ("CA", "NSW"). A province that has two zones counts by where most people live, so a
    person at its edge may be an hour off.
    """
    if own and own in known_zones():
        return own, True
    for place, part in ((country, province), (phone.country if phone else None, None)):
        zone = _zone_in(place, part, phone) if place else None
        if zone:
            return zone, False
    return shop_zone, False


@cache
def known_zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=1024)
def country_of(cell: str) -> str | None:
    """The ISO 3166-1 alpha-2 code of a cell that holds such a code, or a country's English name."""
    folded = cell.strip().casefold()
    if len(folded) == 2 and folded.isascii() and folded.isalpha():
        code = _CODES_IN_USE.get(folded.upper(), folded.upper())
        return code if code in _country_codes() else None
    return _countries_by_name().get(folded)


def _zone_in(country: str, province: str | None, phone: Phone | None) -> str | None:
    if province:
        by_province = _BY_PROVINCE.get(country, {}).get(province.strip().upper().replace(" ", "_"))
        if by_province:
            return by_province
    zones = _zones_by_country().get(country, ())
    if len(zones) < 2:
        return zones[0] if zones else None
    if phone is not None and phone.country == country:
        number = phonenumbers.parse(phone.e164, None)
        of_number = set(phone_zones.time_zones_for_number(number)) & set(zones)
        if len(of_number) == 1:
            return of_number.pop()
    return _MAIN_ZONE.get(country, zones[0])


@cache
def _zones_by_country() -> dict[str, tuple[str, ...]]:
    zones: dict[str, tuple[str, ...]] = {}
    for line in _table("zone.tab"):
        country, _, zone = line.split("\t")[:3]
        zones[country] = (*zones.get(country, ()), zone)
    return zones


@cache
def _country_codes() -> frozenset[str]:
    return frozenset(line.split("\t")[0] for line in _table("iso3166.tab"))


@cache
def _countries_by_name() -> dict[str, str]:
    names = {name.casefold(): code for code, name in (line.split("\t") for line in _table("iso3166.tab"))}
    return names | _OTHER_NAMES


def _table(name: str) -> list[str]:
    lines = (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


_CODES_IN_USE = {"UK": "GB", "EL": "GR"}

_OTHER_NAMES = {
    "united kingdom": "GB",
    "great britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "usa": "US",
    "united states of america": "US",
    "korea": "KR",
    "south korea": "KR",
    "czechia": "CZ",
    "czech republic": "CZ",
    "bosnia and herzegovina": "BA",
    "macedonia": "MK",
    "holland": "NL",
    "ελλάδα": "GR",
    "κύπρος": "CY",
    "deutschland": "DE",
    "österreich": "AT",
    "italia": "IT",
    "españa": "ES",
}

# Where the first zone of zone.tab, which is ordered by geography, is not the one that most people live in.
_MAIN_ZONE = {
    "AU": "Australia/Sydney",
    "BR": "America/Sao_Paulo",
    "CA": "America/Toronto",
    "RU": "Europe/Moscow",
    "UA": "Europe/Kyiv",
    "UZ": "Asia/Tashkent",
}


def _provinces(**zones: str) -> dict[str, str]:
    """{"Area/City": "codes separated by spaces"} turned around; a double underscore in a keyword stands for a slash."""
    return {code: zone.replace("__", "/") for zone, codes in zones.items() for code in codes.split()}


_BY_PROVINCE: dict[str, dict[str, str]] = {
    "US": _provinces(
        America__New_York="CT DC DE FL GA KY MA MD ME NC NH NJ NY OH PA RI SC VA VT WV",
        America__Detroit="MI",
        America__Indiana__Indianapolis="IN",
        America__Chicago="AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
        America__Denver="CO MT NM UT WY",
        America__Boise="ID",
        America__Phoenix="AZ",
        America__Los_Angeles="CA NV OR WA",
        America__Anchorage="AK",
        Pacific__Honolulu="HI",
        America__Puerto_Rico="PR VI",
        Pacific__Guam="GU MP",
        Pacific__Pago_Pago="AS",
    ),
    "CA": _provinces(
        America__St_Johns="NL",
        America__Halifax="NS PE",
        America__Moncton="NB",
        America__Toronto="ON QC",
        America__Winnipeg="MB",
        America__Regina="SK",
        America__Edmonton="AB NT",
        America__Vancouver="BC",
        America__Whitehorse="YT",
        America__Iqaluit="NU",
    ),
    "AU": _provinces(
        Australia__Sydney="NSW ACT",
        Australia__Melbourne="VIC",
        Australia__Brisbane="QLD",
        Australia__Adelaide="SA",
        Australia__Darwin="NT",
        Australia__Perth="WA",
        Australia__Hobart="TAS",
    ),
    "BR": _provinces(
        America__Sao_Paulo="DF ES GO MG PR RJ RS SC SP",
        America__Bahia="BA",
        America__Fortaleza="CE MA PB PI RN",
        America__Recife="PE",
        America__Maceio="AL SE",
        America__Belem="AP PA",
        America__Araguaina="TO",
        America__Manaus="AM",
        America__Boa_Vista="RR",
        America__Porto_Velho="RO",
        America__Cuiaba="MT",
        America__Campo_Grande="MS",
        America__Rio_Branco="AC",
    ),
    "MX": _provinces(
        America__Mexico_City="AGS CDMX DF CHIS COL DGO GRO GTO HGO JAL MEX MICH MOR OAX PUE QRO SLP TAB TLAX VER ZAC",
        America__Cancun="Q_ROO",
        America__Merida="CAMP YUC",
        America__Monterrey="COAH NL TAMPS",
        America__Chihuahua="CHIH",
        America__Mazatlan="BCS NAY SIN",
        America__Hermosillo="SON",
        America__Tijuana="BC",
    ),
    "RU": _provinces(
        Europe__Kaliningrad="KGD",
        Europe__Samara="SAM UD",
        Europe__Saratov="SAR",
        Europe__Astrakhan="AST",
        Europe__Ulyanovsk="ULY",
        Asia__Yekaterinburg="BA CHE KGN KHM ORE PER SVE TYU YAN",
        Asia__Omsk="OMS",
        Asia__Novosibirsk="NVS",
        Asia__Barnaul="AL ALT",
        Asia__Tomsk="TOM",
        Asia__Novokuznetsk="KEM",
        Asia__Krasnoyarsk="KK KYA TY",
        Asia__Irkutsk="BU IRK",
        Asia__Chita="ZAB",
        Asia__Yakutsk="AMU SA",
        Asia__Vladivostok="KHA PRI YEV",
        Asia__Magadan="MAG",
        Asia__Sakhalin="SAK",
        Asia__Kamchatka="KAM",
        Asia__Anadyr="CHU",
    ),
    "ES": _provinces(Atlantic__Canary="GC TF", Africa__Ceuta="CE ML"),
    "PT": _provinces(Atlantic__Azores="PT-20", Atlantic__Madeira="PT-30"),
    "ID": _provinces(
        Asia__Jakarta="AC BB BE BT JA JB JI JK JT KR LA RI SB SS SU YO",
        Asia__Pontianak="KB KT",
        Asia__Makassar="BA GO KI KS KU NB NT SA SG SN SR ST",
        Asia__Jayapura="MA MU PA PB",
    ),
}
