"""Consent by phone, so that an opt-out outlives the contact, and the events that led to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
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
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.consent import rules
from blossom.platform.crypto import Sealed, SealedText
from blossom.platform.db import Base


def _one_of(column: str, values: type[rules.State] | type[rules.Source] | type[rules.Outcome]) -> str:
    return f"{column} IN ({', '.join(repr(v.value) for v in values)})"


class Consent(Base):
    """The state of one phone in one shop: the `to_state` of its last event. No row means never subscribed."""

    __tablename__ = "consents"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "contact_id"], ["contacts.shop_id", "contacts.id"], ondelete="SET NULL (contact_id)"
        ),
        # For the ON DELETE SET NULL, which would otherwise read the whole table for each contact that goes.
        Index(None, "shop_id", "contact_id"),
        Index("ix_consents_state", "shop_id", "state", "changed_at", "phone_hash"),  # a list of people by state
        CheckConstraint(_one_of("state", rules.State), "state"),
        CheckConstraint(_one_of("source", rules.Source), "source"),
    )

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    phone_hash: Mapped[bytes] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime]  # when the last event happened (not when we heard of it)
    source: Mapped[str] = mapped_column(Text)
    contact_id: Mapped[int | None]


class ConsentEvent(Base):
    """One change of consent. A trigger refuses to edit or remove it.

    `contact_id` is a note and no foreign key: setting it to NULL when the contact goes would be an edit.
    """

    __tablename__ = "consent_events"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        Index(None, "shop_id", "phone_hash", "id"),
        Index("ix_consent_events_opted_out", "shop_id", "occurred_at", postgresql_where=text("to_state = 'opted_out'")),
        CheckConstraint(_one_of("from_state", rules.State), "from_state"),
        CheckConstraint(_one_of("to_state", rules.State), "to_state"),
        CheckConstraint(_one_of("source", rules.Source), "source"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    phone_hash: Mapped[bytes]
    contact_id: Mapped[int | None]
    from_state: Mapped[str] = mapped_column(Text)
    to_state: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    wording: Mapped[str | None] = mapped_column(Text)  # what the person read when they agreed
    ip: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)
    actor: Mapped[str | None] = mapped_column(Text)  # who did it when not the person: a member of staff, an API key
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))


class ConsentSettings(Base):
    """How a shop asks for consent; a shop without a row has the defaults of `rules.Settings`."""

    __tablename__ = "consent_settings"

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    double_opt_in: Mapped[bool] = mapped_column(default=False, server_default=false())
    in_theme: Mapped[bool] = mapped_column(default=True, server_default=true())
    wordings: Mapped[dict[str, str]] = mapped_column(JSONB, default=dict, server_default=text("'{}'"))
    privacy_url: Mapped[str | None] = mapped_column(Text)
    join_keywords: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=text("'{}'"))


class OptInRequest(Base):
    """A form that a shopper sent. The row is stored before the answer; a job finds out what comes of it (`outcome`).

    The number stands here, sealed, for as long as it may be needed: till the outcome, or till the confirmation came or
    can't come any more. Of the confirmation's code only the SHA-256 is kept (it has 80 random bits and a day to live).
    """

    __tablename__ = "opt_in_requests"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "form_hash"),
        UniqueConstraint("shop_id", "code_hash"),
        ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        Index(None, "shop_id", "phone_hash", "asked_at"),
        Index("ix_opt_in_requests_asked_at", "shop_id", "asked_at", postgresql_where=text("asked_at IS NOT NULL")),
        Index("ix_opt_in_requests_new", "requested_at", postgresql_where=text("outcome IS NULL")),
        Index("ix_opt_in_requests_asked", "expires_at", postgresql_where=text("outcome = 'asked'")),
        Index("ix_opt_in_requests_settled", "requested_at", postgresql_where=text("outcome <> 'asked'")),
        Index("ix_opt_in_requests_texted", "dispatch_id", postgresql_where=text("dispatch_id IS NOT NULL")),
        CheckConstraint(_one_of("outcome", rules.Outcome), "outcome"),
        CheckConstraint("(outcome IS NULL OR outcome = 'asked') = (phone_sealed IS NOT NULL)", "phone_while_open"),
        CheckConstraint("outcome <> 'asked' OR (code_hash IS NOT NULL AND expires_at IS NOT NULL)", "code"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    form_hash: Mapped[bytes]  # keyed: the form and the number in it, so that a form sent twice counts once
    phone_sealed: Mapped[bytes | None] = mapped_column(Sealed("phone"))
    phone_hash: Mapped[bytes]
    phone_country: Mapped[str] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text)
    path_prefix: Mapped[str] = mapped_column(Text)  # where the shop's proxy stood, for the link in the text
    wording: Mapped[str] = mapped_column(Text)
    ip: Mapped[str | None] = mapped_column(Text)
    user_agent: Mapped[str | None] = mapped_column(Text)
    requested_at: Mapped[datetime]
    outcome: Mapped[str | None] = mapped_column(Text)
    asked_at: Mapped[datetime | None]
    code_hash: Mapped[bytes | None]
    expires_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    dispatch_id: Mapped[int | None]  # the text with the link, until its words are forgotten

    phone = SealedText("phone_sealed")


class ConsentPush(Base):
    """What Shopify is to be told of a phone's consent, or was: the last state counts, so there is a row for a phone.

    `revision` counts the changes; a push settles the one that it began with. `next_try_at` NULL: nothing is owed. Its
    index is for going from shop to shop, and in a shop from what is urgent to what is not.
    """

    __tablename__ = "consent_pushes"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        UniqueConstraint("shop_id", "phone_hash"),
        Index(
            "ix_consent_pushes_by_shop",
            *("shop_id", "urgency", "next_try_at"),
            postgresql_where=text("next_try_at IS NOT NULL"),
        ),
        CheckConstraint(f"urgency BETWEEN {min(rules.Urgency)} AND {max(rules.Urgency)}", "urgency"),
        CheckConstraint("next_try_at IS NOT NULL OR settled_at IS NOT NULL", "settled"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    phone_hash: Mapped[bytes]
    revision: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    tries: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))  # for this revision
    urgency: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))  # `rules.Urgency`, of this revision
    owed_since: Mapped[datetime]
    next_try_at: Mapped[datetime | None]
    in_hand_until: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]  # of the last revision that was
    told: Mapped[str | None] = mapped_column(Text)  # Shopify's word for what it holds by then; NULL: nothing to tell
    fault: Mapped[str | None] = mapped_column(Text)  # a code: of the last try, or why it was settled without success
    refusal_sealed: Mapped[bytes | None] = mapped_column(Sealed("refusal"))  # Shopify's words, which may quote a person

    refusal = SealedText("refusal_sealed")
