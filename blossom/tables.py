"""Imports every model, so that Alembic and the tests see the whole schema.

A domain whose models stand in a `models.py` is found by its name: a new table can't be forgotten here.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil

import blossom
from blossom.platform import crypto, db, periodic

for _package in pkgutil.iter_modules(blossom.__path__):
    if _package.ispkg and importlib.util.find_spec(f"blossom.{_package.name}.models"):
        importlib.import_module(f"blossom.{_package.name}.models")

metadata = db.Base.metadata
assert {crypto.ShopKey.__tablename__, periodic.PeriodicTurn.__tablename__} <= set(metadata.tables)
