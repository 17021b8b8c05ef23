"""Empty databases, to be migrated by the tests themselves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from flask import Flask

from blossom.app import create_app
from blossom.platform import db
from tests.conftest import Services, config_for


@pytest.fixture
def empty_app(services: Services) -> Iterator[Flask]:
    """The app on a database with nothing in it."""
    name = f"blossom_empty_{uuid.uuid4().hex[:8]}"
    services.run(f"CREATE DATABASE {name}")
    app = create_app(config_for(services, name))
    with app.app_context():
        yield app
        db.session.remove()
        db.engine().dispose()
    services.drop(name)
