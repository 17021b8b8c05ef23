"""The web process's worker with less patience, for GUNICORN_CMD_ARGS: tests can't wait as long as it does."""

from ops import gunicorn_connection, gunicorn_worker

gunicorn_connection.READ_SECONDS = 3.0
gunicorn_connection.WRITE_SECONDS = 3
gunicorn_connection.SLOWEST = 65_536
gunicorn_worker.STORE_SECONDS = 1.0
Worker = gunicorn_worker.Worker
