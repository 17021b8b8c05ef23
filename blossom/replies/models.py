"""What people texted to shops."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from blossom.consent.rules import Keyword
from blossom.platform.crypto import Sealed, SealedText
from blossom.platform.db import Base


class InboundText(Base):
    """A text from a person to a shop. `handled_at` is empty while an answer is owed; a job or the sweep gives it.

    What a STOP or START does to consent was done when the row was stored, in the same transaction. One without a
    `keyword` is for the merchant to read; `read_at` is when somebody of the shop said that it was.
    """

    __tablename__ = "inbound_texts"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),  # serves the listing, newest first
        UniqueConstraint("shop_id", "identity_hash"),
        ForeignKeyConstraint(
            ["shop_id", "contact_id"], ["contacts.shop_id", "contacts.id"], ondelete="SET NULL (contact_id)"
        ),
        ForeignKeyConstraint(["shop_id", "answer_dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        CheckConstraint(f"keyword IN ({', '.join(repr(k.value) for k in Keyword)})", "keyword"),
        CheckConstraint("answer_dispatch_id IS NULL OR unanswered IS NULL", "answer"),
        Index(None, "shop_id", "contact_id"),  # for the ON DELETE SET NULL
        Index(None, "shop_id", "phone_hash", "id"),  # for a conversation, and for who is to be forgotten
        Index("ix_inbound_texts_replies", "shop_id", "id", postgresql_where=text("keyword IS NULL")),
        Index(
            "ix_inbound_texts_unread",
            "shop_id",
            "id",
            postgresql_where=text("keyword IS NULL AND read_at IS NULL"),
        ),
        Index("ix_inbound_texts_unhandled", "received_at", postgresql_where=text("handled_at IS NULL")),
        Index(
            "ix_inbound_texts_answered",
            "shop_id",
            "phone_hash",
            "handled_at",
            postgresql_where=text("answer_dispatch_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    phone_sealed: Mapped[bytes] = mapped_column(Sealed("phone"))  # E.164
    phone_hash: Mapped[bytes]
    text_sealed: Mapped[bytes] = mapped_column(Sealed("inbound_text"))
    identity_hash: Mapped[bytes]  # keyed: the provider's id, or what else makes a repeat known (rules.identity)
    keyword: Mapped[str | None] = mapped_column(Text)
    contact_id: Mapped[int | None]
    received_at: Mapped[datetime]  # by our clock
    handled_at: Mapped[datetime | None]
    answer_dispatch_id: Mapped[int | None]
    unanswered: Mapped[str | None] = mapped_column(Text)  # why an answer that was called for was not given
    read_at: Mapped[datetime | None]

    phone = SealedText("phone_sealed")
    text = SealedText("text_sealed")

    @property
    def is_unread(self) -> bool:
        """Whether it waits for somebody of the shop to read it: what Blossom understands by itself does not."""
        return self.keyword is None and self.read_at is None
