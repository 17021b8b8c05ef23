"""What can be wrong with a file as a whole. What is wrong with one line is a refusal, never an exception."""

from __future__ import annotations

from typing import Any

from blossom.platform.errors import BlossomError


class UnreadableFile(BlossomError):
    """The file can't be imported; nothing of it was. `code` begins with `csv_`."""

    def __init__(self, message: str, *, code: str, actionable: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message, code=code, status=422, details=details, actionable=actionable)


class ImportTaken(BlossomError):
    """Another worker runs this very import and is ahead; this run gives way."""

    def __init__(self, import_id: int) -> None:
        super().__init__(
            "This file is being imported already.",
            code="import_taken",
            status=409,
            details={"import_id": import_id},
            actionable="Wait until that import has finished; its report says what it did.",
        )


class Interrupted(Exception):
    """Raised by who watches an import's progress, to end the run after the chunk in hand. Another run goes on."""


class PhoneRefused(BlossomError):
    """What was given can't be a phone that takes texts. `code` begins with `phone_`; the number itself is not in it."""

    def __init__(self, code: str, message: str, *, actionable: str) -> None:
        super().__init__(message, code=code, status=422, actionable=actionable)
