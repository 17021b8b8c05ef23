"""Shopify's webhooks, and what people may ask by them: to see, to be forgotten."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from blossom.inbound.rules.webhooks import WebhookState
from blossom.platform.crypto import Sealed, SealedText
from blossom.platform.db import Base


class ShopifyWebhook(Base):
    """A webhook of Shopify's, stored once by its id. `new` until it is handled, which a job or the clock sees to.

    The payload is sealed under the shop's key as Shopify sent it, and goes some days after the webhook was done with.
    """

    __tablename__ = "shopify_webhooks"
    __table_args__ = (
        CheckConstraint(f"state IN ({', '.join(repr(s.value) for s in WebhookState)})", "state"),
        CheckConstraint("(state = 'new') = (next_try_at IS NOT NULL)", "next_try_at"),
        CheckConstraint("(state = 'new') = (ended_at IS NULL)", "ended_at"),
        CheckConstraint("state = 'new' OR in_hand_until IS NULL", "in_hand_until"),
        CheckConstraint("state <> 'new' OR (shop_id IS NOT NULL AND payload_sealed IS NOT NULL)", "payload"),
        Index(
            "ix_shopify_webhooks_waiting",
            "topic",
            "shop_id",
            "next_try_at",
            "id",
            postgresql_where=text("state = 'new'"),
        ),
        Index("ix_shopify_webhooks_in_hand", "shop_id", postgresql_where=text("in_hand_until IS NOT NULL")),
        Index("ix_shopify_webhooks_open", "state", "id", postgresql_where=text("state = 'dead'")),
        Index("ix_shopify_webhooks_ended", "ended_at", postgresql_where=text("state IN ('done', 'ignored')")),
        Index(
            "ix_shopify_webhooks_kept",
            "ended_at",
            postgresql_where=text("state IN ('done', 'ignored') AND payload_sealed IS NOT NULL"),
        ),
        Index(None, "shop_id", "id"),  # for `keys rotate`, which goes through a shop's rows
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[str] = mapped_column(Text, unique=True)  # Shopify's; a repeat has the same
    event_id: Mapped[str | None] = mapped_column(Text)  # Shopify's; webhooks of several topics may share one
    topic: Mapped[str] = mapped_column(Text)
    shop_domain: Mapped[str] = mapped_column(Text)  # as the header had it
    shop_id: Mapped[int | None] = mapped_column(ForeignKey("shops.id"))  # NULL: no such shop here
    api_version: Mapped[str | None] = mapped_column(Text)
    triggered_at: Mapped[datetime | None]  # by Shopify's clock
    received_at: Mapped[datetime]
    payload_sealed: Mapped[bytes | None] = mapped_column(Sealed("webhook"))  # JSON
    state: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str | None] = mapped_column(Text)  # rules.webhooks.Outcome
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)  # begun; written down before each
    next_try_at: Mapped[datetime | None]
    in_hand_until: Mapped[datetime | None]  # a worker has it; of a shop only one at a time
    fault: Mapped[str | None] = mapped_column(Text)  # of the last try: a code or an error's name, no value
    ended_at: Mapped[datetime | None]

    payload = SealedText("payload_sealed")


class Erasure(Base):
    """What is still to be forgotten, after what could be at once: texts of a person, or (`phone_hashes` NULL) all that
    is a shop's. The row goes when that is done."""

    __tablename__ = "erasures"
    __table_args__ = (UniqueConstraint("shop_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    customer: Mapped[int | None]  # their number at Shopify
    phone_hashes: Mapped[list[bytes] | None] = mapped_column(ARRAY(LargeBinary))
    asked_at: Mapped[datetime]
    looked_up_to: Mapped[int] = mapped_column(server_default=text("0"))  # the last webhook that was opened for it


class DataExport(Base):
    """All that was held on a person when they asked, for the merchant to hand on; goes when it expires."""

    __tablename__ = "data_exports"
    __table_args__ = (UniqueConstraint("shop_id", "id"), Index(None, "expires_at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    customer: Mapped[int | None]  # their number at Shopify
    phone_hashes: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    fetched_at: Mapped[datetime | None]  # by the merchant, the last time
    content_sealed: Mapped[bytes] = mapped_column(Sealed("data_export"))  # JSON

    content = SealedText("content_sealed")
