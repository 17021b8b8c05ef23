"""What can go wrong with a shop or its keys."""

from __future__ import annotations

from blossom.platform.errors import BlossomError


class DomainTaken(BlossomError):
    def __init__(self, domain: str) -> None:
        super().__init__(
            f"{domain} is here already.",
            code="domain_taken",
            status=409,
            details={"domain": domain},
            actionable="Open that shop instead of creating it again.",
        )
