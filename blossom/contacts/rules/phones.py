"""Reading phone numbers as people and spreadsheets write them, by libphonenumber.

Only numbers that can take a text pass: mobiles, lines of countries where mobile and fixed can't be told apart, and
internet phones. A wrong guess texts a stranger, so nothing is guessed beyond what libphonenumber reads for a country.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, ValidationResult

from blossom.contacts.errors import PhoneRefused
from blossom.platform.languages import noted


@dataclass(frozen=True, slots=True)
class Phone:
    """A number that can be texted: its E.164 form (`+306984303406`) and the country that it belongs to."""

    e164: str
    country: str


MISSING = "phone_missing"
NOT_A_NUMBER = "phone_not_a_number"
SEVERAL = "phone_several"
DIGITS_LOST = "phone_digits_lost"
TOO_SHORT = "phone_too_short"
TOO_LONG = "phone_too_long"
NOT_VALID = "phone_not_valid"
NOT_MOBILE = "phone_not_mobile"

_TEXTED = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.VOIP})
_TYPES = {
    PhoneNumberType.FIXED_LINE: noted("a fixed line"),
    PhoneNumberType.TOLL_FREE: noted("a toll-free number"),
    PhoneNumberType.PREMIUM_RATE: noted("a premium-rate number"),
    PhoneNumberType.SHARED_COST: noted("a shared-cost number"),
    PhoneNumberType.PERSONAL_NUMBER: noted("a personal number that forwards elsewhere"),
    PhoneNumberType.PAGER: noted("a pager"),
    PhoneNumberType.UAN: noted("a company's access number"),
    PhoneNumberType.VOICEMAIL: noted("a voicemail"),
}
_NOTHING = frozenset({"", "-", "--", "—", "–", ".", "/", "n/a", "na", "none", "null", "nil", "+"})
_QUOTES = "'’‘`´\"“”"
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+]?\d+")
_FLOAT = re.compile(r"([+]?\d{7,15})[.,]0+")
_FRACTION = re.compile(r"[+]?\d{7,15}[.,]\d{1,2}")
_LONG_RUNS = re.compile(r"\d(?:[\s().-]*\d){6,}")
_PLAIN = re.compile(r"[+]?[0-9][0-9 ()-]{0,38}")
_TRUNK = re.compile(r"((?:\+|00) *[1-9][0-9]{0,2}[ .-]*)\( *0 *\)")
"""`+30 (0) 691…`: the nought in brackets is for who dials from inside the country."""
_LINE_BREAK = re.compile(r"[\r\n\v\f\x85\u2028\u2029]+")
_GIVE_A_MOBILE = noted("Give the person's mobile number, with its country code.")
_LONGEST = 60  # characters; no number is written longer


def normalise_phone(raw: str | None, default_country: str) -> Phone:
    """Read `raw`; a number without a country code is one of `default_country` (ISO 3166-1 alpha-2).

    Takes `+30…`, `0030…`, `+30 (0)…`, national forms, spaces, dots, brackets, digits of other scripts, Excel's leading
    apostrophe and a float's `.0`. Raises `PhoneRefused`, whose code tells why and whose text doesn't hold the number.
    """
    text = (raw or "").strip()
    if not _PLAIN.fullmatch(text):
        text = _plain(text)
    number = _parse(text, default_country)
    if number.extension:
        raise _refused(NOT_A_NUMBER, noted("The number has an extension; a text can't be sent to one."), _GIVE_A_MOBILE)
    kind = phonenumbers.number_type(number)
    if kind == PhoneNumberType.UNKNOWN:
        raise _why_not_valid(number)
    country = phonenumbers.region_code_for_number(number)
    if country is None or country == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        raise _refused(
            NOT_MOBILE, noted("This is an international service number that belongs to no country."), _GIVE_A_MOBILE
        )
    if kind not in _TEXTED:
        raise _refused(
            NOT_MOBILE,
            noted(
                "This is %(get)s in %(country)s: it takes no texts.", get=_TYPES.get(kind, "no mobile"), country=country
            ),
            _GIVE_A_MOBILE,
        )
    return Phone(f"+{number.country_code}{phonenumbers.national_significant_number(number)}", country)


def mask_phone(raw: str) -> str:
    """A number that can be recognised by who has the file, and by nobody else: `+30…06`. Short things: only dots."""
    shown = "".join(c for c in unicodedata.normalize("NFKC", raw) if c.isalnum() or c == "+")
    return f"{shown[:3]}…{shown[-2:]}" if len(shown) >= 8 else "…"


def in_groups(e164: str | None) -> str | None:
    """A number as it is read: `+30 691 234 5678`. What is none stands as it is."""
    if e164 is None:
        return None
    try:
        return str(phonenumbers.format_number(phonenumbers.parse(e164, None), PhoneNumberFormat.INTERNATIONAL))
    except NumberParseException:
        return e164


@lru_cache(maxsize=512)
def is_country(code: str) -> bool:
    """Whether libphonenumber knows the country (two capital letters)."""
    return code in phonenumbers.SUPPORTED_REGIONS


def _plain(text: str) -> str:
    """Take away what spreadsheets and keyboards add; refuse what is no number. Gives ASCII."""
    if any(unicodedata.category(c) == "No" for c in text):  # ² may be a note's mark, ⑦ a bullet: not this number's
        raise _refused(NOT_A_NUMBER, noted("This is not a phone number: it holds raised or circled digits."))
    text = unicodedata.normalize("NFKC", _LINE_BREAK.sub("; ", text))
    text = "".join(_ascii_digit(c) for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Mn"))
    text = text.strip(_QUOTES + " =").removeprefix("tel:").removeprefix("Tel:").strip()
    if text.casefold() in _NOTHING:
        raise _refused(MISSING, noted("There is no phone number."), _GIVE_A_MOBILE)
    if _SCIENTIFIC.fullmatch(text):
        raise _refused(
            DIGITS_LOST,
            noted("A spreadsheet turned the number into scientific notation, and its last digits are lost."),
            noted(
                "Export the customers again, and don't open and save the file in a spreadsheet before you import it."
            ),
        )
    floating = _FLOAT.fullmatch(text)
    text = floating.group(1) if floating else text
    if _FRACTION.fullmatch(text):
        raise _refused(NOT_A_NUMBER, noted("This is not a phone number but one with a fraction."))
    if len(text) > _LONGEST or any(c.isalpha() for c in text) or not any(c.isdigit() for c in text):
        if len(_LONG_RUNS.findall(text)) > 1:
            raise _refused(SEVERAL, noted("The cell holds more than one phone number."), noted("Keep one of them."))
        raise _refused(NOT_A_NUMBER, noted("This is not a phone number."))
    if any(c in text for c in ",;/|&") and len(_LONG_RUNS.findall(text)) > 1:
        raise _refused(SEVERAL, noted("The cell holds more than one phone number."), noted("Keep one of them."))
    return text


def _ascii_digit(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.digit(character))
    if character.isspace():
        return " "
    return "-" if unicodedata.category(character) == "Pd" else character


def _parse(text: str, default_country: str) -> PhoneNumber:
    number: PhoneNumber | None = None
    fault: NumberParseException | None = None
    try:
        number = phonenumbers.parse(text, default_country)
    except NumberParseException as error:
        fault = error
    if text.startswith("00") and (number is None or not phonenumbers.is_valid_number(number)):
        # 00 is how most of the world dials abroad; libphonenumber reads it only where the default country does.
        try:
            abroad = phonenumbers.parse("+" + text.lstrip("0"), None)
        except NumberParseException:
            abroad = None
        if abroad is not None and phonenumbers.is_valid_number(abroad):
            return abroad
    if number is None or not phonenumbers.is_valid_number(number):
        without, found = _TRUNK.subn(r"\1", text)
        if found:
            return _parse(without, default_country)
    if number is None:
        assert fault is not None
        raise _why_not_parsed(fault) from None
    return number


def _why_not_parsed(fault: NumberParseException) -> PhoneRefused:
    if fault.error_type == NumberParseException.INVALID_COUNTRY_CODE:
        return _refused(NOT_VALID, noted("No country has this country code."))
    if fault.error_type in (NumberParseException.TOO_SHORT_NSN, NumberParseException.TOO_SHORT_AFTER_IDD):
        return _refused(TOO_SHORT, noted("The number has too few digits."))
    if fault.error_type == NumberParseException.TOO_LONG:
        return _refused(TOO_LONG, noted("The number has too many digits."))
    return _refused(NOT_A_NUMBER, noted("This is not a phone number."))


def _why_not_valid(number: PhoneNumber) -> PhoneRefused:
    reason = phonenumbers.is_possible_number_with_reason(number)
    country = phonenumbers.region_code_for_country_code(number.country_code or 0)
    where = (
        noted("for a number of %(country)s", country=country) if is_country(country) else noted("for its country code")
    )
    if reason in (ValidationResult.TOO_SHORT, ValidationResult.IS_POSSIBLE_LOCAL_ONLY):
        return _refused(TOO_SHORT, noted("The number has too few digits %(where)s.", where=where))
    if reason == ValidationResult.TOO_LONG:
        return _refused(TOO_LONG, noted("The number has too many digits %(where)s.", where=where))
    return _refused(NOT_VALID, noted("No such number can exist: its digits are in no range %(where)s.", where=where))


def _refused(
    code: str, message: str, actionable: str = noted("Correct the number, with its country code.")
) -> PhoneRefused:
    return PhoneRefused(code, message, actionable=actionable)
