"""A merchant's file that was imported."""

from __future__ import annotations

import orjson

from blossom.contacts.models import ContactImport, ImportRefusal
from blossom.platform import clock
from blossom.platform.db import session
from blossom.shops.models import Shop
from blossom.uploads import rules
from blossom.uploads.models import Upload
from blossom.uploads.rules import State


def create_imported(shop: Shop, filename: str, refused: list[str]) -> Upload:
    """A file of which nothing but these numbers, refused, is left."""
    now, mapping = clock.now(), {"phone": "Phone"}
    done = ContactImport(
        shop_id=shop.id,
        filename=filename,
        file_digest=b"\0" * 32,
        mapping=mapping,
        state="completed",
        rows_total=len(refused),
        rows_read=len(refused),
        refused=len(refused),
        refused_by_code={"phone_not_a_number": len(refused)},
        started_at=now,
        finished_at=now,
    )
    session.add(done)
    session.flush()
    for line, phone in enumerate(refused, start=2):
        facts = {"line": line, "column": "Phone", "code": "phone_not_a_number", "text": "This is not a phone number."}
        row = ImportRefusal(shop_id=shop.id, import_id=done.id, **facts)
        row.cells = orjson.dumps([phone]).decode()
        session.add(row)
    upload = Upload(
        shop_id=shop.id,
        state=State.COMPLETED.value,
        filename=filename,
        size=100,
        uploaded_by="staff:42",
        header=["Phone"],
        mapping=mapping,
        import_id=done.id,
        created_at=now,
        finished_at=now,
        expires_at=now + rules.REFUSED_KEPT,
    )
    session.add(upload)
    session.flush()
    return upload
