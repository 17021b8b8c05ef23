"""A shop's years in minutes: contacts, campaigns, their texts and what became of them, written by the database itself.

Rows are as the app would have left them, but for what no page looks at; of the people the first `KNOWN` have numbers
that can be searched for, the others a hash alone. All of a shop's history is a function of its `Size`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
from sqlalchemy import select

from blossom.campaigns import service as campaigns
from blossom.contacts.models import Contact
from blossom.messaging.rules import message_ids
from blossom.platform import clock, crypto, db, gsm
from blossom.shops import service as shops
from blossom.shops.models import Installation, StaffMember
from blossom.wallet import service as wallet

DOMAIN = "bench.myshopify.com"
SCOPES = ("read_customers", "write_customers", "read_orders")
KNOWN = 200
PHONE = "+306900000007"
"""Of a person who is there whatever the size."""

BATCH = 500
OF_50 = {"failed": 2, "skipped": 1, "sent": 1, "unconfirmed": 1, "delivered": 45}
"""What becomes of each fifty texts; so sizes are multiples of fifty."""

NAMES = ("Eleni", "Nikos", "Maria", "Giorgos", "Sofia", "Alexandra", "Jo", "Konstantina", "Dimitris", "Anna")
BODY = "Hi {{ first_name | default: 'there' }}, 20% off: {{ 'https://bench.example' | shortlink }}. Reply STOP"


@dataclass(frozen=True)
class Size:
    """`campaigns` small ones of `texts` texts each, sent one every 2.6 h up to now; beside them four of `crowd` texts:
    two done, one half-way, one paused. `others`: texts of each of ten other shops."""

    contacts: int
    campaigns: int
    texts: int
    crowd: int
    others: int

    @property
    def messages(self) -> int:
        return self.campaigns * self.texts + 4 * self.crowd + OTHER_SHOPS * self.others


OTHER_SHOPS = 10
LARGE = Size(contacts=1_000_000, campaigns=10_000, texts=100, crowd=1_000_000, others=500_000)
SMALL = Size(contacts=1_500, campaigns=200, texts=50, crowd=1_200, others=50)
"""A campaign of a thousand and no fewer: below that its figures are counted in the request, which costs more."""


def fill(connection: psycopg.Connection, size: Size) -> dict[str, str]:
    """Make the shop `DOMAIN` of this size, in the app's context and an empty database; what is in it, by name."""
    shop_id = _open_shop()
    others = [_open_other(number) for number in range(OTHER_SHOPS)]
    writer = _Writer(connection, size, shop_id, others)
    writer.write()
    with db.transaction():
        for campaign_id in range(size.campaigns + 1, size.campaigns + 5):
            campaigns.count_tally(shop_id, campaign_id)
    with db.transaction() as session:
        lookup = crypto.for_shop(shop_id).lookup(PHONE)
        contact = session.scalar(select(Contact.id).where(Contact.shop_id == shop_id, Contact.phone_hash == lookup))
    done = size.campaigns + 1
    with db.transaction():
        key, _ = shops.create_api_key(shop_id, "Bench", ["campaigns:read"])
    return {
        "key": str(key.id),
        "shop": str(shop_id),
        "campaign": str(done),
        "message": str(message_ids.of_dispatch(done).first + 7),
        "sending": str(done + 2),
        "paused": str(done + 3),
        "planned": str(done + 4),
        "draft": str(done + 14),
        "contact": str(contact),
        **writer.found,
    }


def install(shop_id: int) -> None:
    """As if a merchant had let the app in, and had been here."""
    now = clock.now()
    installation = Installation(
        shop_id=shop_id, scopes=list(SCOPES), granted_at=now, access_expires_at=now + timedelta(days=30),
        refresh_expires_at=now + timedelta(days=90), described_at=now,
    )  # fmt: skip
    installation.access_token, installation.refresh_token = "access", "refresh"
    seen = {"first_seen_at": now, "last_seen_at": now, "scopes": list(SCOPES), "scopes_read_at": now}
    db.session.add_all([installation, StaffMember(shop_id=shop_id, shopify_user_id=42, **seen)])


