"""This thread's clients of Mitto, made from the settings on first use and kept, so that connections are reused."""

from __future__ import annotations

import threading
from typing import Any

from blossom.mitto.client import MittoClient
from blossom.platform import config, stopping

_own = threading.local()


def client() -> MittoClient:
    """For questions: it asks again by itself when nothing was answered."""
    return _kept("client")


def sender() -> MittoClient:
    """For sending: one call and no more, since before a second one the lane asks whether it may still be made."""
    return _kept("sender", retry_delays=(), max_wait=0.0)


def _kept(name: str, **options: Any) -> MittoClient:
    settings = config.current()
    made_for = (
        settings.mitto_api_url,
        settings.mitto_api_key,
        settings.mitto_batch_size,
        settings.mitto_timeout_seconds,
    )
    known = getattr(_own, name, None)
    if known is None or known[0] != made_for:
        made = MittoClient(
            settings.mitto_api_url,
            settings.mitto_api_key,
            timeout=settings.mitto_timeout_seconds,
            batch_size=settings.mitto_batch_size,
            should_stop=stopping.requested,
            **options,
        )
        known = made_for, made
        setattr(_own, name, known)
    found: MittoClient = known[1]
    return found
