"""What is left of an import goes, once nobody needs it. Flushes."""

from __future__ import annotations

from sqlalchemy import delete, update

from blossom.contacts.models import ContactImport, ImportRefusal
from blossom.platform.db import session


def drop_import(shop_id: int, import_id: int) -> None:
    """Forget an import, with what it refused; for a dry run that is over. Contacts stay as they are."""
    session.execute(delete(ContactImport).where(ContactImport.shop_id == shop_id, ContactImport.id == import_id))


def forget_refused_lines(shop_id: int, import_id: int) -> None:
    """Let go of the lines themselves; where each stood, and why it was refused, stays."""
    session.execute(
        update(ImportRefusal)
        .where(ImportRefusal.shop_id == shop_id, ImportRefusal.import_id == import_id)
        .values(cells_sealed=None)
        .execution_options(synchronize_session=False)
    )
