"""A provider that replays recorded answers over a raw socket, one turn a request, and counts what reached it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

RECORDINGS = Path(__file__).parent / "recordings"
Turn = Callable[[socket.socket], bool]  # answers one request; False when the connection has been closed


def recording(name: str) -> bytes:
    """The bytes of one recorded answer."""
    return (RECORDINGS / f"{name}.http").read_bytes()


def answer(name: str) -> Turn:
    """Replay a recording, and keep the connection."""
    return raw(recording(name))


def raw(data: bytes, *, then_close: bool = False) -> Turn:
    """Answer with these bytes."""

    def play(sock: socket.socket) -> bool:
        sock.sendall(data)
        if then_close:
            sock.close()
        return not then_close

    return play


def drip(data: bytes, seconds_per_byte: float) -> Turn:
    """Answer byte by byte, until it is all out or the client has gone."""

    def play(sock: socket.socket) -> bool:
        for each in data:
            sock.sendall(bytes((each,)))
            time.sleep(seconds_per_byte)
        return True

    return play


def silence() -> Turn:
    """Never answer: wait until the client leaves."""

    def play(sock: socket.socket) -> bool:
        sock.recv(1)
        sock.close()
        return False

    return play


def reset() -> Turn:
    """Close with a reset."""

    def play(sock: socket.socket) -> bool:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        return False

    return play


def close() -> Turn:
    """Close without a word."""
    return raw(b"", then_close=True)


class RecordedProvider:
    """Listens on loopback. `script` says how each request is answered in turn; the last turn goes on for ever."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = threading.Semaphore(0)  # released once for each connection that has ended
        self._turns: list[Turn] = []
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def script(self, *turns: Turn) -> None:
        """From now on answer like this."""
        self._turns = list(turns)
        self.requests.clear()

    def stop(self) -> None:
        """Stop listening and drop every connection."""
        self._listener.close()
        for sock in list(self._open):
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        received = b""
        try:
            while True:
                while (request := _whole_request(received)) is None:
                    chunk = sock.recv(65_536)
                    if not chunk:
                        return
                    received += chunk
                received = received[len(request) :]
                self.requests.append(request)
                turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
                if not turn(sock):
                    return
        except OSError:
            return  # the client left, which some of the turns are about
        finally:
            sock.close()
            self._open.discard(sock)
            self.closed.release()


def _whole_request(received: bytes) -> bytes | None:
    head, separator, _ = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    end = len(head) + 4 + length
    return received[:end] if len(received) >= end else None