def _open_shop() -> int:
    with db.transaction():
        shop = shops.create_shop(
            domain=DOMAIN, name="Bench", sender="Bench", timezone="Europe/Athens", default_country="GR",
            contact_line="desk@bench.example", daily_cap=None, weekly_cap=None,
        )  # fmt: skip
        install(shop.id)
        wallet.open_wallet(shop.id)
        wallet.top_up(shop.id, 1_000_000_000, "bench")
        wallet.reserve(shop.id, 100_000_000, "bench", clock.now() + timedelta(days=30))
        return shop.id


def _open_other(number: int) -> int:
    with db.transaction():
        return shops.create_shop(domain=f"other-{number}.myshopify.com", name="Other", sender="Other").id


class _Writer:
    """Each statement is one pass. `found`: ids of what was made by the way."""

    def __init__(self, connection: psycopg.Connection, size: Size, shop_id: int, others: list[int]) -> None:
        with db.transaction():
            cipher = crypto.for_shop(shop_id)
        phones = [f"+3069{number:08d}" for number in range(1, KNOWN + 1)]
        self._run_on, self._others = connection, others
        self.found: dict[str, str] = {}
        self._values: dict[str, Any] = {
            "shop": shop_id, "contacts": size.contacts, "campaigns": size.campaigns, "texts": size.texts,
            "crowd": size.crowd, "others": size.others, "batch": BATCH, "known": KNOWN, "body": BODY,
            "phones": [cipher.seal(phone, "phone") for phone in phones],
            "hashes": [cipher.lookup(phone) for phone in phones],
            "names": [cipher.seal(name, "first_name") for name in NAMES],
            "sizes": [gsm.signed_size(name) for name in NAMES],
            "question": '{"match": "all", "conditions": [{"field": "orders", "operator": "at_least", "value": 3}]}',
            "refused": cipher.seal('["12"]', "refused_line"),
            "said": cipher.seal("Are you open on Sunday?", "inbound_text"),
        }  # fmt: skip

    def write(self) -> None:
        self._run("SET maintenance_work_mem = '1GB'")
        for statement in _PEOPLE:
            self._run(statement)
        ends = self._run("SELECT min(id), max(id) FROM contacts WHERE shop_id = %(shop)s")
        self._values |= {"first_contact": ends[0], "last_contact": ends[1]}
        unique = "ALTER TABLE messages DROP CONSTRAINT uq_messages_phone_hash_dispatch_id"
        self._run(unique)
        for statement in _CAMPAIGNS:
            self._run(statement)
        for number, shop_id in enumerate(self._others):
            self._run(_OTHER, dispatch=self._values["campaigns"] + 5 + number, other=shop_id)
        for statement in _MESSAGES:
            self._run(statement)
        self._run("ALTER TABLE messages ADD CONSTRAINT uq_messages_phone_hash_dispatch_id"
                  " UNIQUE (phone_hash, dispatch_id)")  # fmt: skip
        for statement in _AFTERWARDS:
            self._run(statement)
        self._run(_REPLIES)
        for name, statement in _NAMED.items():
            self.found[name] = str(self._run(statement)[0])
        self._run("VACUUM ANALYZE")

    def _run(self, statement: LiteralString, **more: Any) -> Any:
        """The first row, where there is one."""
        values = {**self._values, **more} if "%(" in statement else None
        found = self._run_on.execute(statement, values)
        return found.fetchone() if found.description else None


