"""Tables of the send. Their shape is chosen for bulk statements; see docs/decisions/0004.

A **dispatch** is the texting of one audience. Its **messages** (one a recipient) are grouped in **batches**; a batch
is what a worker claims. An **attempt** is one claim of a batch and, if it came to that, the one call made for it.
`messages` is updated twice in a life (recorded, receipt) and no index holds a column that changes then, so both
updates stay heap-only. That is why provider ids have a table of their own. Where messages stand, by their ids, is told
in rules/message_ids.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Interval,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from blossom.messaging.rules.message_ids import SPAN
from blossom.platform.crypto import Sealed, SealedText
from blossom.platform.db import Base


def _one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", column)


class Dispatch(Base):
    """The texting of one audience. `rank` puts automations before campaigns; `priority` orders within a shop.

    One that tests several texts has all of them in `dispatch_texts`; its `source` then is `rules.texts.SEVERAL`.
    `decide_after`: how long after the test's last call the winner is decided by clicks; NULL: somebody chooses, or
    nobody is to get it. `winner`: the number of the text that the rest gets; `winner_chosen_by`: "clicks", or who did.
    """

    __tablename__ = "dispatches"
    __table_args__ = (
        UniqueConstraint("shop_id", "id"),
        _one_of("kind", "campaign", "test", "automation", "reply", "stop_reply", "confirmation"),
        _one_of("state", "preparing", "sending", "paused", "completed", "failed", "cancelled"),
        CheckConstraint("(finished_at IS NOT NULL) = (state IN ('completed', 'failed', 'cancelled'))", "finished_at"),
        CheckConstraint("winner BETWEEN 0 AND 3", "winner"),
        CheckConstraint(
            "(winner IS NULL) = (winner_at IS NULL) AND (winner IS NULL) = (winner_chosen_by IS NULL)", "winner_chosen"
        ),
        ForeignKeyConstraint(
            ["shop_id", "reservation_id"], ["reservations.shop_id", "reservations.id"], name="fk_dispatches_reservation"
        ),
        Index("ix_dispatches_created", "shop_id", "created_at"),
        Index("ix_dispatches_finished", "finished_at"),  # for the operator: what ended in the last day
        Index("ix_dispatches_open", "shop_id", "id", postgresql_where=text("finished_at IS NULL")),
        Index(
            "ix_dispatches_undecided",
            "id",
            postgresql_where=text("finished_at IS NULL AND winner IS NULL AND decide_after IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    kind: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    rank: Mapped[int] = mapped_column(SmallInteger)
    priority: Mapped[int] = mapped_column(SmallInteger)
    source: Mapped[str] = mapped_column(Text)  # Liquid, with the opt-out line
    trigger: Mapped[str] = mapped_column(Text)
    sender: Mapped[str] = mapped_column(Text)
    audience: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    not_before: Mapped[datetime | None]
    local_at: Mapped[str | None] = mapped_column(Text)  # ISO date and time without zone: read in each recipient's own
    on_change: Mapped[str | None] = mapped_column(Text)  # job told (shop_id, dispatch_id) when the dispatch ends
    reservation_id: Mapped[int | None]
    price_list_id: Mapped[int | None]
    total: Mapped[int] = mapped_column(Integer, default=0)
    left_out: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict)  # reason → people never made a message for
    failure_code: Mapped[str | None] = mapped_column(Text)
    failure_text: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    prepared_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    decide_after: Mapped[timedelta | None] = mapped_column(Interval)
    winner: Mapped[int | None] = mapped_column(SmallInteger)
    winner_at: Mapped[datetime | None]
    winner_chosen_by: Mapped[str | None] = mapped_column(Text)


class DispatchText(Base):
    """One of the texts that a dispatch tests, from 0; a dispatch of one text has none. `share`: whole per cent of the
    audience that get it in the test. `links_before`: short links in the texts before it, so that a link's number
    tells its text."""

    __tablename__ = "dispatch_texts"
    __table_args__ = (
        ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        CheckConstraint("number BETWEEN 0 AND 3", "number"),
        CheckConstraint("share BETWEEN 1 AND 100", "share"),
        CheckConstraint("links_before BETWEEN 0 AND 63", "links_before"),
        Index(None, "shop_id", "dispatch_id"),  # for a shop that is forgotten
    )

    dispatch_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    source: Mapped[str] = mapped_column(Text)  # Liquid, with the opt-out line
    share: Mapped[int] = mapped_column(SmallInteger)
    links_before: Mapped[int] = mapped_column(SmallInteger)


class Batch(Base):
    """Up to a bulk call's worth of messages, claimed as one. The counts are of messages now in that state.

    `text_number`: which of its dispatch's texts its people get; NULL: the winner of a test, which is not known yet, so
    nobody may claim it.
    """

    __tablename__ = "batches"
    __table_args__ = (
        ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),
        UniqueConstraint("shop_id", "dispatch_id", "number"),
        _one_of("state", "pending", "claimed", "done", "cancelled"),
        *(
            CheckConstraint(f"{count} >= 0", count)
            for count in ("sent", "delivered", "failed", "skipped", "cancelled", "unconfirmed")
        ),
        CheckConstraint("sent + delivered + failed + skipped + cancelled + unconfirmed <= size", "within_size"),
        CheckConstraint(f"first_id > dispatch_id * {SPAN} AND last_id < (dispatch_id + 1) * {SPAN}", "within_dispatch"),
        CheckConstraint("text_number BETWEEN 0 AND 3", "text_number"),
        Index(
            "ix_batches_due",
            "dispatch_id",
            "due_at",
            "number",
            postgresql_where=text("state = 'pending' AND text_number IS NOT NULL"),
        ),
        Index("ix_batches_open", "dispatch_id", postgresql_where=text("state IN ('pending', 'claimed')")),
        Index("ix_batches_unconfirmed", "shop_id", postgresql_where=text("unconfirmed > 0")),
    )

    dispatch_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    state: Mapped[str] = mapped_column(Text)  # pending, claimed, done, cancelled
    due_at: Mapped[datetime]
    valid_until: Mapped[datetime]  # after this its pending messages are skipped
    size: Mapped[int] = mapped_column(Integer)
    first_id: Mapped[int]  # its messages stand from this id to `last_id`; others may stand between them
    last_id: Mapped[int]
    sent: Mapped[int] = mapped_column(Integer, default=0)
    delivered: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[int] = mapped_column(Integer, default=0)
    skipped: Mapped[int] = mapped_column(Integer, default=0)
    cancelled: Mapped[int] = mapped_column(Integer, default=0)
    unconfirmed: Mapped[int] = mapped_column(Integer, default=0)
    tries: Mapped[int] = mapped_column(SmallInteger, default=0)  # transient failures in a row
    recorded_at: Mapped[datetime | None]  # when an attempt on it last ended
    text_number: Mapped[int | None] = mapped_column(SmallInteger, default=0)


class Message(Base):
    """One text to one person, who is known by their phone as it was when the audience was fixed: names and consent are
    found by its hash. That its dispatch is its shop's is held by a trigger (migration 0011), once a statement: a
    foreign key looks once a row.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("phone_hash", "dispatch_id"),  # one person, one text; and all that a phone ever got
        _one_of("state", "pending", "sent", "delivered", "failed", "cancelled", "skipped", "unconfirmed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # rules/message_ids.py
    shop_id: Mapped[int]
    dispatch_id: Mapped[int]
    batch_number: Mapped[int] = mapped_column(Integer)
    phone_sealed: Mapped[bytes | None] = mapped_column(Sealed("phone"))  # NULL: its person is forgotten
    phone_hash: Mapped[bytes]  # of who is forgotten: random
    country: Mapped[str] = mapped_column(Text)
    zone: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)  # of a skip
    error: Mapped[str | None] = mapped_column(Text)  # code of a failure
    delivery_status: Mapped[str | None] = mapped_column(Text)  # the provider's raw word
    provider_message_id: Mapped[str | None] = mapped_column(Text)
    attempt_id: Mapped[int | None]  # the last that called for it; no foreign key, so that attempts can be pruned
    retry_count: Mapped[int] = mapped_column(SmallInteger, default=0)
    segments: Mapped[int] = mapped_column(SmallInteger, default=0)
    credits: Mapped[int] = mapped_column(Integer, default=0)  # what this person's texts cost, net of refunds
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]

    phone = SealedText("phone_sealed")


