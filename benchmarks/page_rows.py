"""The rows of `page_data`, as statements of the database's own; their values are `page_data`'s to give."""

from __future__ import annotations

from typing import LiteralString

# Contact n is opted out, never subscribed, asked to confirm, or (seven of ten) opted in.
PEOPLE: tuple[LiteralString, ...] = (
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

# Campaign n's dispatch is n. After the small ones those of a crowd; then ten planned, ten drafts, ten failed.
CAMPAIGNS: tuple[LiteralString, ...] = (
    """
    INSERT INTO dispatches (id, shop_id, kind, state, rank, priority, source, trigger, sender, audience, total,
                            created_at, prepared_at, finished_at)
    SELECT n, %(shop)s, 'campaign',
           CASE n - %(campaigns)s WHEN 3 THEN 'sending' WHEN 4 THEN 'paused' WHEN 5 THEN 'sending' ELSE 'completed' END,
           2, 1, CASE n - %(campaigns)s WHEN 5 THEN %(several)s ELSE %(body)s END, 'campaign', 'Bench', '{"all": true}',
           CASE WHEN n > %(campaigns)s THEN %(crowd)s ELSE %(texts)s END, at, at,
           CASE WHEN n - %(campaigns)s IN (3, 4, 5) THEN NULL ELSE at + interval '1 hour' END
    FROM generate_series(1, %(campaigns)s + %(crowds)s) AS n
    CROSS JOIN LATERAL (SELECT now() - (%(campaigns)s + %(crowds)s + 1 - n) * interval '156 minutes' AS at) AS begun
    """,
    """
    INSERT INTO campaigns (id, shop_id, name, body, audience, ab_test, state, priority, dispatch_id, started_at,
                           finished_at, created_at, updated_at, version)
    SELECT id, shop_id, 'Campaign ' || id, %(body)s, audience, CASE source WHEN %(several)s THEN %(test)s::jsonb END,
           state, 'normal', id, prepared_at, finished_at, created_at, coalesce(finished_at, created_at), 1
    FROM dispatches WHERE shop_id = %(shop)s
    """,
    """
    INSERT INTO dispatch_texts (dispatch_id, number, shop_id, source, share, links_before)
    SELECT id, n, shop_id, (ARRAY[%(body)s, %(other_text)s])[1 + n], 33, n
    FROM dispatches, generate_series(0, 1) AS n WHERE source = %(several)s
    """,
    """
    INSERT INTO campaigns (id, shop_id, name, body, audience, ab_test, state, priority, schedule_kind, scheduled_at,
                           due_at, finished_at, failure_code, failure_text, created_at, updated_at, version)
    SELECT %(campaigns)s + %(crowds)s + n, %(shop)s, 'Campaign ' || (%(campaigns)s + %(crowds)s + n), %(body)s,
           '{"all": true}', CASE n WHEN 12 THEN %(test)s::jsonb END, state, 'normal',
           CASE state WHEN 'scheduled' THEN 'at' END, due, due,
           CASE state WHEN 'failed' THEN now() END, CASE state WHEN 'failed' THEN 'empty_audience' END,
           CASE state WHEN 'failed' THEN 'Nobody is left to text.' END, now(), now(), 1
    FROM generate_series(1, 30) AS n
    CROSS JOIN LATERAL (SELECT (ARRAY['scheduled', 'draft', 'failed'])[1 + (n - 1) / 10] AS state) AS kind
    CROSS JOIN LATERAL (SELECT CASE state WHEN 'scheduled' THEN now() + n * interval '1 day' END AS due) AS plan
    """,
    "SELECT setval(pg_get_serial_sequence('campaigns', 'id'), max(id)) FROM campaigns",
)

OTHER: LiteralString = """
INSERT INTO dispatches (id, shop_id, kind, state, rank, priority, source, trigger, sender, total, created_at,
                        prepared_at, finished_at)
SELECT %(dispatch)s, %(other)s, 'campaign', 'completed', 2, 1, 'Hi', 'campaign', 'Other', %(others)s,
       at, at, at
FROM (SELECT now() - (%(dispatch)s - %(campaigns)s - %(crowds)s) * interval '3 days' AS at) AS begun
"""

MESSAGES: tuple[LiteralString, ...] = (
    "SELECT setval(pg_get_serial_sequence('dispatches', 'id'), max(id)) FROM dispatches",
    # A batch of a campaign that is under way: the first half is done, one is in hand, the others wait. Of a test: the
    # first third is of text A and the second of B, all done, and the last waits for the winner.
    """
    INSERT INTO batches (dispatch_id, number, text_number, shop_id, state, due_at, valid_until, size, first_id, last_id,
                         delivered, failed, skipped, sent, unconfirmed, recorded_at)
    SELECT d.id, b.number, b.of_text, d.shop_id, b.state, d.prepared_at, now() + interval '1 day', b.size, b.first,
           b.first + b.size - 1, done * b.size / 50 * 45, done * b.size / 50 * 2, done * b.size / 50,
           done * b.size / 50, done * b.size / 50,
           CASE WHEN done = 1 THEN d.prepared_at + b.number * interval '1 second' END
    FROM dispatches d CROSS JOIN LATERAL (
        SELECT n AS number, CASE WHEN d.source <> %(several)s THEN 0 WHEN third < 2 THEN third END AS of_text,
               least(%(batch)s, d.total - n * %(batch)s) AS size,
               d.id * 10000000 + 1 + n::bigint * %(batch)s AS first,
               CASE WHEN d.finished_at IS NOT NULL THEN 'done'
                    WHEN d.source = %(several)s THEN CASE WHEN third < 2 THEN 'done' ELSE 'pending' END
                    WHEN n < d.total / %(batch)s / 2 THEN 'done'
                    WHEN d.state = 'sending' AND n = d.total / %(batch)s / 2 THEN 'claimed' ELSE 'pending' END AS state
        FROM generate_series(0, (d.total - 1) / %(batch)s) AS n
        CROSS JOIN LATERAL (SELECT n * 3 / ((d.total - 1) / %(batch)s + 1) AS third) AS part
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

AFTERWARDS: tuple[LiteralString, ...] = (
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
    SELECT id, number, shop_id, 'https://bench.example'
    FROM dispatches, LATERAL generate_series(1, CASE source WHEN %(several)s THEN 2 ELSE 1 END) AS number
    WHERE shop_id = %(shop)s
    """,
    """
    INSERT INTO link_clicks (message_id, number, shop_id, dispatch_id, first_at, clicks)
    SELECT m.id, 1 + b.text_number, m.shop_id, m.dispatch_id, m.delivered_at + interval '5 minutes', 2
    FROM messages m JOIN batches b ON b.dispatch_id = m.dispatch_id AND b.number = m.batch_number
    WHERE m.dispatch_id IN (%(campaigns)s + 1, %(campaigns)s + 5) AND m.state = 'delivered' AND m.id %% 10 = 0
    """,
    """
    INSERT INTO link_counts (dispatch_id, number, shard, shop_id, opened, clicks, people)
    SELECT dispatch_id, number, 0, shop_id, count(*), sum(clicks), count(*) FROM link_clicks
    GROUP BY dispatch_id, number, shop_id
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

REPLIES: LiteralString = """
    INSERT INTO inbound_texts (shop_id, phone_sealed, phone_hash, text_sealed, identity_hash, keyword, received_at,
                               handled_at, read_at)
    SELECT %(shop)s, (%(phones)s::bytea[])[who], (%(hashes)s::bytea[])[who], %(said)s,
           sha256(n::text::bytea), CASE WHEN n %% 3 = 0 THEN 'stop' END, at, at, CASE WHEN n %% 2 = 0 THEN at END
    FROM generate_series(1, %(contacts)s / 5) AS n,
         LATERAL (SELECT now() - n * interval '1 minute' AS at,
                         CASE WHEN n <= 60 THEN %(sought)s ELSE 1 + n %% %(known)s END AS who) AS moment
"""
"""Of a few phones many each, since those are what a page must bear; two of three beside keywords. Of the phone that is
searched for more than a page, whatever the size."""

NAMED: dict[str, LiteralString] = {
    "list": "SELECT min(id) FROM segments WHERE kind = 'static'",
    "segment": "SELECT min(id) FROM segments WHERE kind = 'rules'",
    "shopify": "SELECT min(id) FROM segments WHERE kind = 'shopify'",
    "shopify_draft": """
        UPDATE campaigns SET name = 'Campaign 0', audience = jsonb_build_object(
            'segments', jsonb_build_array((SELECT min(id) FROM segments WHERE kind = 'shopify')))
        WHERE id = %(campaigns)s + %(crowds)s + 13 RETURNING id
    """,
    "template": "SELECT min(id) FROM message_templates",
    "upload": "SELECT max(id) FROM uploads",
}
