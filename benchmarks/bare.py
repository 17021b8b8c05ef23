"""The limit: the bare statements that any durable sender needs, without the app.

One INSERT … SELECT of a row a recipient; then, batch by batch, reading and decrypting, rendering by Liquid, posting the
same bulk calls, and one UPDATE … FROM unnest. No consent, no caps, no quiet hours, no money, no attempts, no receipts,
no audience but "everybody"; its indexes are the primary key, one that makes a person one text, and one by batch.
"""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import orjson
import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.ground import Ground
from blossom.platform import crypto, db

BATCH = 500


def measure(ground: Ground, shop_id: int, recipients: int, workers: int, text: str) -> dict[str, float]:
    """`per_second` from the first statement to the last recorded batch; workers are started before."""
    ground.mitto.reset()
    with ground.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS bare_messages")
        connection.execute(
            "CREATE TABLE bare_messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shop_id bigint NOT NULL,"
            " batch integer NOT NULL, contact_id bigint NOT NULL, phone_sealed bytea NOT NULL,"
            " phone_hash bytea NOT NULL, state text NOT NULL, provider_message_id text, segments smallint,"
            " created_at timestamptz NOT NULL, sent_at timestamptz, UNIQUE (shop_id, phone_hash))"
            " WITH (fillfactor = 55)"
        )
        connection.execute("CREATE INDEX ON bare_messages (batch)")
        started = time.monotonic()
        connection.execute(
            "INSERT INTO bare_messages (shop_id, batch, contact_id, phone_sealed, phone_hash, state, created_at)"
            " SELECT shop_id, (row_number() OVER (ORDER BY id) - 1) / %s, id, phone_sealed, phone_hash, 'pending',"
            " now()"
            " FROM contacts WHERE shop_id = %s",
            (BATCH, shop_id),
        )
        inserted = time.monotonic() - started
    key = _data_key(shop_id)
    context = multiprocessing.get_context("spawn")
    batches = -(-recipients // BATCH)
    ready, go = context.Barrier(workers + 1), context.Event()
    lanes = [
        context.Process(
            target=_lane,
            args=(ground.plain_url, ground.mitto.url, key, shop_id, range(n, batches, workers), text, ready, go),
        )
        for n in range(workers)
    ]
    for lane in lanes:
        lane.start()
    ready.wait()
    sending_from = time.monotonic()
    go.set()
    for lane in lanes:
        lane.join()
    sending = time.monotonic() - sending_from
    assert ground.mitto.summary()["texts"] == recipients
    with ground.connect() as connection:
        connection.execute("DROP TABLE bare_messages")
    return {
        "per_second": round(recipients / (inserted + sending)),
        "snapshot_seconds": round(inserted, 3),
        "sending_per_second": round(recipients / sending),
    }


def _data_key(shop_id: int) -> bytes:
    """The shop's current key, for a loop without the app."""
    with db.transaction() as session:
        row = session.get_one(crypto.ShopKey, crypto.for_shop(shop_id).current_key_id)
        return crypto._unwrap(row)


def _lane(
    url: str, mitto_url: str, key: bytes, shop_id: int, numbers: range, text: str, ready: Any, go: Any
) -> None:  # pragma: no cover -- a process of its own
    import requests
    from liquid import Environment

    aead, template = AESGCM(key), Environment().from_string(text)
    phone_aad, name_aad = f"{shop_id}:phone".encode(), f"{shop_id}:first_name".encode()
    http = requests.Session()
    with psycopg.connect(url, autocommit=True) as connection:
        ready.wait()
        go.wait()
        for number in numbers:
            rows = connection.execute(
                "SELECT m.id, m.phone_sealed, c.first_name_sealed FROM bare_messages m"
                " JOIN contacts c ON c.id = m.contact_id WHERE m.batch = %s ORDER BY m.id",
                (number,),
            ).fetchall()
            messages = [
                {
                    "trafficAccountId": "00000000-0000-0000-0000-000000000001",
                    "destination": aead.decrypt(phone[5:17], phone[17:], phone_aad).decode(),
                    "sms": {
                        "text": template.render(first_name=aead.decrypt(name[5:17], name[17:], name_aad).decode()),
                        "sender": "Bench",
                    },
                }
                for _, phone, name in rows
            ]
            answer = http.post(
                f"{mitto_url}/api/v1.1/Messages/sendmessagesbulk",
                data=orjson.dumps({"messages": messages}),
                headers={"X-Mitto-API-Key": "bench-key", "Content-Type": "application/json"},
                timeout=10,
            )
            ids = [entry["messageId"] for entry in orjson.loads(answer.content)["messages"]]
            connection.execute(
                "UPDATE bare_messages m SET state = 'sent', provider_message_id = v.p, segments = 1, sent_at = now()"
                " FROM unnest(%s::bigint[], %s::text[]) AS v(id, p) WHERE m.id = v.id",
                ([row[0] for row in rows], ids),
            )