# Contact n is opted out, never subscribed, asked to confirm, or (seven of ten) opted in.
_PEOPLE: tuple[LiteralString, ...] = (
    """
    INSERT INTO contacts (shop_id, phone_sealed, phone_hash, phone_country, first_name_sealed, first_name_size, country,
                          zone, tags, orders_count, total_spent_minor, created_at, updated_at)
    SELECT %(shop)s, (%(phones)s::bytea[])[1 + (n - 1) %% %(known)s],
           CASE WHEN n <= %(known)s THEN (%(hashes)s::bytea[])[n] ELSE substring(sha256(('c' || n)::bytea) FOR 16) END,
           'GR', (%(names)s::bytea[])[1 + n %% 10], (%(sizes)s::smallint[])[1 + n %% 10],
           (ARRAY['GR', 'DE', 'FR', 'CY'])[1 + n %% 4], 'Europe/Athens',
           CASE WHEN n %% 20 = 0 THEN ARRAY['vip'] ELSE ARRAY[]::text[] END, n %% 7, n %% 977,
           now() - (%(contacts)s - n) * interval '30 seconds', now() - (%(contacts)s - n) * interval '30 seconds'
    FROM generate_series(1, %(contacts)s) AS n
    """,
    """
    INSERT INTO consents (shop_id, phone_hash, state, changed_at, source, contact_id)
    SELECT shop_id, phone_hash,
           CASE id %% 10 WHEN 0 THEN 'opted_out' WHEN 2 THEN 'pending' ELSE 'opted_in' END, created_at, 'import', id
    FROM contacts WHERE shop_id = %(shop)s AND id %% 10 <> 1
    """,
    """
    INSERT INTO consent_events (shop_id, phone_hash, contact_id, from_state, to_state, source, occurred_at, recorded_at)
    SELECT shop_id, phone_hash, contact_id, 'never_subscribed', state, source, changed_at, changed_at
    FROM consents WHERE shop_id = %(shop)s
    """,
)

# Campaign n's dispatch is n. After the small ones four of a crowd; then ten planned, ten drafts, ten failed.
_CAMPAIGNS: tuple[LiteralString, ...] = (
    """
    INSERT INTO dispatches (id, shop_id, kind, state, rank, priority, source, trigger, sender, audience, total,
                            created_at, prepared_at, finished_at)
    SELECT n, %(shop)s, 'campaign',
           CASE n - %(campaigns)s WHEN 3 THEN 'sending' WHEN 4 THEN 'paused' ELSE 'completed' END,
           2, 1, %(body)s, 'campaign', 'Bench', '{"all": true}',
           CASE WHEN n > %(campaigns)s THEN %(crowd)s ELSE %(texts)s END, at, at,
           CASE WHEN n - %(campaigns)s IN (3, 4) THEN NULL ELSE at + interval '1 hour' END
    FROM generate_series(1, %(campaigns)s + 4) AS n
    CROSS JOIN LATERAL (SELECT now() - (%(campaigns)s + 5 - n) * interval '156 minutes' AS at) AS begun
    """,
    """
    INSERT INTO campaigns (id, shop_id, name, body, audience, state, priority, dispatch_id, started_at, finished_at,
                           created_at, updated_at, version)
    SELECT id, shop_id, 'Campaign ' || id, source, audience, state, 'normal', id, prepared_at, finished_at,
           created_at, coalesce(finished_at, created_at), 1
    FROM dispatches WHERE shop_id = %(shop)s
    """,
    """
    INSERT INTO campaigns (id, shop_id, name, body, audience, state, priority, schedule_kind, scheduled_at, due_at,
                           finished_at, failure_code, failure_text, created_at, updated_at, version)
    SELECT %(campaigns)s + 4 + n, %(shop)s, 'Campaign ' || (%(campaigns)s + 4 + n), %(body)s, '{"all": true}', state,
           'normal', CASE state WHEN 'scheduled' THEN 'at' END, due, due,
           CASE state WHEN 'failed' THEN now() END, CASE state WHEN 'failed' THEN 'empty_audience' END,
           CASE state WHEN 'failed' THEN 'Nobody is left to text.' END, now(), now(), 1
    FROM generate_series(1, 30) AS n
    CROSS JOIN LATERAL (SELECT (ARRAY['scheduled', 'draft', 'failed'])[1 + (n - 1) / 10] AS state) AS kind
    CROSS JOIN LATERAL (SELECT CASE state WHEN 'scheduled' THEN now() + n * interval '1 day' END AS due) AS plan
    """,
    "SELECT setval(pg_get_serial_sequence('campaigns', 'id'), max(id)) FROM campaigns",
)

