"""A connection of ops/gunicorn_worker.py: what has come of its request, and how the rest of it is read."""

import re
import socket
import struct
import time

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

READ_SECONDS = 20.0
"""From the first of a request to the last of its body, beside the time that so much takes at `SLOWEST`."""

WRITE_SECONDS = 20
"""Whoever takes nothing of an answer for so long is given up: gunicorn would wait for ever, with a thread."""

SLOWEST = 16_384
"""Bytes a second of what is collected: a merchant's file may come over a slow line."""

LARGEST = 9_000_000
"""Bytes of a request that are collected: what is larger the app refuses by its Content-Length."""

LARGEST_HEAD = 65_536
"""Bytes of a head that are collected. gunicorn may want to see more before it refuses it, and reads it in a thread."""

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*0*([0-9]{1,15})[ \t]*\r\n")
_ASKS = re.compile(rb"\A[^\r]* http/1\.1\r\n(?s:.*\r\n)?expect:[ \t]*100-continue[ \t]*\r\n")


class Sent(bytearray):
    """What has come of a request. It is read for nothing but when to hand it on: gunicorn's parser judges it."""

    def __init__(self, sent=b""):
        super().__init__(sent)
        self.size = None  # of the whole request, once its head is here and says so
        self.in_chunks = False
        self.asks = False  # whether it waits for a word of ours before it sends its body
        self._head = None  # how long that is, once it is here
        self._searched = 0

    def whole(self):
        """Whether this is all of a request, as far as we can tell."""
        if self.in_chunks:
            return len(self) >= self._head + 5 and self.endswith(b"0\r\n\r\n")
        return self.size is not None and len(self) >= self.size

    def enough(self):
        """Whether this is a request, or as much as is to be collected of one."""
        if self._head is None:
            end = self.find(b"\r\n\r\n", self._searched)
            if end < 0:
                self._searched = max(0, len(self) - 3)
                return len(self) > LARGEST_HEAD
            self._look_at(bytes(self[: end + 4]).lower())
        return self.whole() or (len(self) if self.in_chunks else self.size) > LARGEST

    def _look_at(self, head):
        self._head = len(head)
        self.in_chunks = b"\r\ntransfer-encoding:" in head
        if not self.in_chunks:
            length = _LENGTH.search(head)
            self.size = len(head) + (int(length[1]) if length else 0)
        if b"\r\nexpect:" in head and len(self) == len(head):
            self.asks = bool(_ASKS.match(head)) and not self.whole()
            if not self.asks:  # gunicorn refuses what else is expected, or knows that nothing is
                self.in_chunks, self.size = False, len(head)


class Unreader(SocketUnreader):
    """Reads a connection in a thread, for no longer than `READ_SECONDS` a request, and never in more threads at once
    than `readers` lets in: clients that stall must not hold them all. Whoever stalls, or finds no room, has ended, as
    far as we go."""

    def __init__(self, sock, readers):
        super().__init__(sock)
        self._readers = readers
        self.begin()

    def begin(self, gave_up=False):
        self._ends_at = None
        self.gave_up = gave_up  # then nothing more is read, and so no request after this one either

    def chunk(self, size_hint=None):
        if self.gave_up or not self._readers.acquire(blocking=False):
            self.gave_up = True
            return b""
        limit = self.sock.gettimeout()  # gunicorn's own, when it reads the rest of a body that nobody wanted
        now = time.monotonic()
        self._ends_at = self._ends_at or now + READ_SECONDS
        left = max(self._ends_at - now, 0.001)
        try:
            self.sock.settimeout(left if limit is None else min(left, limit))
            return super().chunk(size_hint)
        except TimeoutError:
            self.gave_up = True
            return b""
        finally:
            self._readers.release()
            self.sock.settimeout(limit)


class Connection(TConn):
    def __init__(self, cfg, sock, client, server, readers):
        super().__init__(cfg, sock, client, server)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", WRITE_SECONDS, 0))
        self._readers = readers
        self.sent = Sent()
        self.began = None  # when the first of a request was waited for, by the monotonic clock
        self.wait_until = None  # by the same: for more of a request, or for the next lot
        self.continued = False  # whether we have said that the body may be sent
        self.parked = None  # what is to be done with it once its request's thread has ended, if others speak on it
        self.in_part = False  # whether its request was handed on before all of it was here

    def init(self):
        if not self.initialized:
            super().init()
            self.parser.unreader = Unreader(self.sock, self._readers)

    def unread(self, sent):
        """Let the parser read this, as if it came from the socket."""
        self.init()
        self.parser.unreader.begin()
        self.parser.unreader.unread(sent)

    def read_until(self, now):
        """When a request that is being collected has to be here."""
        self.began = self.began or now
        return self.began + READ_SECONDS + len(self.sent) / SLOWEST
