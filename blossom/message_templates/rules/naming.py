"""Names of templates: one of each in a shop, whatever its case and spacing."""

from __future__ import annotations

from collections.abc import Container

NAME_LENGTH = 100


def name_key(name: str) -> str:
    """A name as it is compared: “Sale”, “sale” and “SALE ” are one."""
    return " ".join(name.casefold().split())


def free_name(name: str, taken: Container[str]) -> str:
    """“Welcome (2)” for a copy of “Welcome”, or the first number whose key is not `taken`."""
    number = 2
    while True:
        suffix = f" ({number})"
        candidate = name[: NAME_LENGTH - len(suffix)].rstrip() + suffix
        if name_key(candidate) not in taken:
            return candidate
        number += 1