_OTHER: LiteralString = """
INSERT INTO dispatches (id, shop_id, kind, state, rank, priority, source, trigger, sender, total, created_at,
                        prepared_at, finished_at)
SELECT %(dispatch)s, %(other)s, 'campaign', 'completed', 2, 1, 'Hi', 'campaign', 'Other', %(others)s,
       at, at, at
FROM (SELECT now() - (%(dispatch)s - %(campaigns)s - 4) * interval '3 days' AS at) AS begun
"""

_MESSAGES: tuple[LiteralString, ...] = (
    "SELECT setval(pg_get_serial_sequence('dispatches', 'id'), max(id)) FROM dispatches",
    # A batch of a campaign that is under way: the first half is done, one is in hand, the others wait.
    """
    INSERT INTO batches (dispatch_id, number, shop_id, state, due_at, valid_until, size, first_id, last_id, delivered,
                         failed, skipped, sent, unconfirmed, recorded_at)
    SELECT d.id, b.number, d.shop_id, b.state, d.prepared_at, now() + interval '1 day', b.size, b.first,
           b.first + b.size - 1, done * b.size / 50 * 45, done * b.size / 50 * 2, done * b.size / 50,
           done * b.size / 50, done * b.size / 50,
           CASE WHEN done = 1 THEN d.prepared_at + b.number * interval '1 second' END
    FROM dispatches d CROSS JOIN LATERAL (
        SELECT n AS number, least(%(batch)s, d.total - n * %(batch)s) AS size,
               d.id * 10000000 + 1 + n::bigint * %(batch)s AS first,
               CASE WHEN d.finished_at IS NOT NULL OR n < d.total / %(batch)s / 2 THEN 'done'
                    WHEN d.state = 'sending' AND n = d.total / %(batch)s / 2 THEN 'claimed' ELSE 'pending' END AS state
        FROM generate_series(0, (d.total - 1) / %(batch)s) AS n
    ) b CROSS JOIN LATERAL (SELECT (b.state = 'done')::integer AS done) AS ended
    """,
    # Of the shop's own people in turn; of other shops' nobody who is known here.
    """
    INSERT INTO messages (id, shop_id, dispatch_id, batch_number, phone_sealed, phone_hash, country, zone, state, error,
                          reason, delivery_status, provider_message_id, segments, credits, created_at, sent_at,
                          delivered_at, failed_at)
    SELECT b.first_id + n, b.shop_id, b.dispatch_id, b.number, (%(phones)s::bytea[])[1 + (who - 1) %% %(known)s],
           CASE WHEN b.shop_id = %(shop)s AND who <= %(known)s THEN (%(hashes)s::bytea[])[who]
                WHEN b.shop_id = %(shop)s THEN substring(sha256(('c' || who)::bytea) FOR 16)
                ELSE substring(sha256(('o' || b.dispatch_id || '.' || place)::bytea) FOR 16) END,
           (ARRAY['GR', 'DE', 'FR', 'CY'])[1 + n %% 4], 'Europe/Athens', ends,
           CASE ends WHEN 'failed' THEN (ARRAY['expired', 'invalid_number'])[1 + n %% 2] END,
           CASE ends WHEN 'skipped' THEN 'capped' END,
           CASE ends WHEN 'delivered' THEN 'Delivered' WHEN 'failed' THEN 'Failure' END,
           CASE WHEN ends IN ('delivered', 'sent', 'failed') THEN '01K' || b.first_id + n END,
           1, 5, b.due_at,
           CASE WHEN ends IN ('delivered', 'sent', 'failed') THEN b.recorded_at END,
           CASE ends WHEN 'delivered' THEN b.recorded_at + (n %% 997) * interval '1 second' END,
           CASE ends WHEN 'failed' THEN b.recorded_at + (n %% 97) * interval '1 second' END
    FROM batches b CROSS JOIN generate_series(0, b.size - 1) AS n
    CROSS JOIN LATERAL (SELECT b.number::bigint * %(batch)s + n AS place) AS stands
    CROSS JOIN LATERAL (
        SELECT (1 + ((CASE WHEN b.dispatch_id > %(campaigns)s THEN 0 ELSE b.dispatch_id * %(texts)s END) + place)
                    %% %(contacts)s)::integer AS who) AS person
    CROSS JOIN LATERAL (
        SELECT CASE WHEN b.state <> 'done' THEN 'pending' WHEN n %% 50 < 2 THEN 'failed' WHEN n %% 50 = 2 THEN 'skipped'
                    WHEN n %% 50 = 3 THEN 'sent' WHEN n %% 50 = 4 THEN 'unconfirmed' ELSE 'delivered' END AS ends
    ) AS became
    """,
)

