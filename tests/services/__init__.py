"""`bin/test --services`: servers of their own for the tests that use a database."""

from __future__ import annotations

import os

POOLED = "BLOSSOM_TEST_POOLER" in os.environ
"""Whether there is a pooler before the database: it keeps its connections when clients have gone, and shares them."""
