"""What a shopper typed, as it came and as far as it can be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blossom.contacts.rules import Phone, phones
from blossom.platform import languages
from blossom.storefront import rules

_LONGEST = 100
"""Of what is shown again: no number is longer, and a page need not carry a novel back."""


@dataclass(frozen=True)
class ConsentForm:
    """The form's fields as they came: what is typed is shown again until it is right."""

    phone: str = ""
    country: str = ""
    agreed: bool = False
    token: str = ""


def read(fields: Mapping[str, str], default_country: str) -> ConsentForm:
    """The form; a field that is missing is empty, a country that there is not is the default."""
    country = _plain(fields.get("country", "")).upper()
    return ConsentForm(
        phone=_plain(fields.get("phone", "")),
        country=country if phones.is_country(country) else default_country,
        agreed=fields.get("agreed", "") == "yes",
        token=fields.get("token", "")[:600],
    )


def _plain(value: str) -> str:
    """Without NUL and lone surrogates, which neither a page nor the database can hold."""
    return "".join(c for c in value[:_LONGEST] if c != "\0" and not "\ud800" <= c <= "\udfff")


def faults(form: ConsentForm, locale: str) -> tuple[Phone | None, dict[str, str]]:
    """The number if it can be used, and what is wrong, by field, in the shopper's words."""
    t = languages.translator(locale)
    found: dict[str, str] = {}
    phone = rules.read_phone(form.phone, form.country)
    if isinstance(phone, str):
        found["phone"] = _phone_fault(phone, form, locale)
    if not form.agreed:
        found["agreed"] = t("Please tick the box if you want our texts. Without it we may not send any.")
    return (None if isinstance(phone, str) else phone), found


def _phone_fault(code: str, form: ConsentForm, locale: str) -> str:
    t = languages.translator(locale)
    country = rules.country_of(form.phone, form.country)
    if country is None:
        return t(rules.NO_COUNTRY_CODE, example=rules.example_of(form.country, abroad=True))
    names = {each: name for each, name, _ in languages.countries(locale)}
    return rules.phone_fault(code, names[country], country, t)
