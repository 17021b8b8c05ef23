"""Event streams without a thread: gunicorn's threaded worker, taught to park a connection.

The app finds `environ["blossom.park"]` and returns `park(begin)` for a body (blossom/platform/streams.py). The headers
are sent by the request's thread, as ever; then the thread is free, `begin` gets a `Line` to the client, and the loop
listens for nothing but that the client goes. All that is said goes out in the thread that says it, never in the loop:
each send lets go of the interpreter's lock, and to get it back two hundred times beside busy threads takes long.

A server that is to end hangs up on all of them, in good order, and their pages ask for the next.
"""

import socket
import threading
import time
from functools import partial
from selectors import EVENT_READ

from gunicorn.workers.gthread import ThreadWorker

STALLED_SECONDS = 20.0
"""Whoever takes nothing of what was sent for so long is hung up on."""

BUFFER = 65_536
"""Bytes that the system keeps of what a client has not taken. Beyond that, the line keeps one event at most."""

_RECEIVE = 65_536
_LAST_CHUNK = b"0\r\n\r\n"


class Parked:
    """A body that somebody else says."""

    def __init__(self, begin):
        self.begin = begin


class _Leaves(BaseException):
    """Ends the request's thread, past all that gunicorn does for an answer that has ended or failed."""


class Line:
    """A parked connection, written to without waiting. `over`: it has ended, or has been asked to; for readers."""

    def __init__(self, sock, chunked, ended):
        self.over = False
        self._sock = sock
        self._chunked = chunked
        self._ended = ended  # called once, in whatever thread
        self._left = memoryview(b"")
        self._is_last = False
        self._taken_at = 0.0
        self._lock = threading.Lock()

    def say(self, words, *, last=False):
        """See `streams.Line`."""
        with self._lock:
            if self.over:
                return True
            self._push()
            if self._left or self.over:
                return self.over
            self._is_last = last
            self._left = memoryview(self._framed(words) + (_LAST_CHUNK if last and self._chunked else b""))
            self._taken_at = time.monotonic()
            self._push()
            return True

    def end(self):
        """End it now, in good order if nothing was left half said."""
        with self._lock:
            if not self.over:
                if not self._left and self._chunked:
                    self._left = memoryview(_LAST_CHUNK)
                    self._send()
                self._hang_up()

    def lose(self):
        """The client has gone."""
        with self._lock:
            if not self.over:
                self._hang_up()

    def _framed(self, words):
        return b"%x\r\n%s\r\n" % (len(words), words) if words and self._chunked else words

    def _push(self):
        if self._left:
            self._send()
        is_done = self._is_last and not self._left
        is_stalled = self._left and time.monotonic() > self._taken_at + STALLED_SECONDS
        if is_done or is_stalled:
            self._hang_up()

    def _send(self):
        try:
            sent = self._sock.send(self._left)
        except BlockingIOError:
            return
        except OSError:
            self._hang_up()
            return
        self._left = self._left[sent:]
        self._taken_at = time.monotonic()

    def _hang_up(self):
        if not self.over:
            self.over = True
            self._ended()


class ParkingWorker(ThreadWorker):
    """Its heir says how one parts from a client: `_part_from(conn)`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._lines = {}  # of the connections that are parked

    def parking(self, app):
        """`app`, to be called by gunicorn, with a way to park."""

        def call(environ, start_response):
            environ["blossom.park"] = Parked
            body = app(environ, start_response)
            if not isinstance(body, Parked):
                return body
            response = start_response.__self__
            response.force_close()  # nothing that the client sends meanwhile is a request
            response.send_headers()
            raise _Leaves(body.begin, response.chunked)

        return call

    def handle_request(self, req, conn):
        try:
            return super().handle_request(req, conn)
        except _Leaves as leaves:
            conn.parked = leaves.args
            return False

    def _park(self, conn):
        """In the loop's thread, once the request's has ended."""
        begin, chunked = conn.parked
        conn.sock.setblocking(False)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        line = Line(conn.sock, chunked, partial(self.method_queue.defer, self._unpark, conn))
        self._lines[conn] = line
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_word_of_parked, conn))
        try:
            begin(line)
        except Exception:  # a thread that could not be started, say; the loop must go on
            self.log.exception("A stream could not begin.")
            line.end()
        if not self.alive:
            line.end()

    def _on_word_of_parked(self, conn, client):
        try:
            if client.recv(_RECEIVE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        if conn in self._lines:  # else it was unparked in this very turn of the loop
            self._lines[conn].lose()

    def _unpark(self, conn):
        del self._lines[conn]
        self.poller.unregister(conn.sock)
        self._part_from(conn)

    def _cap_keepalive(self, deadline):
        """The end was asked for."""
        super()._cap_keepalive(deadline)
        for line in list(self._lines.values()):
            line.end()
