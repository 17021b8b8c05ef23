"""`python -m blossom.sandbox.shopify`: run the stand-in until SIGTERM, SIGINT, or the end of its parent."""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import orjson
from werkzeug.serving import WSGIRequestHandler, make_server

from blossom.sandbox.shopify import control
from blossom.sandbox.shopify.app import create_app
from blossom.sandbox.shopify.state import State

_PARENT_POLL = 0.5  # seconds


class _Handler(WSGIRequestHandler):
    """Keeps connections open, as Shopify does, and says nothing of requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the peer's delayed acknowledgement

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """What was asked is in the state's own log."""


def serve(options: argparse.Namespace) -> None:
    """Listen, say where, and serve until asked to stop."""
    state = State()
    if options.config is not None:
        control.set_up(state, orjson.loads(options.config.read_bytes()))
    server = make_server(options.host, options.port, create_app(state), threaded=True, request_handler=_Handler)
    state.own_url = f"http://{options.host}:{server.server_port}"

    def stop(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()  # it waits for the loop that runs this

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if options.parent is not None:
        threading.Thread(target=_stop_without, args=(options.parent, server.shutdown), daemon=True).start()
    _announce(state.own_url, options.ready_file)
    server.serve_forever(poll_interval=0.05)


def _announce(url: str, ready_file: Path | None) -> None:
    """Print the URL; the file appears whole or not at all."""
    print(url, flush=True)
    if ready_file is not None:
        unfinished = ready_file.with_name(ready_file.name + ".part")
        unfinished.write_bytes(orjson.dumps({"url": url, "pid": os.getpid()}))
        unfinished.replace(ready_file)


def _stop_without(parent: int, stop: Callable[[], None]) -> None:
    """Call `stop` when the process `parent` is gone. A dead direct parent is noticed although nobody reaped it."""
    direct = os.getppid() == parent
    pause = threading.Event()
    while not pause.wait(_PARENT_POLL):
        try:
            os.kill(parent, 0)
        except ProcessLookupError:
            break
        except PermissionError:
            pass  # it lives, and belongs to somebody else
        if direct and os.getppid() != parent:
            break
    stop()


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m blossom.sandbox.shopify", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (default): a free one")
    parser.add_argument("--config", type=Path, help="app and shops at start (JSON; see control.py)")
    parser.add_argument("--ready-file", type=Path, help='written once it listens: {"url", "pid"}')
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process has ended")
    serve(parser.parse_args())


if __name__ == "__main__":
    main()
