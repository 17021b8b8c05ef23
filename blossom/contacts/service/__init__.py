"""The use cases that write: saving people in bulk, and importing them from files of any size."""

from __future__ import annotations

from blossom.contacts.service.importing import CHUNK_ROWS, FileCheck, OnProgress, check_file, import_csv
from blossom.contacts.service.saving import Outcome, Saved, save_people

__all__ = ["CHUNK_ROWS", "FileCheck", "OnProgress", "Outcome", "Saved", "check_file", "import_csv", "save_people"]
