"""What can go wrong inside an import, and is nobody's business outside of it."""

from __future__ import annotations


class TakenOver(Exception):
    """Another worker has taken the import up since: this one was thought dead. What it had not committed is undone."""
