"""What is in files goes by itself: a file that nobody went on with, the refused lines of one that was imported."""

from __future__ import annotations

from sqlalchemy import delete

from blossom.contacts import service as contacts
from blossom.platform import clock, stopping
from blossom.platform.db import session, transaction
from blossom.platform.errors import NotFound
from blossom.uploads import queries
from blossom.uploads.models import UploadPart
from blossom.uploads.rules import State
from blossom.uploads.service import choosing


def forget_expired() -> int:
    """Let go of what is past its time, each in a transaction of its own; how many. Manages its transactions."""
    with transaction():
        due = queries.expired(clock.now())
    forgotten = 0
    for shop_id, upload_id in due:
        if stopping.requested():
            break
        with transaction():
            forgotten += _forget(shop_id, upload_id)
    return forgotten


def _forget(shop_id: int, upload_id: int) -> bool:
    try:
        upload = queries.upload(shop_id, upload_id, lock=True)
    except NotFound:  # discarded meanwhile
        return False
    if upload.expires_at is None or upload.expires_at > clock.now() or upload.in_hand_until is not None:
        return False
    if upload.state == State.COMPLETED:
        assert upload.import_id is not None, "it was imported"
        contacts.forget_refused_lines(shop_id, upload.import_id)
        upload.expires_at = None
        session.flush()
        return True
    if upload.state == State.FAILED:  # what it did stays told; the file goes
        session.execute(delete(UploadPart).where(UploadPart.shop_id == shop_id, UploadPart.upload_id == upload_id))
        upload.expires_at, upload.sample = None, None
        if upload.import_id is not None:
            contacts.forget_refused_lines(shop_id, upload.import_id)
        session.flush()
        return True
    upload.state, upload.next_try_at = State.RECEIVED.value, None  # whatever it waited for
    choosing.discard(shop_id, upload_id)
    return True
