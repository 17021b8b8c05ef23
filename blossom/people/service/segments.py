"""What a merchant does with segments and lists, written down with who did it. Flushed."""

from __future__ import annotations

from blossom.audit import service as audit
from blossom.people import queries
from blossom.people.errors import SegmentInUse
from blossom.segments import service as segments
from blossom.segments.models import Segment
from blossom.segments.rules import Question


def save_segment(shop_id: int, segment_id: int | None, name: str, question: Question | None, *, actor: str) -> Segment:
    """Make a segment (`segment_id` None; without `question` a list), or change one. Raises as `segments`."""
    if segment_id is None:
        saved, deed = segments.create_segment(shop_id, name, question), "segments.created"
    else:
        saved, deed = segments.change_segment(shop_id, segment_id, name, question), "segments.changed"
    audit.record(shop_id, deed, actor=actor, subject_type="segment", subject_id=saved.id)
    return saved


def delete_segment(shop_id: int, segment_id: int, *, actor: str) -> None:
    """Drop it. Raises `NotFound`, and `SegmentInUse` while a campaign that is still to be sent names it."""
    if queries.usage(shop_id, segment_id).campaigns:
        raise SegmentInUse
    segments.delete_segment(shop_id, segment_id)
    audit.record(shop_id, "segments.deleted", actor=actor, subject_type="segment", subject_id=segment_id)
