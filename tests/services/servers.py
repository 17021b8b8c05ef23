"""Debian's PostgreSQL and Redis, and PgBouncer in transaction mode, as a host would give them: TCP and passwords.

Each `launch_…` does what those of `blossom.platform.embedded` do: it starts a server over a folder, made when missing,
and may be called again for the same folder and port. `debian_servers` runs what a test run needs, until its block ends.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from blossom.platform.embedded import place, watchdog
from blossom.platform.embedded.place import Account
from blossom.platform.embedded.server import Server, open_log

PASSWORD = "pass:w@rd/50%?#1"
"""With characters that a URL must quote."""

POOL_SIZE = 20
"""Connections that PgBouncer keeps to a database."""

_SECRET = quote(PASSWORD, safe="")
_SETTINGS = ("-c", "random_page_cost=1.1")  # as docs/operations.md asks of a host; Debian's 4 is for turning disks
_NOT_DURABLE = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
_POOLER = """[databases]
* = host=127.0.0.1 port={postgres}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 400
server_reset_query =
"""  # Nothing is reset between two clients: whatever one leaves in a session, the next one meets.


class Missing(Exception):
    """A program that is needed isn't here; the message is the command that installs it."""


@dataclass(frozen=True)
class Addresses:
    database_url: str
    redis_url: str


@contextmanager
def debian_servers(*, pooler: bool = False) -> Iterator[Addresses]:
    """PostgreSQL 15 and Redis 7 that don't wait for the disk; with `pooler` the database's address is PgBouncer's.

    Raises `Missing` if one isn't installed.
    """
    missing = [each.package for each in (_POSTGRES, _REDIS, *([_PGBOUNCER] if pooler else [])) if not each.is_there()]
    if missing:  # not installed unasked: Debian's packages also start servers of the machine's own
        raise Missing(f"apt-get install --no-install-recommends {' '.join(missing)}")
    account = Account.for_servers()
    with tempfile.TemporaryDirectory(prefix="blossom-services-") as name, _watchdog(Path(name)) as guard:
        folder = Path(name)
        place.prepare_folder(folder, account)
        postgres, cache = free_port(), free_port()
        servers = [
            launch_postgres(folder, postgres, account, durable=False),
            launch_redis(folder, cache, account, durable=False),
        ]
        if pooler:
            servers.append(launch_pooler(folder, free_port(), account, postgres))
        for server in servers:
            assert guard.stdin is not None
            guard.stdin.write(f"{server.process.pid} {int(server.stop_signal)}\n")
            guard.stdin.flush()
        for server in servers:
            server.wait_until_ready()
        yield Addresses(servers[-1].url if pooler else servers[0].url, servers[1].url)


@contextmanager
def _watchdog(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """It stops the servers that it was told of when the block ends, or this process does."""
    command = [sys.executable, "-P", watchdog.__file__, str(folder / "no-state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as guard:
        try:
            yield guard
        finally:
            assert guard.stdin is not None
            guard.stdin.close()
            guard.wait()


def launch_postgres(folder: Path, port: int, account: Account, *, durable: bool) -> Server:
    """A cluster as Debian makes one, but for its place; with the app's role and database."""
    binary, data = _POSTGRES.find(), folder / "postgres15"
    if not data.exists():
        secret = _file(folder / "password", PASSWORD, account)
        place.own_folder(data, account)
        command: list[str | Path] = [
            binary.with_name("initdb"),
            "-D",
            data,
            "--username=postgres",
            f"--pwfile={secret}",
        ]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256", "--no-sync", "--no-instructions"]
        log = folder / "logs" / "initdb15.log"
        with open_log(log) as output:
            ended = account.spawn(command, output).wait(120)
        if ended != 0:
            raise RuntimeError(f"initdb failed:\n{log.read_text(errors='replace')}")
    options = ("-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
    log = folder / "logs" / "postgres15.log"
    with open_log(log) as output:
        process = account.spawn([binary, "-D", data, *options, *_SETTINGS, *(() if durable else _NOT_DURABLE)], output)
    return Server("PostgreSQL 15", process, signal.SIGINT, log, _database_url(port), lambda: _postgres_is_ready(port))


def _postgres_is_ready(port: int) -> bool:
    try:
        connection = psycopg.connect(
            host="127.0.0.1", port=port, user="postgres", password=PASSWORD, dbname="postgres", autocommit=True
        )
    except psycopg.OperationalError:
        return False
    with connection:
        if connection.execute("SELECT FROM pg_roles WHERE rolname = 'blossom'").rowcount == 0:
            connection.execute(f"CREATE ROLE blossom LOGIN CREATEDB PASSWORD '{PASSWORD}'")
        if connection.execute("SELECT FROM pg_database WHERE datname = 'blossom'").rowcount == 0:
            connection.execute("CREATE DATABASE blossom OWNER blossom")
    return True


def launch_redis(folder: Path, port: int, account: Account, *, durable: bool) -> Server:
    data = place.own_folder(folder / "redis7", account)
    # In a file, as anywhere: a command line is for all to read.
    settings = _file(
        folder / "redis.conf",
        f'bind 127.0.0.1\nport {port}\ndir {data}\nrequirepass "{PASSWORD}"\nsave ""\n'
        f"appendonly {'yes' if durable else 'no'}\nappendfsync everysec\nmaxmemory-policy noeviction\n",
        account,
    )
    log = folder / "logs" / "redis7.log"
    with open_log(log) as output:
        process = account.spawn([_REDIS.find(), settings], output)
    return Server(
        "Redis 7", process, signal.SIGTERM, log, f"redis://:{_SECRET}@127.0.0.1:{port}/0", lambda: _redis_answers(port)
    )


def _redis_answers(port: int) -> bool:
    with redis.Redis(port=port, password=PASSWORD) as client:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False


def launch_pooler(folder: Path, port: int, account: Account, postgres: int) -> Server:
    """PgBouncer in transaction mode before the PostgreSQL on the port `postgres`."""
    users = _file(folder / "users.txt", f'"blossom" "{PASSWORD}"\n', account)
    settings = _POOLER.format(port=port, postgres=postgres, users=users, size=POOL_SIZE)
    log = folder / "logs" / "pgbouncer.log"
    with open_log(log) as output:
        process = account.spawn([_PGBOUNCER.find(), _file(folder / "pgbouncer.ini", settings, account)], output)

    def answers() -> bool:
        try:
            psycopg.connect(_database_url(port).replace("+psycopg", ""), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    return Server("PgBouncer", process, signal.SIGINT, log, _database_url(port), answers)


def _database_url(port: int) -> str:
    return f"postgresql+psycopg://blossom:{_SECRET}@127.0.0.1:{port}/blossom"


@dataclass(frozen=True)
class _Program:
    """Where Debian puts it: in a folder of its own, or one on the PATH."""

    name: str
    package: str
    folders: Sequence[str] = ()

    def find(self) -> Path:
        named = [Path(folder, self.name) for folder in self.folders] or [Path(shutil.which(self.name) or self.name)]
        return next((path for path in named if path.exists()), named[0])

    def is_there(self) -> bool:
        return self.find().exists()


_POSTGRES = _Program("postgres", "postgresql-15", ("/usr/lib/postgresql/15/bin",))
_REDIS = _Program("redis-server", "redis-server")
_PGBOUNCER = _Program("pgbouncer", "pgbouncer", ("/usr/sbin",))


def _file(path: Path, content: str, account: Account) -> Path:
    """A file for that account's eyes."""
    path.touch(mode=0o600)
    path.write_text(content)
    account.own(path)
    return path


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
