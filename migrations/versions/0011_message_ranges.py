"""Messages stand in ranges of ids and go by phone; two indexes and no foreign key a row. See docs/decisions/0016.

A message's id becomes its dispatch's × 10,000,000 and its place in it, and a batch says from which id to which its
messages stand. What the foreign key to the dispatch held is held by a trigger that looks once a statement. The column
`contact_id` goes: a message is to a phone, by whose hash the contact is found, as its consent is.

Existing messages get new ids, in the manifests of attempts as well. The version before can't work on this schema, nor
this version on the one before, and a worker that is in a call would record it under ids that are no more: so nothing
may be on its way, all processes have to be stopped, and it is refused otherwise. For databases of before the first
release.

Revision: 0011
"""

from __future__ import annotations

import struct

from alembic import op
from sqlalchemy import text

revision = "0011"
down_revision = "0010"

_ENTRY = struct.Struct(">qHI8s")  # an entry of attempts.manifest; its first field is the message's id

_RENUMBER = """
ALTER TABLE messages DROP CONSTRAINT fk_messages_batch;
ALTER TABLE messages DROP CONSTRAINT fk_messages_contact;
DROP INDEX ix_messages_contact;
DROP INDEX ix_messages_batch;
ALTER TABLE messages DROP CONSTRAINT uq_messages_dispatch_id_phone_hash;
ALTER TABLE messages DROP COLUMN contact_id;
ALTER TABLE messages ALTER COLUMN id DROP IDENTITY;

CREATE TEMPORARY TABLE renumbered ON COMMIT DROP AS
SELECT id AS before, dispatch_id * 10000000 + row_number() OVER (PARTITION BY dispatch_id ORDER BY id) AS after
FROM messages;
ALTER TABLE renumbered ADD PRIMARY KEY (before);
ALTER TABLE messages DROP CONSTRAINT pk_messages;
UPDATE messages m SET id = r.after FROM renumbered r WHERE m.id = r.before;
ALTER TABLE messages ADD CONSTRAINT pk_messages PRIMARY KEY (id);
ALTER TABLE messages ADD CONSTRAINT uq_messages_phone_hash_dispatch_id UNIQUE (phone_hash, dispatch_id);
UPDATE provider_messages p SET message_id = r.after FROM renumbered r WHERE p.message_id = r.before;
UPDATE receipts p SET message_id = r.after FROM renumbered r WHERE p.message_id = r.before;

CREATE INDEX ix_dispatches_created ON dispatches (shop_id, created_at);
ALTER TABLE batches ADD COLUMN first_id bigint, ADD COLUMN last_id bigint;
UPDATE batches b
SET first_id = coalesce(m.first_id, b.dispatch_id * 10000000 + 1),
    last_id = coalesce(m.last_id, b.dispatch_id * 10000000)
FROM batches own LEFT JOIN (
    SELECT dispatch_id, batch_number, min(id) AS first_id, max(id) AS last_id FROM messages GROUP BY 1, 2
) m ON m.dispatch_id = own.dispatch_id AND m.batch_number = own.number
WHERE b.dispatch_id = own.dispatch_id AND b.number = own.number;
ALTER TABLE batches ALTER COLUMN first_id SET NOT NULL, ALTER COLUMN last_id SET NOT NULL;
ALTER TABLE batches ADD CONSTRAINT ck_batches_within_dispatch
    CHECK (first_id > dispatch_id * 10000000 AND last_id < (dispatch_id + 1) * 10000000);
"""

