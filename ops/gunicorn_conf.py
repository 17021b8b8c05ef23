"""How gunicorn serves `wsgi:app`.

gunicorn itself takes the address from PORT and the number of processes from WEB_CONCURRENCY; GUNICORN_CMD_ARGS
overrides all below. Threads rather than an event loop: as quick here, with a third of the delay at the 99th percentile.
The worker is gthread's with changes of ours (ops/gunicorn_worker.py).
"""

import gc
import os
import signal
import threading
import time

worker_class = "ops.gunicorn_worker.Worker"
# An open event stream (a progress page) holds none, once it has begun; the pool bounds what uses the database.
threads = 64
# Whoever says nothing costs a file and 5 kB for 20 s, and no thread. gunicorn's default, a thousand, are soon there.
worker_connections = 8_000
# The host gives 30 s between SIGTERM and SIGKILL: requests may end, and so do event streams, within 20.
graceful_timeout = 20
timeout = 60
# Longer than a router keeps an idle connection, so that it never writes into one that we are just closing.
keepalive = 75
# Each process makes its own connections; none may be shared across a fork.
preload_app = False
# The admin opens documents with a session token in the query string.
limit_request_line = 8190
# The app logs its requests itself (JSON, redacted); gunicorn's lines would hold the tokens of query strings.
accesslog = None
# One file per home directory, which a second app would take over; signals do all that we need.
control_socket_disable = True


def when_ready(server):
    """End with `blossom web`, if that started us: killed, it told nobody, and we would keep its port."""
    supervisor = server.cfg.env.get("BLOSSOM_SUPERVISOR")
    if supervisor:
        threading.Thread(target=_end_with, args=(int(supervisor),), daemon=True).start()


def _end_with(supervisor):
    while os.getppid() == supervisor:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def post_worker_init(worker):
    """Let what waits in a thread (event streams, under another worker class) end at once when the process is told to
    stop; gunicorn itself would wait for it. And let what the app is made of stay: it need not be looked through for
    garbage after each few hundred new objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    from blossom.platform import stopping

    ends_in_order = signal.getsignal(signal.SIGTERM)

    def stop(number, frame):
        stopping.request()
        ends_in_order(number, frame)

    signal.signal(signal.SIGTERM, stop)
