"""`blossom web`: gunicorn as a child process. The app is gunicorn's to load, not ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from blossom import supervisor
from blossom.surroundings import environment

ROOT = Path(__file__).resolve().parents[2]


@click.command("web")
@click.option("--port", type=click.IntRange(1, 65_535), default=5000, show_default=True)
def command(port: int) -> None:
    """Serve the app (what a host's Procfile does with gunicorn itself)."""
    supervisor.check_port(port)
    with environment():
        gunicorn = [
            *(sys.executable, "-m", "gunicorn", "--config", str(ROOT / "ops/gunicorn_conf.py"), "--chdir", str(ROOT)),
            *("--bind", f"127.0.0.1:{port}", "--env", f"BLOSSOM_SUPERVISOR={os.getpid()}", "wsgi:app"),
        ]
        supervisor.supervise([supervisor.Program("web", gunicorn)], give_up=True)
