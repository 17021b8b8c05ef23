"""The web process's worker with less patience, for GUNICORN_CMD_ARGS: tests can't wait as long as it does."""

from ops import gunicorn_worker

gunicorn_worker.READ_SECONDS = 3.0
gunicorn_worker.STORE_SECONDS = 1.0
Worker = gunicorn_worker.Worker
