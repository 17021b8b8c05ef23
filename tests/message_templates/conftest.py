"""The pages on templates are seen in the admin's frame."""

from __future__ import annotations

from tests.admin.conftest import ours, shopify, stranger, theirs, visitor

__all__ = ["ours", "shopify", "stranger", "theirs", "visitor"]
