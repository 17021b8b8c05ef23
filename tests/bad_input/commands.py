"""`blossom …` as typed in a terminal, in a fork of the test's process: a command in tens of milliseconds."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

import click
import orjson

from blossom import cli
from blossom.platform.config import Config
from tests.conftest import MASTER_KEY


@dataclass(frozen=True)
class Ended:
    """How a command ended. `said` is what a person reads of it: no log lines."""

    status: int
    printed: str
    said: str
    logged: list[dict[str, object]]


def blossom(installation: Config, *arguments: str, **settings: str) -> Ended:
    """Run a command on the installation's database and Redis; `settings` are environment variables beside them."""
    load_all()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _become(arguments, environment(installation, settings), out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        lines = err.read().decode().splitlines()
        return Ended(
            os.waitstatus_to_exitcode(status),
            out.read().decode(),
            "\n".join(line for line in lines if not line.startswith("{")),
            [orjson.loads(line) for line in lines if line.startswith("{")],
        )


def load_all() -> None:
    """What commands are made of, once, for a process that is forked for each."""
    for name in cli.COMMANDS:
        cli.main.get_command(click.Context(cli.main), name)  # type: ignore[attr-defined]


def environment(installation: Config, settings: Mapping[str, str]) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "BLOSSOM_ENV": "development",
        "DATABASE_URL": str(installation.database_url),
        "REDIS_URL": str(installation.redis_url),
        "BLOSSOM_MASTER_KEYS": f"1:{base64.b64encode(MASTER_KEY).decode()}",
        **settings,
    }


def _become(arguments: tuple[str, ...], environment: Mapping[str, str], out: int, err: int) -> None:
    """Never returns; ends without the clean-up of the test's process, whose connections it must not touch."""
    status = 1
    try:
        os.environ.clear()
        os.environ.update(environment)
        for place, file in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
            os.dup2(file, place)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in enumerate(("r", "w", "w")))
        sys.argv = ["blossom", *arguments]
        cli._run()
    except SystemExit as ending:
        status = int(ending.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
