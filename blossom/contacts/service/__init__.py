"""The use cases that write: saving people in bulk, importing them from files of any size, following Shopify's."""

from __future__ import annotations

from blossom.contacts.service.forgetting import drop_import, forget_refused_lines
from blossom.contacts.service.importing import (
    CHUNK_ROWS,
    FileCheck,
    Following,
    OnProgress,
    check_file,
    import_csv,
)
from blossom.contacts.service.saving import Outcome, Saved, save_people
from blossom.contacts.service.syncing import (
    Removed,
    Synced,
    erase_contacts,
    hold_people,
    numbers_given_up,
    remove_customer,
    save_customers,
)

__all__ = [
    "CHUNK_ROWS",
    "FileCheck",
    "Following",
    "OnProgress",
    "Outcome",
    "Removed",
    "Saved",
    "Synced",
    "check_file",
    "drop_import",
    "erase_contacts",
    "forget_refused_lines",
    "hold_people",
    "import_csv",
    "numbers_given_up",
    "remove_customer",
    "save_customers",
    "save_people",
]
