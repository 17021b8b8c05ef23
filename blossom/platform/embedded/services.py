"""`EmbeddedServices`: one pair of servers to a data folder, shared by all who use it, stopped with its owner."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from blossom.platform.embedded import place, postgres, valkey, watchdog
from blossom.platform.embedded.place import Account, EmbeddedError
from blossom.platform.embedded.server import Server, open_log

# Another process may be starting (or stopping) the servers of this folder; longer than a start may take.
_LOCK_SECONDS = 150.0


class EmbeddedServices:
    """Postgres and Valkey over a data folder. Use `start`; as a context manager it stops at the end of the block.

    The first to start in a folder owns the servers: they stop when it calls `stop`, ends, or is killed. Whoever starts
    in the same folder meanwhile attaches: it gets the same addresses, and its `stop` does nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database_url: str | None = None
        self.redis_url: str | None = None
        self.is_owner = False
        self._lock: int | None = None
        self._watchdog: subprocess.Popen[str] | None = None
        self._servers: list[Server] = []

    @classmethod
    def start(
        cls, folder: Path, *, postgres: bool = True, redis: bool = True, durable: bool = True
    ) -> EmbeddedServices:
        """Start the wanted servers over `folder`, or attach to those that already run there; returns when they answer.

        `durable=False` is for tests: quicker, and a power failure may cost the data. Raises `EmbeddedError`.
        """
        services = cls(folder.expanduser().resolve())
        account = Account.for_servers()
        place.prepare_folder(services.folder, account)
        deadline = time.monotonic() + _LOCK_SECONDS
        while not services._take_lock():
            if services._attach(postgres=postgres, redis=redis):
                return services
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Another process has been starting or stopping {folder} for {_LOCK_SECONDS} s.")
            time.sleep(0.02)
        try:
            services._own(account, with_postgres=postgres, with_redis=redis, durable=durable)
        except BaseException:
            services.stop()
            raise
        return services

    def stop(self) -> None:
        """Stop the servers, if they are ours, in good order; returns when they are gone. Doing it twice is harmless."""
        if not self.is_owner:
            return
        self.is_owner = False
        if self._watchdog is not None:
            self._close_pipe()
            self._watchdog.wait()
        self._state.unlink(missing_ok=True)
        left = [server for server in self._servers if server.process.poll() is None]  # somebody killed the watchdog
        watchdog.stop((psutil.Process(server.process.pid), server.stop_signal) for server in left)
        for server in left:
            server.process.wait()
        self._release_lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _state(self) -> Path:
        """The addresses, for those who attach; there only while the servers run."""
        return self.folder / "services.json"

    def _take_lock(self) -> bool:
        """Try to become the owner: the lock is held by owner and watchdog, so by nobody once the servers are gone."""
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as error:
            raise EmbeddedError(f"{self.folder} belongs to another account. Set BLOSSOM_DATA.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        self.is_owner = True
        return True

    def _attach(self, *, postgres: bool, redis: bool) -> bool:
        """Share what the folder's owner runs; False while it is still starting or already stopping."""
        try:
            state = json.loads(self._state.read_text())
        except FileNotFoundError:
            return False
        for wanted, key in ((postgres, "database_url"), (redis, "redis_url")):
            if wanted and state[key] is None:
                raise EmbeddedError(
                    f"Process {state['owner']} uses {self.folder} without the server that is wanted ({key}). "
                    "Stop it first, or set BLOSSOM_DATA to another folder."
                )
        self.database_url = state["database_url"] if postgres else None
        self.redis_url = state["redis_url"] if redis else None
        return True

    def _own(self, account: Account, *, with_postgres: bool, with_redis: bool, durable: bool) -> None:
        self._state.unlink(missing_ok=True)
        sockets = place.socket_folder(self.folder, account)
        self._start_watchdog()
        if with_postgres:
            server = self._guard(postgres.launch(self.folder, sockets, account, durable=durable))
            self.database_url = server.url
        if with_redis:
            server = self._guard(valkey.launch(self.folder, sockets, account, durable=durable))
            self.redis_url = server.url
        for server in self._servers:
            server.wait_until_ready()
        state = {"owner": os.getpid(), "database_url": self.database_url, "redis_url": self.redis_url}
        written = self._state.with_suffix(".new")
        written.write_text(json.dumps(state))
        written.replace(self._state)

    def _start_watchdog(self) -> None:
        assert self._lock is not None
        with open_log(self.folder / "logs" / "watchdog.log") as log:
            self._watchdog = subprocess.Popen(  # noqa: S603  (our own script, no shell)
                [sys.executable, "-P", watchdog.__file__, str(self._state)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                text=True,
                start_new_session=True,
                pass_fds=[self._lock],
            )
        os.register_at_fork(after_in_child=self._disown)

    def _guard(self, server: Server) -> Server:
        """Put a server that was just started under the watchdog."""
        self._servers.append(server)
        assert self._watchdog is not None
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{server.process.pid} {int(server.stop_signal)}\n")
        self._watchdog.stdin.flush()
        return server

    def _disown(self) -> None:
        """In a forked child: let go of pipe and lock, else the servers would outlive the owner by the child's life."""
        if self.is_owner:
            self.is_owner = False
            self._close_pipe()
            self._release_lock()

    def _close_pipe(self) -> None:
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)  # no LOCK_UN: that would take it from the watchdog too
            self._lock = None
