"""What a command runs in: settings that are filled in, and servers that are up."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blossom.platform import logs
from blossom.platform.config import Config, ConfigError
from blossom.platform.embedded import EmbeddedServices, default_folder

KEY_FILE = "master-key"


def data_folder(settings: Config) -> Path:
    """Where the embedded servers keep their data, and development its master key."""
    return settings.data_folder or default_folder()


@contextmanager
def environment() -> Iterator[Config]:
    """Settings with which processes can run: what the environment leaves open in development is filled in.

    Without DATABASE_URL or REDIS_URL the embedded servers are started (or joined, if another command runs them), and
    stopped at the end. Child processes find the same through the environment.
    """
    settings = Config.from_environment()
    logs.configure(settings.log_level)  # before there is an app: the supervisor of `web` never has one
    filled: dict[str, str] = {}
    services = None
    try:
        if settings.database_url is None or settings.redis_url is None:
            services = EmbeddedServices.start(
                data_folder(settings), postgres=settings.database_url is None, redis=settings.redis_url is None
            )
            filled["DATABASE_URL"] = settings.database_url or str(services.database_url)
            filled["REDIS_URL"] = settings.redis_url or str(services.redis_url)
        if not settings.master_keys:
            filled["BLOSSOM_MASTER_KEYS"] = _development_key(data_folder(settings))
        os.environ.update(filled)
        yield Config.from_environment()
    finally:
        if services is not None:
            services.stop()


def _development_key(folder: Path) -> str:
    """A master key of this machine's own, made on first use; production demands one in the environment."""
    path = folder / KEY_FILE
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"BLOSSOM_DATA: {folder} can't be a folder: {error.strerror}") from error
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(new_master_key_text(1))
    return path.read_text().strip()


def new_master_key_text(key_id: int) -> str:
    return f"{key_id}:{base64.b64encode(secrets.token_bytes(32)).decode()}"
