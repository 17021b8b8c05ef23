"""Access scopes, of which Shopify writes one list in two ways."""

from __future__ import annotations

from collections.abc import Iterable


def spelled_out(scopes: Iterable[str]) -> list[str]:
    """Each scope once, in order, and beside each to write the one to read, which it includes: a token's answer leaves
    that out, a webhook may name it."""
    named = set(scopes)
    return sorted(named | {f"read_{scope.removeprefix('write_')}" for scope in named if scope.startswith("write_")})
