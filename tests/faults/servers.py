"""Postgres and Valkey of a test's own, which may be hung, stopped, killed and started again at the same address.

Those of the whole run (tests/conftest.py) are shared and must not be disturbed. These are durable, as an
installation's: what was committed is there again after a crash. A watchdog ends them with the run, however that ends.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from flask import Flask

from blossom.app import create_app
from blossom.platform import db, queue
from blossom.platform.embedded import place, postgres, valkey, watchdog
from blossom.platform.embedded.place import Account
from blossom.platform.embedded.server import Server
from blossom.schema import upgrade
from tests.conftest import Services, config_for

Launch = Callable[[], Server]


class OwnServer:
    """One server over its data; the same address after each start."""

    def __init__(self, launch: Launch, guard: Callable[[Server], None]) -> None:
        self._launch = launch
        self._guard = guard
        self._server: Server
        self.start()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def runs(self) -> bool:
        return self._server.process.poll() is None

    def start(self) -> None:
        """Start it over what the last one left; returns when it answers."""
        self._server = self._launch()
        self._guard(self._server)
        self._server.wait_until_ready()

    def hang(self) -> None:
        """It answers no more, and whoever is connected to it waits."""
        self._server.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._server.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """In good order: sessions are ended, all is written."""
        self._server.process.send_signal(self._server.stop_signal)
        self._server.process.wait(30)

    def kill(self) -> None:
        """-9, with what it had started."""
        family = psutil.Process(self._server.process.pid).children(recursive=True)
        self._server.process.kill()
        self._server.process.wait(60)
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, timeout=10)

    def kill_a_session(self) -> None:
        """-9 for one process of Postgres that serves a session: it ends all of them, and recovers by itself. Returns
        once it has ended them: until then it still answers as if nothing had been."""
        family = psutil.Process(self._server.process.pid).children()
        # "postgres: blossom <database> …"
        sessions = [each for each in family if "blossom" in " ".join(each.cmdline())]
        assert sessions, "nobody is connected"
        sessions[0].kill()
        _, left = psutil.wait_procs(sessions, timeout=30)
        assert left == []


@dataclass
class OwnServers:
    postgres: OwnServer
    valkey: OwnServer

    def all_run(self) -> None:
        """For the next test: both are there."""
        for each in (self.postgres, self.valkey):
            if not each.runs:
                each.start()
            each.wake()


@contextmanager
def own_servers() -> Iterator[OwnServers]:
    account = Account.for_servers()
    with tempfile.TemporaryDirectory(prefix="blossom-own-") as name:
        folder = Path(name)
        place.prepare_folder(folder, account)
        sockets = place.socket_folder(folder, account)
        with subprocess.Popen(
            [sys.executable, "-P", watchdog.__file__, str(folder / "unused")],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        ) as guard:

            def watch(server: Server) -> None:
                assert guard.stdin is not None
                guard.stdin.write(f"{server.process.pid} {int(server.stop_signal)}\n")
                guard.stdin.flush()

            servers = None
            try:
                servers = OwnServers(
                    OwnServer(partial(postgres.launch, folder, sockets, account, durable=True), watch),
                    OwnServer(partial(valkey.launch, folder, sockets, account, durable=True), watch),
                )
                yield servers
            finally:
                if servers is not None:
                    servers.valkey.wake()  # one that hangs would not hear the watchdog
                assert guard.stdin is not None
                guard.stdin.close()  # the word to stop them


@contextmanager
def app_over(servers: OwnServers, database: str) -> Iterator[Flask]:
    """The app in its context, over these servers: a new database, migrated, and an emptied Valkey. (The next test makes
    an app of its own, and with it this process's settings.)"""
    servers.all_run()
    services = Services(servers.postgres.url, servers.valkey.url)
    services.run(f"CREATE DATABASE {database}")
    app = create_app(config_for(services, database))
    queue.connection().flushdb()
    with app.app_context():
        upgrade()
        yield app
        queue.drop()
        db.session.remove()
        db.engine().dispose()


def a_free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
