"""Jobs that pages on people wait for. A lost one is asked for anew by a later look."""

from __future__ import annotations

from typing import Any

from blossom.people import service as people
from blossom.platform import queue
from blossom.platform.db import transaction
from blossom.segments.rules import Question


@queue.job("people.count_segment")
def count_segment(shop_id: int, question: dict[str, Any]) -> None:
    """Count whom a segment's rules meet."""
    with transaction():
        people.count_segment(shop_id, Question.from_json(question))
