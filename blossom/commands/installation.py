"""The installation as a command finds it: the app, the shop that is named, the answer as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
import orjson

from blossom.app import create_app
from blossom.platform.errors import BlossomError
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.surroundings import environment

if TYPE_CHECKING:
    from flask import Flask

ID = click.IntRange(1, 2**63 - 1)
"""Of a row."""


@contextmanager
def application() -> Iterator[Flask]:
    """The app in its context."""
    with environment() as settings:
        app = create_app(settings)
        with app.app_context():
            yield app


def shop_called(domain: str) -> Shop:
    """Raises `BlossomError`, with what to do."""
    found = shops.by_domain(domain)
    if found is None:
        raise BlossomError(
            f"No shop is called {domain}.", code="not_found", actionable="`blossom shop create` makes one."
        )
    return found


def answer(told: Mapping[str, object]) -> None:
    """Print a command's answer, as JSON."""
    click.echo(orjson.dumps(told, default=str).decode())