_LINKS = """
CREATE FUNCTION check_messages_have_dispatches() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT shop_id, dispatch_id FROM added) link
        WHERE NOT EXISTS (
            SELECT FROM dispatches d WHERE d.shop_id = link.shop_id AND d.id = link.dispatch_id
        )
    ) THEN
        RAISE foreign_key_violation USING MESSAGE = 'a message names a dispatch that its shop does not have';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER messages_have_dispatches AFTER INSERT ON messages
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_messages_have_dispatches();

CREATE FUNCTION refuse_message_to_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE foreign_key_violation USING MESSAGE = 'a message stays with its shop and its dispatch';
END $$;
CREATE TRIGGER messages_stay BEFORE UPDATE OF shop_id, dispatch_id ON messages
    FOR EACH ROW WHEN ((OLD.shop_id, OLD.dispatch_id) IS DISTINCT FROM (NEW.shop_id, NEW.dispatch_id))
    EXECUTE FUNCTION refuse_message_to_move();

CREATE FUNCTION check_dispatch_has_no_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM messages m
        WHERE m.id BETWEEN OLD.id * 10000000 AND (OLD.id + 1) * 10000000 AND m.dispatch_id = OLD.id
    ) THEN
        RAISE foreign_key_violation USING MESSAGE = 'the dispatch has messages';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER dispatches_keep_messages BEFORE DELETE ON dispatches
    FOR EACH ROW EXECUTE FUNCTION check_dispatch_has_no_messages();
"""

_BACK = """
DROP TRIGGER dispatches_keep_messages ON dispatches;
DROP FUNCTION check_dispatch_has_no_messages();
DROP TRIGGER messages_stay ON messages;
DROP FUNCTION refuse_message_to_move();
DROP TRIGGER messages_have_dispatches ON messages;
DROP FUNCTION check_messages_have_dispatches();
DROP INDEX ix_dispatches_created;
ALTER TABLE batches DROP CONSTRAINT ck_batches_within_dispatch;
ALTER TABLE batches DROP COLUMN first_id, DROP COLUMN last_id;
ALTER TABLE messages DROP CONSTRAINT uq_messages_phone_hash_dispatch_id;
ALTER TABLE messages ADD CONSTRAINT uq_messages_dispatch_id_phone_hash UNIQUE (dispatch_id, phone_hash);
ALTER TABLE messages ADD COLUMN contact_id bigint;
UPDATE messages m SET contact_id = c.id FROM contacts c WHERE c.shop_id = m.shop_id AND c.phone_hash = m.phone_hash;
ALTER TABLE messages ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY;
SELECT setval(pg_get_serial_sequence('messages', 'id'), coalesce((SELECT max(id) FROM messages), 1));
CREATE INDEX ix_messages_batch ON messages (dispatch_id, batch_number);
CREATE INDEX ix_messages_contact ON messages (contact_id, created_at);
ALTER TABLE messages ADD CONSTRAINT fk_messages_batch FOREIGN KEY (shop_id, dispatch_id, batch_number)
    REFERENCES batches (shop_id, dispatch_id, number) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE messages ADD CONSTRAINT fk_messages_contact FOREIGN KEY (shop_id, contact_id)
    REFERENCES contacts (shop_id, id) ON DELETE SET NULL (contact_id);
"""


_STANDSTILL = """
LOCK TABLE dispatches, batches, attempts;
DO $$ BEGIN
    IF EXISTS (SELECT FROM attempts WHERE state IN ('claimed', 'calling'))
       OR EXISTS (SELECT FROM dispatches WHERE state IN ('preparing', 'sending')) THEN
        RAISE object_in_use USING MESSAGE =
            'campaigns are on their way: pause them, wait until no call is open, stop all processes, then try again';
    END IF;
END $$;
"""


def upgrade() -> None:
    op.execute(_STANDSTILL)
    op.execute(_RENUMBER)
    _renumber_manifests()
    op.execute(_LINKS)


def _renumber_manifests() -> None:
    connection = op.get_bind()
    for attempt in connection.execute(text("SELECT id, manifest FROM attempts WHERE manifest IS NOT NULL")).all():
        entries = list(_ENTRY.iter_unpack(bytes(attempt.manifest)))
        found = connection.execute(
            text("SELECT before, after FROM renumbered WHERE before = ANY(:ids)"),
            {"ids": [entry[0] for entry in entries]},
        )
        after = {row.before: row.after for row in found}
        packed = b"".join(_ENTRY.pack(after[entry[0]], *entry[1:]) for entry in entries if entry[0] in after)
        connection.execute(
            text("UPDATE attempts SET manifest = :manifest WHERE id = :id"), {"manifest": packed, "id": attempt.id}
        )


def downgrade() -> None:
    op.execute(_STANDSTILL)
    op.execute(_BACK)
