"""Jobs on merchants' files. Rows say what is owed, so each may run twice, late, or not at all."""

from __future__ import annotations

from blossom.platform import queue
from blossom.uploads import service as uploads


@queue.job("uploads.run")
def run() -> None:
    """Count what files would do, and import those that are to be."""
    uploads.run_due()


@queue.job("uploads.forget")
def forget() -> None:
    """Let go of what is in files that are past their time."""
    uploads.forget_expired()
