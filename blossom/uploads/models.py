"""Files that merchants send. What is in them is people's: sealed part by part, and gone once it has been imported."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform.crypto import Sealed, SealedText
from blossom.platform.db import Base
from blossom.uploads.rules import State


class Upload(Base):
    """A file on its way into the contacts. `check_id` and `import_id` name what counts its lines (contacts).

    Each worker that takes it up counts `turn` up, and writes only while it is the last one who did.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        ForeignKeyConstraint(
            ["shop_id", "check_id"],
            ["contact_imports.shop_id", "contact_imports.id"],
            name="fk_uploads_check",
            ondelete="SET NULL (check_id)",
        ),
        ForeignKeyConstraint(
            ["shop_id", "import_id"],
            ["contact_imports.shop_id", "contact_imports.id"],
            name="fk_uploads_import",
            ondelete="SET NULL (import_id)",
        ),
        CheckConstraint(f"state IN ({', '.join(repr(state.value) for state in State)})", "state"),
        CheckConstraint("(state IN ('checking', 'importing')) = (next_try_at IS NOT NULL)", "next_try_at"),
        CheckConstraint(
            "state NOT IN ('checking', 'checked', 'importing', 'completed') OR mapping IS NOT NULL", "mapping"
        ),
        Index("ix_uploads_due", "next_try_at", postgresql_where=text("next_try_at IS NOT NULL")),
        Index("ix_uploads_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("ix_uploads_check", "shop_id", "check_id"),
        Index("ix_uploads_import", "shop_id", "import_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    state: Mapped[str] = mapped_column(Text)
    filename: Mapped[str] = mapped_column(Text)
    size: Mapped[int]  # bytes
    uploaded_by: Mapped[str] = mapped_column(Text)
    encoding: Mapped[str | None] = mapped_column(Text)  # as the merchant named it; NULL: found out by itself
    header: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))  # NULL: it could not be read yet
    sample_sealed: Mapped[bytes | None] = mapped_column(
        Sealed("upload_sample")
    )  # the first lines: JSON, lists of cells
    mapping: Mapped[dict[str, str] | None] = mapped_column(JSONB(none_as_null=True))  # our field → header
    everybody_agreed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    check_id: Mapped[int | None]
    import_id: Mapped[int | None]
    attested_by: Mapped[str | None] = mapped_column(Text)
    attested_wording: Mapped[str | None] = mapped_column(Text)
    fault: Mapped[str | None] = mapped_column(Text)  # a code of `rules.wording`, or the name of a fault of ours
    fault_details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    turn: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))  # failures in a row
    next_try_at: Mapped[datetime | None]
    in_hand_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # when the file goes, or the refused lines of its import; NULL: nothing is left

    sample = SealedText("sample_sealed")


class UploadPart(Base):
    """A part of a file. Compressed, and text for the seal: `service.content`."""

    __tablename__ = "upload_parts"
    __table_args__ = (
        UniqueConstraint("shop_id", "upload_id", "number"),
        ForeignKeyConstraint(["shop_id", "upload_id"], ["uploads.shop_id", "uploads.id"], ondelete="CASCADE"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    upload_id: Mapped[int]
    number: Mapped[int] = mapped_column(Integer)  # from 0 on
    size: Mapped[int] = mapped_column(Integer)  # bytes of the file in it
    content_sealed: Mapped[bytes] = mapped_column(Sealed("upload"))

    content = SealedText("content_sealed")
