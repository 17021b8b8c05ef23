"""One stand-in of each provider for all tests of a process: each test that uses it begins by making it as new.

A fixture's scope alone doesn't share it: imported into several files it is a fixture of each.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools

from blossom.sandbox.mitto.behaviour import ReceiptBehaviour
from blossom.sandbox.mitto.process import StandIn as Mitto
from blossom.sandbox.shopify.process import StandIn as Shopify


@functools.cache
def shopify() -> Shopify:
    """Shopify's. `reset` forgets all of it."""
    started = Shopify.start()
    atexit.register(started.stop)
    return started


@functools.cache
def mitto() -> Mitto:
    """Mitto's, with the tests' key. Neither its texts nor its faults are a test's before `as_new`."""
    started = Mitto.start(api_keys=["test-key"])
    atexit.register(started.stop)
    return started


def as_new(mitto: Mitto) -> None:
    """It knows of no text, and takes every one."""
    mitto.configure(
        faults=[],
        outcomes={"exact": {}, "suffix": {}, "prefix": {}, "blocked_words": [], "share": {}},
        receipts=dataclasses.asdict(ReceiptBehaviour()),
        latency=0.0,
    )
    mitto.reset()
