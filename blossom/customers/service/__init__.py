"""The use cases that keep customers and contacts in step."""

from __future__ import annotations

from blossom.customers.service.applying import apply_read, forget_gone, note_gone
from blossom.customers.service.comparing import compare_due
from blossom.customers.service.importing import (
    ask_for_owed,
    ask_import,
    export_ended,
    import_now,
    run_imports,
)
from blossom.customers.service.pushing import run_pushes
from blossom.customers.service.segment_lists import ask_for_list
from blossom.customers.service.segment_members import ask_for_members, note_failure_told, run_segments

__all__ = [
    "apply_read",
    "ask_for_list",
    "ask_for_members",
    "ask_for_owed",
    "ask_import",
    "compare_due",
    "export_ended",
    "forget_gone",
    "import_now",
    "note_failure_told",
    "note_gone",
    "run_imports",
    "run_pushes",
    "run_segments",
]
