"""The web process's worker with less patience, for GUNICORN_CMD_ARGS: what it waits for 20 s for, tests can't."""

from ops import gunicorn_worker

gunicorn_worker.READ_SECONDS = 3.0
Worker = gunicorn_worker.Worker
