"""gunicorn's threaded worker (`gthread`), changed in six places. Without TLS and HTTP/2: a host's router ends both.

**A request gets a thread when all of it is here.** gthread gives it one at its first byte, so 64 clients that send half
a body and stall hold a whole process. Here the loop that waits for connections collects what they send, also what comes
right behind another request and what waits for our `100 Continue`; whoever has not sent all of it in time is answered
for what came. What can't be collected (`Connection`) is read by its thread, and never by more than a quarter of them.

**Receipts are answered many at a time.** A thread for each costs far more than the receipt, since it waits twice for
the interpreter's lock. So those that came while one lot was being stored are the next lot, for one thread that does
nothing else: parsed by gunicorn's parser as always, and given together to the application (`ReceiptsIngress.together`).
What that leaves to others gets a thread as any request does.

**Event streams hold no thread** (ops/gunicorn_streams.py).

**Nobody is waited for in the loop.** gthread waits there, up to two seconds for each client, until it closes its side.
Nor for ever in a thread, until a client takes its answer.

**Running out of files** makes it hold fewer connections; gthread dies of it.

**A killed master** ends it as a SIGTERM would, and frees the port at once. gthread goes on to answer on connections
that are kept, for all of `graceful_timeout`, and no other master can listen meanwhile.

It stands on gunicorn's inner parts, so gunicorn is held to one major version (pyproject.toml); whether a new one still
fits, tests/bad_input/test_wire.py, test_slow_clients.py and tests/faults/test_web_stops.py show. Why it is so:
docs/decisions/0017-web-worker.md.
"""

import errno
import math
import os
import signal
import socket
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ

from gunicorn import util
from gunicorn.http import wsgi

from ops.gunicorn_connection import Connection, Sent
from ops.gunicorn_streams import ParkingWorker

PARTING_SECONDS = 2.0
"""For a client to take the last answer and close its side."""

STORE_SECONDS = 10.0
"""A receipt that waits for the next lot for longer gets a thread: the database hangs, and somebody must say so."""

ALL_TOGETHER = 64_000_000
"""Bytes that are collected in a process at once; beyond it, requests are read by their threads."""

LARGEST_IN_A_LOT = 4_096
"""Bytes of a request whose receipts are stored with those of others. An array takes long; it gets a thread."""

LOT = 100
"""Requests stored together."""

_RECEIVE = 65_536


class _Done:
    """A future that is done: what `finish_request` asks of one."""

    def __init__(self, stays):
        self._stays = stays

    def cancelled(self):
        return False

    def result(self):
        return self._stays


