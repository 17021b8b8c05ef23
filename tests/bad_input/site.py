"""A real `blossom web` on a database of its own, and what it logs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import requests
from flask import Flask

from blossom.app import create_app
from blossom.platform import db
from tests.bad_input.commands import environment
from tests.conftest import Services, config_for

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Site:
    """`app`: the same database, in this process."""

    app: Flask
    port: int
    output: Path

    def log(self) -> list[dict[str, Any]]:
        lines = self.output.read_text(errors="replace").splitlines()
        return [orjson.loads(line) for line in lines if line.startswith("{")]


@contextmanager
def start(services: Services, template: str, **settings: str) -> Iterator[Site]:
    """Start it, wait until it answers; at the end it is gone, and its database too."""
    name = "blossom_site"
    services.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    app = create_app(config_for(services, name))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "blossom.cli", "web", "--port", str(port)],
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, **environment(config_for(services, name), {"LOG_LEVEL": "WARNING", **settings})},
        )
        try:
            _wait_for(port, process)
            yield Site(app, port, Path(output.name))
        finally:
            process.terminate()
            process.wait(40)
    with app.app_context():
        db.engine().dispose()
    services.drop(name)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended by itself"
        try:
            if requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok:
                return
        except requests.RequestException:  # it listens before it can answer
            time.sleep(0.05)
    raise AssertionError("it never answered")
