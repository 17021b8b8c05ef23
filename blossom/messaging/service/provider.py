"""This thread's client of Mitto, made from the settings on first use and kept, so that its connections are reused."""

from __future__ import annotations

import threading

from blossom.mitto.client import MittoClient
from blossom.platform import config, stopping

_own = threading.local()


def client() -> MittoClient:
    """A client for the calling thread."""
    settings = config.current()
    made_for = (settings.mitto_api_url, settings.mitto_api_key, settings.mitto_batch_size)
    if getattr(_own, "made_for", None) != made_for:
        _own.client = MittoClient(
            settings.mitto_api_url,
            settings.mitto_api_key,
            timeout=settings.mitto_timeout_seconds,
            batch_size=settings.mitto_batch_size,
            should_stop=stopping.requested,
        )
        _own.made_for = made_for
    made: MittoClient = _own.client
    return made