class Worker(ParkingWorker):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._waiting = set()  # connections that have not sent all of a request
        self._parting = set()  # connections that we have ended, and the client not yet
        self._collected = 0  # bytes, of all connections
        self._deadline = math.inf  # for those who wait, once the end was asked for
        self._readers = threading.BoundedSemaphore(max(1, self.cfg.threads // 4))
        self._looked_at = 0.0  # when the two sets were last gone through
        self._receipts = deque()  # connections whose request waits for the next lot
        self._storing = False  # whether the thread of receipts is at work
        self._mutex = threading.Lock()  # over `_storing`, and who takes from `_receipts`
        self._receiver = None
        self._together = self._first_line = None

    def init_process(self):
        self._receiver = ThreadPoolExecutor(1, "receipts")
        super().init_process()

    def load_wsgi(self):
        super().load_wsgi()
        ingress = getattr(self.wsgi, "wsgi_app", None)
        if hasattr(ingress, "together"):
            self._together = ingress.together
            self._first_line = b"POST %s HTTP/1.1\r\n" % ingress.path.encode()
        self.wsgi = self.parking(self.wsgi)

    def is_parent_alive(self):
        alive = super().is_parent_alive()
        if not alive:
            self.set_accept_enabled(False)
            for listener in self.sockets:
                listener.close()
            os.kill(os.getpid(), signal.SIGTERM)
        return alive

    # Collecting, in the loop's thread.

    def accept(self, listener):
        try:
            sock, client = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._hold_no_more()
            return
        self.nr_conns += 1
        self._collect(Connection(self.cfg, sock, client, listener.getsockname(), self._readers))

    def _hold_no_more(self):
        """The system lets us open no more files: from now on, these are as many connections as there may be. gunicorn
        dies of it, with all that it has in hand."""
        self.worker_connections = max(1, self.nr_conns)
        self.max_keepalived = max(1, self.worker_connections - self.cfg.threads)
        self.log.warning("No more files can be opened: %d connections are held at most.", self.worker_connections)

    def on_client_socket_readable(self, conn, client):
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._collect(conn)

    def _on_more(self, conn, client):
        self.poller.unregister(client)
        self._waiting.remove(conn)
        self._collect(conn)

    def _collect(self, conn):
        """Take what came on a connection that is in nobody's hands, and see whose turn it is with it."""
        try:
            received = conn.sock.recv(_RECEIVE)
        except BlockingIOError:
            self._wait_for_more(conn)
            return
        except OSError:
            received = b""
        if not received and not conn.sent:
            self._drop(conn)
        else:
            self._take_in(conn, received)

    def _take_in(self, conn, received):
        conn.sent += received
        self._collected += len(received)
        if received and not conn.sent.enough() and self._collected < ALL_TOGETHER:
            self._wait_for_more(conn)
        elif self._together and self._is_for_a_lot(conn):
            conn.wait_until = time.monotonic() + STORE_SECONDS
            self._receipts.append(conn)
        else:
            self._hand_on(conn)

    def _is_for_a_lot(self, conn):
        sent = conn.sent
        if conn.continued or len(sent) != sent.size:
            return False
        return sent.size <= LARGEST_IN_A_LOT and sent.startswith(self._first_line)

    def _wait_for_more(self, conn):
        if conn.sent.asks and not conn.continued:
            self._let_go_on(conn)
        conn.wait_until = min(conn.read_until(time.monotonic()), self._deadline)
        self._waiting.add(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_more, conn))

    def _let_go_on(self, conn):
        """Say that the body may come. gunicorn says so in a thread, which then waits for it."""
        conn.continued = True
        try:
            conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        except OSError:  # then it sends nothing either
            self.log.debug("A client that asked whether to go on doesn't listen.")

    def _taken(self, conn):
        """What was collected of a connection, which is to be in somebody's hands."""
        sent, conn.sent, conn.began = conn.sent, Sent(), None
        self._collected -= len(sent)
        return sent

    def _hand_on(self, conn, *, stalled=False):
        """Give the request a thread, which reads on where we ended, unless the client stalls."""
        sent = self._taken(conn)
        conn.in_part = not sent.whole()
        conn.unread(bytes(sent))
        if stalled:
            conn.parser.unreader.begin(gave_up=True)
        self.enqueue_req(conn)

    def handle_request(self, req, conn):
        """In its thread. Whoever has not sent all of it is not listened to afterwards: to read the rest takes long."""
        if conn.in_part:
            req.force_close()
        if conn.continued:
            conn.continued = req._expected_100_continue = False
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as stalled:  # it takes nothing of its answer; as quietly as if it had gone
            raise ConnectionResetError(errno.ECONNRESET, "The client takes nothing.") from stalled

    def _drop(self, conn):
        self.nr_conns -= 1
        conn.close()

    def finish_request(self, conn, fs):
        if conn.parked:
            self._park(conn)
            return
        try:
            stays = fs.result()
        except BaseException:  # gunicorn's own has seen to it
            stays = False
        begun = conn.parser.unreader.take_buffered() if stays else b""
        if begun:  # of its next request; gunicorn gives that a thread, whether all of it is here or not
            conn.sock.setblocking(False)
            self._take_in(conn, begun)
        elif stays:
            super().finish_request(conn, fs)
        else:
            self._part_from(conn)

    def _part_from(self, conn):
        """Close a connection as RFC 9112 (9.6) has it: we say that nothing more comes, and read on until the client has
        heard the last of it. gunicorn does that in the loop's thread, where one client holds up all others for 2 s."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        conn.wait_until = time.monotonic() + PARTING_SECONDS
        self._parting.add(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self._on_last_words, conn))

    def _on_last_words(self, conn, client):
        try:
            if client.recv(_RECEIVE):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._end_parting(conn)

    def _end_parting(self, conn):
        self._parting.remove(conn)
        self.poller.unregister(conn.sock)
        self._drop(conn)

    def _keepalive_after(self, conn, keepalive):
        """Never after a request that stalled: where its successor would begin is unknown."""
        unreader = conn.parser.unreader
        stays = super()._keepalive_after(conn, keepalive and not unreader.gave_up)
        return stays and not unreader.gave_up  # the rest of an unwanted body may have stalled as well

    def murder_pending(self):
        """End the waiting for those who stall, about once a second: for there may be many."""
        now = time.monotonic()
        if now < self._looked_at + 1:
            return
        self._looked_at = now
        for conn in [each for each in self._parting if each.wait_until <= now]:
            self._end_parting(conn)
        for conn in [each for each in self._waiting if each.wait_until <= now]:
            self.poller.unregister(conn.sock)
            self._waiting.remove(conn)
            if conn.sent:
                self._hand_on(conn, stalled=True)
            else:
                self._drop(conn)
        for conn in self._take_overdue(now):
            self._hand_on(conn)

    def _take_overdue(self, now):
        """Receipts that no lot has had room for."""
        overdue = []
        with self._mutex:
            while self._receipts and self._receipts[0].wait_until <= now:
                overdue.append(self._receipts.popleft())
        return overdue

    def _cap_keepalive(self, deadline):
        """The end was asked for: nobody is waited for longer than this."""
        super()._cap_keepalive(deadline)
        self._deadline = deadline  # also for those who begin a request before it
        for conn in self._waiting:
            conn.wait_until = min(conn.wait_until, deadline)

    # Receipts, in a thread of their own.

    def wait_for_and_dispatch_events(self, timeout):
        super().wait_for_and_dispatch_events(timeout)
        with self._mutex:
            if self._storing or not self._receipts:
                return
            self._storing = True
        self._receiver.submit(self._store_all)

    def _store_all(self):
        """Lot after lot, until nobody waits: what came while one was stored is the next."""
        while True:
            lot = []
            with self._mutex:
                while self._receipts and len(lot) < LOT:
                    lot.append(self._receipts.popleft())
                self._storing = bool(lot)
            if not lot:
                return
            stays = {}
            try:
                self._answer(lot, stays)
            except Exception:
                self.log.exception("Receipts could not be answered together.")
            self.method_queue.defer(self._after, lot, stays)

    def _answer(self, lot, stays):
        """Store the receipts of a lot and answer. `stays` gets those that were answered, and whether their connection
        stays open."""
        asked = []
        for conn in lot:
            try:
                conn.unread(bytes(conn.sent))
                conn.sock.setblocking(False)
                request = next(conn.parser)
                asked.append((conn, *wsgi.create(request, conn.sock, conn.client, conn.server, self.cfg)))
            except Exception:  # its own thread meets it again, and says what is to be said
                self.log.debug("A receipt's request can't be parsed.")
        self.nr += len(asked)
        answers = self._together([environ for _, _, environ in asked])
        for (conn, response, _), answer in zip(asked, answers, strict=True):
            if answer is not None:
                stays[conn] = False
                stays[conn] = self._send(conn, response, *answer)

    def _send(self, conn, response, headers, body):
        """Send a 200 in one piece; whether the connection stays open. Nobody is waited for who doesn't take it."""
        if not self.alive or not self.cfg.keepalive or len(self.keepalived_conns) >= self.max_keepalived:
            response.force_close()
        response.start_response("200 OK", headers)
        lines = [*response.default_headers(), *(f"{name}: {value}\r\n" for name, value in response.headers), "\r\n"]
        try:
            util.write(conn.sock, "".join(lines).encode("latin-1") + body)
        except OSError:
            return False
        return not response.should_close()

    def _after(self, lot, stays):
        """In the loop's thread again. Who has no answer gets a thread and is judged there from the beginning."""
        for conn in lot:
            if conn in stays:
                self._taken(conn)
                self.finish_request(conn, _Done(stays[conn]))
            else:
                conn.parser, conn.initialized = None, False
                self._hand_on(conn)
