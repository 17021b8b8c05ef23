"""The pure part of contacts: reading numbers, zones, customer files and the people in them."""

from __future__ import annotations

from blossom.contacts.rules.imports import Attestation, ImportReport, ImportState, ListedConsent, Refused
from blossom.contacts.rules.mapping import propose_mapping
from blossom.contacts.rules.people import Person
from blossom.contacts.rules.phones import Phone, normalise_phone

__all__ = [
    "Attestation",
    "ImportReport",
    "ImportState",
    "ListedConsent",
    "Person",
    "Phone",
    "Refused",
    "normalise_phone",
    "propose_mapping",
]
