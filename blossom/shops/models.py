"""Tables of the tenant. Every other tenant table points here by `shop_id`."""

from __future__ import annotations

from datetime import datetime, time
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from blossom.platform.crypto import Sealed, SealedText
from blossom.platform.db import Base
from blossom.shops import rules


class Shop(Base):
    """A merchant's shop. `domain` is its myshopify domain."""

    __tablename__ = "shops"
    __table_args__ = (
        CheckConstraint("daily_cap IS NULL OR daily_cap > 0", "daily_cap"),
        CheckConstraint("weekly_cap IS NULL OR weekly_cap > 0", "weekly_cap"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(Text, unique=True)
    primary_domain: Mapped[str | None] = mapped_column(Text)  # where its own site is, as Shopify told; NULL: not yet
    # Where the app proxy stands there: as shopify.app.toml has it, until a request of Shopify's proves another place.
    proxy_path: Mapped[str] = mapped_column(Text, default=rules.PROXY_PATH, server_default=rules.PROXY_PATH)
    name: Mapped[str] = mapped_column(Text)
    timezone: Mapped[str] = mapped_column(Text, default="UTC")  # IANA name
    default_country: Mapped[str] = mapped_column(Text, default="US")  # ISO 3166-1 alpha-2; reads national numbers
    currency: Mapped[str | None] = mapped_column(Text)  # ISO 4217, as Shopify told; NULL: not yet
    sender: Mapped[str] = mapped_column(Text)  # 3 to 11 letters and digits, or E.164
    contact_line: Mapped[str] = mapped_column(Text, default="")  # how a shopper reaches the shop, in HELP's answer
    opt_out_text: Mapped[str] = mapped_column(Text, default="Reply STOP to opt out")
    stop_keywords: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)  # beside the built-in ones
    quiet_hours_on: Mapped[bool] = mapped_column(default=True)
    quiet_from: Mapped[time] = mapped_column(default=rules.QUIET_FROM)  # local time of the recipient
    quiet_until: Mapped[time] = mapped_column(default=rules.QUIET_UNTIL)
    daily_cap: Mapped[int | None] = mapped_column(SmallInteger)  # marketing texts a person; NULL: no cap
    weekly_cap: Mapped[int | None] = mapped_column(SmallInteger)
    traffic_account_id: Mapped[str | None] = mapped_column(Text)  # Mitto's; NULL: the installation's own
    created_at: Mapped[datetime]
    uninstalled_at: Mapped[datetime | None]


class TrialNumber(Base):
    """A number of the shop's own, which test sends offer."""

    __tablename__ = "trial_numbers"
    __table_args__ = (UniqueConstraint("shop_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    phone_sealed: Mapped[bytes] = mapped_column(Sealed("phone"))  # E.164

    phone = SealedText("phone_sealed")


class ApiKey(Base):
    """A key of the JSON API. Only its SHA-256 is kept (the key has 256 random bits, so no salt is needed)."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("shop_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)  # the first characters, to tell keys apart in a list
    digest: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Installation(Base):
    """A shop's access to Shopify: a pair of tokens, replaced together (`generation` counts that up).

    Who wants to replace them holds `claim` until `claimed_until`, and no transaction: see `service/access.py`.
    """

    __tablename__ = "installations"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        CheckConstraint("(claim IS NULL) = (claimed_until IS NULL)", "claim"),
        CheckConstraint("access_token_sealed IS NOT NULL OR refresh_token_sealed IS NULL", "tokens"),
        Index(None, "refresh_expires_at", postgresql_where=text("refresh_token_sealed IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)  # as Shopify last told; granted
    scopes_changed_at: Mapped[datetime | None]  # at Shopify: an older word doesn't overwrite a newer one
    access_token_sealed: Mapped[bytes | None] = mapped_column(Sealed("access_token"))
    access_expires_at: Mapped[datetime | None]  # NULL with a token: it doesn't expire
    refresh_token_sealed: Mapped[bytes | None] = mapped_column(Sealed("refresh_token"))
    refresh_expires_at: Mapped[datetime | None]
    generation: Mapped[int] = mapped_column(default=0)
    claim: Mapped[UUID | None]
    claimed_until: Mapped[datetime | None]
    access_lost_at: Mapped[datetime | None]  # Shopify refused the refresh token; a merchant's next visit mends it
    granted_at: Mapped[datetime | None]  # when a merchant's visit last gave tokens; NULL: never yet
    described_at: Mapped[datetime | None]  # when name, zone and country were read from Shopify

    access_token = SealedText("access_token_sealed")
    refresh_token = SealedText("refresh_token_sealed")

    @property
    def has_access(self) -> bool:
        """Whether Shopify can be called for the shop, as far as we know."""
        return self.access_token_sealed is not None and self.access_lost_at is None


class StaffMember(Base):
    """Somebody of a shop's staff, by their number at Shopify. No name and no address: Shopify knows those."""

    __tablename__ = "staff_members"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "shopify_user_id"),
        CheckConstraint("(scopes IS NULL) = (scopes_read_at IS NULL)", "scopes"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    shopify_user_id: Mapped[int]
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text))  # what Shopify lets them do through the app
    scopes_read_at: Mapped[datetime | None]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