class EarlierTry(Base):
    """How a message that was sent again had ended before: what sending it again took out of its row. Tries count from
    0; the last one is the message itself."""

    __tablename__ = "earlier_tries"
    __table_args__ = (ForeignKeyConstraint(["shop_id", "dispatch_id"], ["dispatches.shop_id", "dispatches.id"]),)

    message_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column("try", Integer, primary_key=True, autoincrement=False)
    shop_id: Mapped[int]
    dispatch_id: Mapped[int]
    batch_number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    delivery_status: Mapped[str | None] = mapped_column(Text)
    provider_message_id: Mapped[str | None] = mapped_column(Text)
    attempt_id: Mapped[int | None]
    sent_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    again_at: Mapped[datetime]


class ProviderMessage(Base):
    """The provider's id of a text → our message. A retried message has several."""

    __tablename__ = "provider_messages"

    provider_message_id: Mapped[str] = mapped_column(Text, primary_key=True)
    shop_id: Mapped[int]
    message_id: Mapped[int]


class Attempt(Base):
    """One claim of a batch by one worker.

    `claimed` (no call begun; given back when its worker is lost) → `calling` (written right before the call; a lost
    worker leaves its messages unconfirmed) → one of `recorded`, `returned` (nothing taken, the batch goes back),
    `refused` (split or failed), `unknown`, `lost`, `given_back`.
    `manifest` holds what was in the call (rules/manifest.py), kept until an outcome is known.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["shop_id", "dispatch_id", "batch_number"], ["batches.shop_id", "batches.dispatch_id", "batches.number"]
        ),
        _one_of("state", "claimed", "calling", "recorded", "returned", "refused", "unknown", "lost", "given_back"),
        Index("ix_attempts_open", "lease_until", postgresql_where=text("state IN ('claimed', 'calling')")),
        Index("ix_attempts_batch", "dispatch_id", "batch_number"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int]
    dispatch_id: Mapped[int]
    batch_number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    worker: Mapped[str] = mapped_column(Text)
    claimed_at: Mapped[datetime]
    lease_until: Mapped[datetime]
    called_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    credits: Mapped[int] = mapped_column(Integer, default=0)  # the most that the call can cost
    bulk_id: Mapped[str | None] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(Text)  # of a SendError
    manifest: Mapped[bytes | None]


class SendTurn(Base):
    """When a shop last had a batch claimed: shops take turns, the longest waiting first."""

    __tablename__ = "send_turns"

    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"), primary_key=True)
    served_at: Mapped[datetime]


class Receipt(Base):
    """The provider's word on a text, stored before it is acknowledged. `fingerprint` makes a repeat one row.

    States: `new` → `applied`, `orphan` (no message has this id yet), `refused` (names another shop's message),
    `abandoned` (an orphan that the provider could not explain in time), `stuck` (it can't be applied: see the log;
    `new` again, once that is mended, has it applied).
    """

    __tablename__ = "receipts"
    __table_args__ = (
        _one_of("state", "new", "applied", "orphan", "refused", "abandoned", "stuck"),
        Index("ix_receipts_new", "id", postgresql_where=text("state = 'new'")),
        Index("ix_receipts_orphan", "provider_message_id", postgresql_where=text("state = 'orphan'")),
        Index("ix_receipts_provider_message_id", "provider_message_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes] = mapped_column(unique=True)
    provider_message_id: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    named_shop_id: Mapped[int | None]  # the shop that the webhook's address named, if it did
    shop_id: Mapped[int | None]  # of the message, once found
    message_id: Mapped[int | None]
    state: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime | None]
    asked_times: Mapped[int] = mapped_column(SmallInteger, default=0)
    applied_at: Mapped[datetime | None]
