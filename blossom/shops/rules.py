"""What a shop's settings may be. Pure."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Collection, Mapping
from datetime import time
from typing import Any
from urllib.parse import urlsplit

import phonenumbers

from blossom.platform.access import SHOP_SCOPES
from blossom.platform.keywords import Keyword, classify_keyword, fold
from blossom.platform.languages import noted
from blossom.shopify import domains

_ALPHANUMERIC_SENDER = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]{3,11}")
_NUMERIC_SENDER = re.compile(r"\+[1-9][0-9]{6,14}")
_MEANT_AS_NUMBER = re.compile(r"[+(0-9][0-9 ()./-]{5,}")
_SITE = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
PROXY_PATH = "/apps/blossom"
"""Where the app proxy stands on a shop's site, as shopify.app.toml has it; a merchant may move it."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_MAX_STOP_KEYWORDS = 20
LEAST_OPEN_HOURS = 4
"""Of each day, outside of the quiet hours: fewer, and a campaign would hang for days."""
QUIET_FROM, QUIET_UNTIL = time(20, 0), time(9, 0)
"""The quiet hours of a shop that has not chosen its own, in the recipient's local time (spec §2)."""
DAILY_CAP, WEEKLY_CAP = 1, 3
"""Marketing texts a person, for a shop that has not chosen its own (spec §7); None is no cap."""


def sender_fault(sender: str) -> str | None:
    """Why `sender` can't stand as the origin of a text, or None. Source: facts on Mitto, A6 (the stricter reading)."""
    if _ALPHANUMERIC_SENDER.fullmatch(sender) or _NUMERIC_SENDER.fullmatch(sender):
        return None
    if _MEANT_AS_NUMBER.fullmatch(sender):
        return noted("must be a number with its country code, such as +306912345678")
    if len(sender) > 11 and sender.isascii() and sender.isalnum():
        return noted("may have 11 letters and digits at most; these are %(number)s", number=len(sender))
    return noted("must be 3 to 11 letters A–Z and digits with at least one letter, or a number such as +306912345678")


def timezone_fault(name: str) -> str | None:
    """Why `name` is no IANA time zone, or None."""
    if name in zoneinfo.available_timezones():
        return None
    return noted("must be a time zone's name, such as Europe/Athens")


def country_fault(code: str) -> str | None:
    """Why `code` can't be the country by which national phone numbers are read, or None."""
    if code in phonenumbers.SUPPORTED_REGIONS:
        return None
    return noted("must be a country's two capital letters, such as GR")


def domain_fault(domain: str) -> str | None:
    return (
        None
        if domains.shop_domain(domain) == domain
        else noted("must be the shop's address, such as example.myshopify.com")
    )


def settings_faults(settings: Mapping[str, Any]) -> dict[str, str]:
    """Each setting's fault by its name; an unknown name is a fault too."""
    faults = {}
    for name, value in settings.items():
        check = _CHECKS.get(name)
        fault = check(value) if check else noted("is not a setting of a shop")
        if fault:
            faults[name] = fault
    return faults


def quiet_hours_fault(starts: time, ends: time) -> str | None:
    """Why the quiet hours can't end then, or None.

    Equal times would mean either no hours or all of them; the switch says the first, nobody wants the second.
    """
    if starts == ends:
        return noted("must differ from the beginning of the quiet hours")
    open_minutes = (starts.hour * 60 + starts.minute - ends.hour * 60 - ends.minute) % (24 * 60)
    if open_minutes < LEAST_OPEN_HOURS * 60:
        return noted("must leave at least %(hours)s hours of each day for texts", hours=LEAST_OPEN_HOURS)
    return None


def caps_fault(a_day: int | None, a_week: int | None) -> str | None:
    """Why so many texts a week can't stand beside so many a day, or None."""
    if a_day is None or a_week is None or a_week >= a_day:
        return None
    return noted("must not be less than the %(number)s that one day allows", number=a_day)


def site_host(url: str) -> str | None:
    """The host of a shop's own site (`https://olive.example`), or None for what can't be one."""
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return None
    return host if _SITE.fullmatch(host) else None


def currency_code(told: object) -> str | None:
    """The currency that Shopify names, or None for what names none."""
    return told if isinstance(told, str) and _CURRENCY.fullmatch(told) else None


def proxy_address(shop_url: str, host: str, proxy_path: str) -> str:
    """Where a shop's pages behind the app proxy begin, as shoppers see it. `shop_url`: the setting SHOPIFY_SHOP_URL."""
    return shop_url.format(shop=host) + proxy_path


def rights_of(staff_scopes: Collection[str] | None, app_scopes: Collection[str]) -> frozenset[str]:
    """What a staff member may do here.

    `staff_scopes`: those of the app's scopes that Shopify says the member has themselves (`associated_user_scope` of
    an online access token); None while Shopify has not been asked.
    A member who lacks every scope that writes (of an app that has none: every scope) only looks; and so does one not
    asked about. The owner of a shop holds all that it granted.
    """
    writing = {scope for scope in app_scopes if scope.startswith("write_")}
    if (writing or set(app_scopes)) & set(staff_scopes or ()):
        return SHOP_SCOPES
    return frozenset(scope for scope in SHOP_SCOPES if scope.endswith(":read"))


def usual_sender(name: str) -> str:
    """A sender that can stand for a shop of this name until the merchant chooses one."""
    sender = re.sub(r"[^A-Za-z0-9]", "", name)[:11]
    return sender if sender_fault(sender) is None else "Blossom"


def _length_fault(low: int, high: int) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        if not low <= len(value.strip()) or len(value) > high or "\0" in value:
            return noted("must have %(low)s to %(high)s characters", low=low, high=high)
        return None

    return check


def _cap_fault(value: int | None) -> str | None:
    return None if value is None or 1 <= value <= 1000 else noted("must be 1 to 1000, or nothing for no limit")


def _keywords_fault(values: list[str]) -> str | None:
    if len(values) > _MAX_STOP_KEYWORDS:
        return noted("may be %(max_stop_keywords)s words at most", max_stop_keywords=_MAX_STOP_KEYWORDS)
    if any(not 2 <= len(word.strip()) <= 30 or "\0" in word for word in values):
        return noted("must be words of 2 to 30 characters")
    for word in values:
        if not fold(word):
            return noted("must be words with letters or digits")
        if (meant := classify_keyword(word)) in (Keyword.START, Keyword.HELP):
            return noted(
                "may not have “%(word)s”, which means %(meaning)s already", word=word.strip(), meaning=meant.name
            )
    return None


def _any(_: Any) -> None:
    return None


_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "name": _length_fault(1, 100),
    "timezone": timezone_fault,
    "default_country": country_fault,
    "sender": sender_fault,
    "contact_line": _length_fault(0, 100),
    "opt_out_text": _length_fault(3, 100),
    "stop_keywords": _keywords_fault,
    "quiet_hours_on": _any,
    "quiet_from": _any,
    "quiet_until": _any,
    "daily_cap": _cap_fault,
    "weekly_cap": _cap_fault,
    "traffic_account_id": _any,
}
