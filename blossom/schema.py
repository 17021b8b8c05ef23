"""The database's schema, by its migrations. Apart from the app, since only a release and who writes a migration need
Alembic, which is a sixth of what the app takes to load. All is called in the app's context."""

from __future__ import annotations

import flask_migrate
from flask import Flask, current_app

from blossom import app as composition
from blossom.platform import db
from blossom.platform.health import MIGRATIONS


def upgrade(revision: str = "head") -> None:
    """Apply the migrations that the app's database lacks, up to `revision`. Safe when two do."""
    _tell(current_app)
    flask_migrate.upgrade(revision=revision)


def downgrade(revision: str) -> None:
    """Undo the migrations after `revision` (`0036`; `-1` for the last one)."""
    _tell(current_app)
    flask_migrate.downgrade(revision=revision)


def create_app() -> Flask:
    """The app for who writes a migration: `flask --app blossom.schema db …`, with both servers' addresses set."""
    app = composition.create_app()
    _tell(app)
    return app


def _tell(app: Flask) -> None:
    flask_migrate.Migrate(app, db.db, directory=str(MIGRATIONS))
