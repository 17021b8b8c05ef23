"""What a merchant can't do with a file."""

from __future__ import annotations

from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted


class FileTooLarge(BlossomError):
    def __init__(self, most_bytes: int) -> None:
        super().__init__(
            noted("This file is larger than %(megabytes)s MB.", megabytes=most_bytes // 1_000_000),
            code="file_too_large",
            status=422,
            actionable=noted(
                "Split it into several files, each with the line of column names, and import them in turn."
            ),
        )


class FileEmpty(BlossomError):
    def __init__(self) -> None:
        super().__init__(
            noted("This file is empty."),
            code="csv_empty",
            status=422,
            actionable=noted("Export the customers again, and choose that file."),
        )


class TooManyFiles(BlossomError):
    def __init__(self, most: int) -> None:
        super().__init__(
            noted("%(count)s files are waiting to be imported already.", count=most),
            code="too_many_files",
            status=409,
            actionable=noted("Import or discard one of them first."),
        )


class OutOfStep(BlossomError):
    """The file is not, or no longer, where this deed belongs: another tab or another member of staff was quicker."""

    def __init__(self) -> None:
        super().__init__(
            noted("This file is further on by now."),
            code="upload_out_of_step",
            status=409,
            actionable=noted("Open its page again to see where it stands."),
        )


class PartRefused(BlossomError):
    """A part that is not the one that was agreed on; `static/js/upload.js` sends no such."""

    def __init__(self) -> None:
        super().__init__(
            noted("A part of the file did not arrive as it was sent."),
            code="part_refused",
            status=422,
            actionable=noted("Choose the file again."),
        )


class NotAttested(BlossomError):
    def __init__(self) -> None:
        super().__init__(
            noted("Confirm that everybody in this file has agreed to your texts."),
            code="not_attested",
            status=422,
            actionable=noted("Or change the columns, and import them without consent."),
        )


class ConsentUnsaid(BlossomError):
    """The file says that some have agreed; whether that is so, or is not to count, has not been said."""

    def __init__(self) -> None:
        super().__init__(
            noted("Confirm that they have agreed, or import them without consent."),
            code="consent_unsaid",
            status=422,
            actionable=noted("Without it nobody of the file is opted in."),
        )
