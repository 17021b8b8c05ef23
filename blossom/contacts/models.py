"""Tables of people and of their imports. Phone, e-mail and names are sealed; they are found by their keyed hashes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.contacts import rules
from blossom.platform.crypto import Sealed, SealedText
from blossom.platform.db import Base


class Contact(Base):
    """A person of a shop. One phone is one contact; consent does not stand here but goes by `phone_hash`."""

    __tablename__ = "contacts"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "phone_hash"),
        UniqueConstraint("shop_id", "shopify_customer_id"),
        Index(None, "shop_id", "email_hash"),
        Index("ix_contacts_tags", "tags", postgresql_using="gin"),
        CheckConstraint("(phone_sealed IS NULL) = (phone_hash IS NULL)", "phone"),
        CheckConstraint("(email_sealed IS NULL) = (email_hash IS NULL)", "email"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    phone_sealed: Mapped[bytes | None] = mapped_column(Sealed("phone"))  # E.164
    phone_hash: Mapped[bytes | None]  # ShopCipher.lookup of the E.164 form, 16 bytes
    phone_country: Mapped[str | None] = mapped_column(Text)  # of the number: what a text to it costs goes by this
    email_sealed: Mapped[bytes | None] = mapped_column(Sealed("email"))
    email_hash: Mapped[bytes | None]  # of the lower-cased address
    first_name_sealed: Mapped[bytes | None] = mapped_column(Sealed("first_name"))
    last_name_sealed: Mapped[bytes | None] = mapped_column(Sealed("last_name"))
    # platform.gsm.signed_size of the names, in clear, so that a campaign's price can be summed in the database.
    first_name_size: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    last_name_size: Mapped[int] = mapped_column(SmallInteger, default=0, server_default=text("0"))
    country: Mapped[str | None] = mapped_column(Text)  # where the person lives: the address's, else the number's
    zone: Mapped[str] = mapped_column(Text)  # IANA name; never empty, the shop's in the end
    zone_is_own: Mapped[bool] = mapped_column(default=False, server_default=false())  # told by the person, not derived
    locale: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=text("'{}'"))
    total_spent_minor: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # hundredths of the currency
    orders_count: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    shopify_customer_id: Mapped[int | None]
    shopify_updated_at: Mapped[datetime | None]  # the customer's `updatedAt` that this contact was last read at
    # Keyed hash of what the last import wrote; NULL after any other edit, so that the next import writes again.
    fingerprint: Mapped[bytes | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    phone = SealedText("phone_sealed")
    email = SealedText("email_sealed")
    first_name = SealedText("first_name_sealed")
    last_name = SealedText("last_name_sealed")


class ContactImport(Base):
    """One file's import. `rows_read` grows with each chunk's commit, and is where a new run goes on."""

    __tablename__ = "contact_imports"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        Index("ix_contact_imports_open", "shop_id", "file_digest", postgresql_where=text("state <> 'completed'")),
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in rules.ImportState)})", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    filename: Mapped[str] = mapped_column(Text)
    file_digest: Mapped[bytes]  # SHA-256 of the whole file: what is resumed is the same file
    mapping: Mapped[dict[str, Any]] = mapped_column(JSONB)  # our field → header in the file
    state: Mapped[str] = mapped_column(Text, default=rules.ImportState.RUNNING)
    dry_run: Mapped[bool] = mapped_column(default=False, server_default=false())  # counted only; no contact was touched
    rows_total: Mapped[int] = mapped_column(Integer)
    rows_read: Mapped[int] = mapped_column(Integer, default=0)
    created: Mapped[int] = mapped_column(Integer, default=0)
    updated: Mapped[int] = mapped_column(Integer, default=0)
    unchanged: Mapped[int] = mapped_column(Integer, default=0)
    refused: Mapped[int] = mapped_column(Integer, default=0)
    refused_by_code: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict)
    tallies: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict)  # what the caller's `on_chunk` counted
    attested_by: Mapped[str | None] = mapped_column(Text)
    attested_wording: Mapped[str | None] = mapped_column(Text)
    attested_at: Mapped[datetime | None]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    fault: Mapped[str | None] = mapped_column(Text)  # why it stopped half-way, for a person


class ImportRefusal(Base):
    """A line that was not imported, and why. The text quotes values masked only; the line itself is kept for a while,
    for the merchant to correct."""

    __tablename__ = "import_refusals"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        ForeignKeyConstraint(
            ["shop_id", "import_id"], ["contact_imports.shop_id", "contact_imports.id"], ondelete="CASCADE"
        ),
        Index(None, "shop_id", "import_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    import_id: Mapped[int]
    line: Mapped[int] = mapped_column(Integer)  # where the record begins in the file, counted from 1
    column: Mapped[str | None] = mapped_column(Text)  # the file's own header
    code: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    cells_sealed: Mapped[bytes | None] = mapped_column(Sealed("refused_line"))  # its cells: JSON, a list of texts

    cells = SealedText("cells_sealed")


class ImportKey(Base):
    """Which phones and customer ids a running import has met, and on which line; emptied when it ends.

    It finds doubles across the whole file with no memory that grows, and survives a kill together with the chunk.
    """

    __tablename__ = "contact_import_keys"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "import_id"], ["contact_imports.shop_id", "contact_imports.id"], ondelete="CASCADE"
        ),
    )

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    import_id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[bytes] = mapped_column(primary_key=True)  # a phone's hash, or a customer id in 8 bytes
    line: Mapped[int] = mapped_column(Integer)
