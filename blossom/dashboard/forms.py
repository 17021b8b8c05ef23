"""The settings' forms, as a browser sends them: every value is text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from blossom.consent.rules import Settings
from blossom.platform.languages import noted

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_CAP = re.compile(r"[0-9]{1,4}")
_MISSING = noted("is missing in what was sent")

TEXTS = ("sender", "contact_line", "opt_out_text", "default_country")
TIMES = ("quiet_from", "quiet_until")
CAPS = ("daily_cap", "weekly_cap")
STORED = (*TEXTS, *TIMES, *CAPS, "quiet_hours_on")
"""What the form shows of a shop's own row."""


@dataclass(frozen=True)
class SettingsForm:
    """What was typed, as it was typed; `changes`, `numbers` (the shop's own) and `faults` are what it comes to."""

    typed: Mapping[str, str]
    changes: Mapping[str, Any]
    numbers: list[str]
    faults: Mapping[str, str]


def read(given: Mapping[str, str]) -> SettingsForm:
    """Read the form. What `shops.rules.settings_faults` knows of is not judged here."""
    typed = {name: given.get(name, "") for name in (*TEXTS, *TIMES, *CAPS, "trial_numbers")}
    changes: dict[str, Any] = {name: typed[name].strip() for name in TEXTS}
    faults = {name: _MISSING for name in typed if name not in given}
    for name in TIMES:
        found = _TIME.fullmatch(typed[name].strip())
        if found:
            changes[name] = time(int(found[1]), int(found[2]))
        else:
            faults[name] = noted("must be a time of day, such as 20:00")
    for name in CAPS:
        text = typed[name].strip()
        if not text:
            changes[name] = None
        elif _CAP.fullmatch(text):
            changes[name] = int(text)
        else:
            faults[name] = noted("must be a whole number from 1 to 1000, or nothing for no limit")
    typed["quiet_hours_on"] = "on" if given.get("quiet_hours_on") else ""
    changes["quiet_hours_on"] = bool(typed["quiet_hours_on"])
    return SettingsForm(typed, changes, _words(typed["trial_numbers"]), faults)


@dataclass(frozen=True)
class ConsentForm:
    """How the shop asks for consent, as it was typed; `changes` are `consent.rules.Settings`, `keywords` the shop's.
    `faults`: fields that are missing, which would else be taken for emptied ones."""

    typed: Mapping[str, str]
    changes: Mapping[str, Any]
    keywords: list[str]
    faults: Mapping[str, str]


def read_consent(given: Mapping[str, str], locales: Sequence[str], stored: Mapping[str, str]) -> ConsentForm:
    """Read the form. Of `stored` words, those in languages that it doesn't show are kept; empty ones mean ours."""
    typed = {name: given.get(name, "") for name in ("privacy_url", "join_keywords", "stop_keywords")}
    typed |= {f"wording-{locale}": given.get(f"wording-{locale}", "") for locale in locales}
    faults = {name: _MISSING for name in typed if name not in given}
    typed |= {name: "on" if given.get(name) else "" for name in ("double_opt_in", "in_theme")}
    wordings = {locale: words for locale, words in stored.items() if locale not in locales}
    for locale in locales:
        if words := typed[f"wording-{locale}"].replace("\r\n", "\n").strip():
            wordings[locale] = words
    changes = {
        "double_opt_in": bool(typed["double_opt_in"]),
        "in_theme": bool(typed["in_theme"]),
        "wordings": wordings,
        "privacy_url": typed["privacy_url"].strip() or None,
        "join_keywords": _words(typed["join_keywords"]),
    }
    return ConsentForm(typed, changes, _words(typed["stop_keywords"]), faults)


def _words(typed: str) -> list[str]:
    """Words with commas between them, each once."""
    return list(dict.fromkeys(filter(None, (word.strip() for word in _BETWEEN_WORDS.split(typed)))))


_BETWEEN_WORDS = re.compile(r"[,;\n]")


def consent_as_typed(settings: Settings, keywords: Sequence[str], locales: Sequence[str]) -> dict[str, str]:
    """Stored settings as the form shows them."""
    shown = {f"wording-{locale}": settings.wordings.get(locale, "") for locale in locales}
    shown |= {"privacy_url": settings.privacy_url or "", "stop_keywords": ", ".join(keywords)}
    shown["join_keywords"] = ", ".join(settings.join_keywords)
    shown |= {name: "on" if getattr(settings, name) else "" for name in ("double_opt_in", "in_theme")}
    return shown


def as_typed(values: Mapping[str, Any], numbers: Sequence[str]) -> dict[str, str]:
    """Stored settings as the form shows them."""
    shown = {name: str(values[name]) for name in TEXTS}
    shown |= {name: f"{values[name]:%H:%M}" for name in TIMES}
    shown |= {name: "" if values[name] is None else str(values[name]) for name in CAPS}
    shown["quiet_hours_on"] = "on" if values["quiet_hours_on"] else ""
    shown["trial_numbers"] = "\n".join(numbers)
    return shown


@dataclass(frozen=True)
class KeyForm:
    """A key that is to be made."""

    name: str = ""
    scopes: frozenset[str] = frozenset()


def read_key(name: str, scopes: Iterable[str]) -> KeyForm:
    """Read the form. What can't be is refused by who makes the key."""
    return KeyForm(" ".join(name.split()), frozenset(scopes))