_AFTERWARDS: tuple[LiteralString, ...] = (
    """
    INSERT INTO attempts (shop_id, dispatch_id, batch_number, state, worker, claimed_at, lease_until, called_at,
                          ended_at, bulk_id)
    SELECT shop_id, dispatch_id, number, 'recorded', 'bench', recorded_at, recorded_at, recorded_at, recorded_at, 'bulk'
    FROM batches WHERE shop_id = %(shop)s AND state = 'done'
    """,
    """
    INSERT INTO provider_messages SELECT provider_message_id, shop_id, id FROM messages
    WHERE dispatch_id = %(campaigns)s + 1 AND provider_message_id IS NOT NULL
    """,
    """
    INSERT INTO receipts (fingerprint, provider_message_id, status, received_at, state, shop_id, message_id, applied_at)
    SELECT sha256(id::text::bytea), provider_message_id, delivery_status, delivered_at, 'applied', shop_id, id,
           delivered_at
    FROM messages WHERE dispatch_id = %(campaigns)s + 1 AND state = 'delivered'
    """,
    """
    INSERT INTO link_targets (dispatch_id, number, shop_id, address)
    SELECT id, 1, shop_id, 'https://bench.example' FROM dispatches WHERE shop_id = %(shop)s
    """,
    """
    INSERT INTO link_clicks (message_id, number, shop_id, dispatch_id, first_at, clicks)
    SELECT id, 1, shop_id, dispatch_id, delivered_at + interval '5 minutes', 2 FROM messages
    WHERE dispatch_id = %(campaigns)s + 1 AND state = 'delivered' AND id %% 10 = 0
    """,
    """
    INSERT INTO link_counts (dispatch_id, number, shard, shop_id, opened, clicks)
    SELECT dispatch_id, 1, 0, shop_id, count(*), sum(clicks) FROM link_clicks GROUP BY dispatch_id, shop_id
    """,
    # An entry an attempt, as sending writes them; the trigger takes one at a time.
    """
    DO $$ DECLARE b record; held bigint := (SELECT min(id) FROM reservations); BEGIN
        FOR b IN SELECT * FROM batches JOIN reservations r USING (shop_id)
                 WHERE batches.state = 'done' AND recorded_at > now() - interval '40 days' ORDER BY recorded_at LOOP
            INSERT INTO wallet_entries (shop_id, kind, amount, at, reservation_id, dispatch_id, reference)
            VALUES (b.shop_id, 'capture', -b.size, b.recorded_at, held, b.dispatch_id,
                    b.dispatch_id || '.' || b.number);
        END LOOP;
    END $$
    """,
    """
    INSERT INTO segments (shop_id, name, kind, rules, created_at, updated_at)
    SELECT %(shop)s, 'Segment ' || n, CASE WHEN n <= 5 THEN 'static' ELSE 'rules' END,
           CASE WHEN n > 5 THEN %(question)s::jsonb END,
           now(), now()
    FROM generate_series(1, 35) AS n
    """,
    """
    INSERT INTO segment_members (shop_id, segment_id, contact_id, added_at)
    SELECT %(shop)s, (SELECT min(id) FROM segments WHERE kind = 'static'), id, now()
    FROM contacts WHERE shop_id = %(shop)s AND id %% 10 = 3
    """,
    # Shopify's, of as many; the first has been read.
    """
    WITH listed AS (
        INSERT INTO segments (shop_id, name, kind, created_at, updated_at)
        SELECT %(shop)s, 'Segment of Shopify ' || n, 'shopify', now(), now() FROM generate_series(1, 35) AS n
        RETURNING id, shop_id
    ), counted AS (
        SELECT count(*) AS known FROM contacts WHERE shop_id = %(shop)s AND id %% 10 = 4
    )
    INSERT INTO shopify_segments (shop_id, segment_id, shopify_id, members, known, read_at)
    SELECT listed.shop_id, listed.id, listed.id, CASE WHEN first THEN known END, CASE WHEN first THEN known END,
           CASE WHEN first THEN now() END
    FROM listed, counted, LATERAL (SELECT listed.id = (SELECT min(id) FROM listed) AS first) AS place
    """,
    """
    INSERT INTO segment_members (shop_id, segment_id, contact_id, added_at)
    SELECT %(shop)s, (SELECT min(id) FROM segments WHERE kind = 'shopify'), id, now()
    FROM contacts WHERE shop_id = %(shop)s AND id %% 10 = 4
    """,
    """
    INSERT INTO message_templates (shop_id, name, name_key, trigger, body, language, created_at, updated_at)
    SELECT %(shop)s, 'Template ' || n, 'template ' || n, 'campaign', %(body)s, 'en', now(), now()
    FROM generate_series(1, 60) AS n
    """,
    """
    WITH done AS (
        INSERT INTO contact_imports (shop_id, filename, file_digest, mapping, state, rows_total, rows_read, created,
                                     updated, unchanged, tallies, refused, refused_by_code, started_at, finished_at)
        SELECT %(shop)s, 'people.csv', sha256(n::text::bytea), '{"phone": "Phone"}', 'completed', 1000, 1000, 500,
               0, 0, '{}', 500, '{"phone_not_a_number": 500}', now(), now()
        FROM generate_series(1, 30) AS n RETURNING id, shop_id
    ), lines AS (
        INSERT INTO import_refusals (shop_id, import_id, line, "column", code, text, cells_sealed)
        SELECT shop_id, id, n, 'Phone', 'phone_not_a_number', 'This is not a phone number.', %(refused)s
        FROM done, generate_series(2, 501) AS n
    )
    INSERT INTO uploads (shop_id, state, filename, size, uploaded_by, header, mapping, import_id, created_at,
                         finished_at, expires_at)
    SELECT shop_id, 'completed', 'people.csv', 100, 'staff:42', '["Phone"]', '{"phone": "Phone"}', id, now(), now(),
           now() + interval '30 days' FROM done
    """,
)

_REPLIES: LiteralString = """
    INSERT INTO inbound_texts (shop_id, phone_sealed, phone_hash, text_sealed, identity_hash, keyword, received_at,
                               handled_at, read_at)
    SELECT %(shop)s, (%(phones)s::bytea[])[1 + n %% %(known)s], (%(hashes)s::bytea[])[1 + n %% %(known)s], %(said)s,
           sha256(n::text::bytea), CASE WHEN n %% 3 = 0 THEN 'stop' END, at, at, CASE WHEN n %% 2 = 0 THEN at END
    FROM generate_series(1, %(contacts)s / 5) AS n, LATERAL (SELECT now() - n * interval '1 minute' AS at) AS moment
"""
"""Of a few phones many each, since those are what a page must bear; two of three beside keywords."""

_NAMED: dict[str, LiteralString] = {
    "list": "SELECT min(id) FROM segments WHERE kind = 'static'",
    "segment": "SELECT min(id) FROM segments WHERE kind = 'rules'",
    "shopify": "SELECT min(id) FROM segments WHERE kind = 'shopify'",
    "template": "SELECT min(id) FROM message_templates",
    "upload": "SELECT max(id) FROM uploads",
}
