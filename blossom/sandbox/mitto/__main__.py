"""`python -m blossom.sandbox.mitto`: run the stand-in until SIGTERM, SIGINT, or the end of its parent."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from pathlib import Path

import orjson

from blossom.sandbox.mitto import phones
from blossom.sandbox.mitto.behaviour import Behaviour, changed
from blossom.sandbox.mitto.control import PREFIX, Control
from blossom.sandbox.mitto.http import Connection, Listener, Request
from blossom.sandbox.mitto.provider import Provider

_PARENT_POLL = 0.5  # seconds


async def serve(options: argparse.Namespace) -> None:
    """Listen, say where, and serve until asked to stop."""
    behaviour = Behaviour()
    if options.config is not None:
        behaviour = changed(behaviour, orjson.loads(options.config.read_bytes()))
    provider = Provider(behaviour, options.log)

    def handle(connection: Connection, request: Request) -> None:
        if request.path.startswith(PREFIX):
            control.handle(connection, request)
        elif request.path == phones.PATH:
            pages.handle(connection, request)
        else:
            provider.handle(connection, request)

    listener = Listener(handle, options.host, options.port)
    control, pages = Control(provider, listener), phones.Phones(provider)
    await listener.open()
    _announce(listener.url, options.ready_file)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.parent is not None:
        watcher = loop.create_task(_stop_without(options.parent, stop))
        watcher.add_done_callback(lambda _: stop.set())
    await stop.wait()
    listener.close()
    provider.log.close()


def _announce(url: str, ready_file: Path | None) -> None:
    """Print the URL; the file appears whole or not at all."""
    print(url, flush=True)
    if ready_file is not None:
        unfinished = ready_file.with_name(ready_file.name + ".part")
        unfinished.write_bytes(orjson.dumps({"url": url, "pid": os.getpid()}))
        unfinished.replace(ready_file)


async def _stop_without(parent: int, stop: asyncio.Event) -> None:
    """Set `stop` when the process `parent` is gone. A dead direct parent is noticed although nobody reaped it."""
    direct = os.getppid() == parent
    while not stop.is_set():
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            break
        except PermissionError:
            pass  # it lives, and belongs to somebody else
        if direct and os.getppid() != parent:
            break
        await asyncio.sleep(_PARENT_POLL)
    stop.set()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m blossom.sandbox.mitto", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument("--log", type=Path, help="write every text taken to this file, as JSON lines")
    parser.add_argument("--config", type=Path, help="the behaviour at start (JSON; see behaviour.py)")
    parser.add_argument("--ready-file", type=Path, help='written once it listens: {"url", "pid"}')
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process has ended")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
