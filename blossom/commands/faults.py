"""What goes wrong in a command, in words for a terminal."""

from __future__ import annotations

import psycopg
import redis
from sqlalchemy.exc import OperationalError, ProgrammingError

from blossom.platform.config import ConfigError
from blossom.platform.crypto import SealedValueError
from blossom.platform.embedded import EmbeddedError
from blossom.platform.errors import BlossomError


def in_words(error: Exception) -> list[str] | None:
    """The lines to say; None for what is our own fault, and better shown with its traceback."""
    match error:
        case BlossomError():
            fields = error.details.get("fields", {})
            return [
                error.message if fields or not error.actionable else f"{error.message} {error.actionable}",
                *(f"  {name}: {fault}" for name, fault in fields.items()),
            ]
        case ConfigError() | EmbeddedError():
            return [str(error)]
        case SealedValueError():
            return [f"The personal data can't be opened: {error}."]
        case redis.RedisError():
            return [f"Redis can't be reached, or is too busy: {error}"]
        case UnicodeEncodeError():
            return ["What was typed holds bytes that are no text in UTF-8."]
        case OperationalError():
            return [f"The database can't be reached, or is too busy: {error.orig}"]
        case ProgrammingError(orig=psycopg.errors.UndefinedTable() | psycopg.errors.UndefinedColumn()):
            return ["The database does not have this version's tables. `blossom release` makes them."]
    return None
