"""The web process's worker with less patience, for GUNICORN_CMD_ARGS: tests can't wait as long as it does."""

from blossom.platform import streams
from ops import gunicorn_connection, gunicorn_streams, gunicorn_worker

gunicorn_connection.READ_SECONDS = 3.0
gunicorn_connection.WRITE_SECONDS = 3
gunicorn_connection.SLOWEST = 65_536
gunicorn_worker.STORE_SECONDS = 1.0
gunicorn_streams.STALLED_SECONDS = 1.0
gunicorn_streams.BUFFER = 1  # the system makes 4,608 of it
streams.MOST_OF_A_SHOP = 20
Worker = gunicorn_worker.Worker
