"""The settings' form, as a browser sends it: every value is text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_CAP = re.compile(r"[0-9]{1,4}")

TEXTS = ("sender", "contact_line", "opt_out_text")
TIMES = ("quiet_from", "quiet_until")
CAPS = ("daily_cap", "weekly_cap")


@dataclass(frozen=True)
class SettingsForm:
    """What was typed, as it was typed; `changes` and `faults` are what it comes to."""

    typed: Mapping[str, str]
    changes: Mapping[str, Any]
    faults: Mapping[str, str]


def read(given: Mapping[str, str]) -> SettingsForm:
    """Read the form. What `shops.rules.settings_faults` knows of is not judged here."""
    typed = {name: given.get(name, "") for name in (*TEXTS, *TIMES, *CAPS)}
    typed["quiet_hours_on"] = "on" if given.get("quiet_hours_on") else ""
    changes: dict[str, Any] = {name: typed[name].strip() for name in TEXTS}
    changes["quiet_hours_on"] = bool(typed["quiet_hours_on"])
    faults = {}
    for name in TIMES:
        found = _TIME.fullmatch(typed[name].strip())
        if found:
            changes[name] = time(int(found[1]), int(found[2]))
        else:
            faults[name] = "must be a time of day, such as 20:00"
    for name in CAPS:
        text = typed[name].strip()
        if not text:
            changes[name] = None
        elif _CAP.fullmatch(text):
            changes[name] = int(text)
        else:
            faults[name] = "must be a whole number from 1 to 1000, or nothing for no limit"
    return SettingsForm(typed, changes, faults)


def as_typed(values: Mapping[str, Any]) -> dict[str, str]:
    """Stored settings as the form shows them."""
    shown = {name: str(values[name]) for name in TEXTS}
    shown |= {name: f"{values[name]:%H:%M}" for name in TIMES}
    shown |= {name: "" if values[name] is None else str(values[name]) for name in CAPS}
    shown["quiet_hours_on"] = "on" if values["quiet_hours_on"] else ""
    return shown
