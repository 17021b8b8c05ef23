"""A shop's years in minutes: contacts, campaigns, their texts and what became of them, written by the database itself.

Rows are as the app would have left them, but for what no page looks at; of the people the first `KNOWN` have numbers
that can be searched for, the others a hash alone. All of a shop's history is a function of its `Size`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

import orjson
import psycopg
from sqlalchemy import select

from benchmarks.page_rows import AFTERWARDS, CAMPAIGNS, MESSAGES, NAMED, OTHER, PEOPLE, REPLIES
from blossom.campaigns import service as campaigns
from blossom.campaigns.rules.ab_test import AbTest, Winner
from blossom.contacts.models import Contact
from blossom.messaging.rules import message_ids
from blossom.messaging.rules.texts import SEVERAL
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
TEST = AbTest(texts=("Only today, {{ 'https://bench.example' | shortlink }}",), shares=(33, 33), winner=Winner.BY_HAND)
BODY = "Hi {{ first_name | default: 'there' }}, 20% off: {{ 'https://bench.example' | shortlink }}. Reply STOP"


@dataclass(frozen=True)
class Size:
    """`campaigns` small ones of `texts` texts each, sent one every 2.6 h up to now; beside them five of `crowd` texts:
    two done, one half-way, one paused, and a test of two texts whose last third waits for the winner.
    `others`: texts of each of ten other shops."""

    contacts: int
    campaigns: int
    texts: int
    crowd: int
    others: int

    @property
    def messages(self) -> int:
        return self.campaigns * self.texts + CROWDS * self.crowd + OTHER_SHOPS * self.others


CROWDS, OTHER_SHOPS = 5, 10
LARGE = Size(contacts=1_000_000, campaigns=10_000, texts=100, crowd=1_000_000, others=400_000)
SMALL = Size(contacts=1_500, campaigns=200, texts=50, crowd=1_200, others=50)
"""A campaign of a thousand and no fewer: below that its figures are counted in the request, which costs more."""


def fill(connection: psycopg.Connection, size: Size) -> dict[str, str]:
    """Make the shop `DOMAIN` of this size, in the app's context and an empty database; what is in it, by name."""
    shop_id = _open_shop()
    others = [_open_other(number) for number in range(OTHER_SHOPS)]
    writer = _Writer(connection, size, shop_id, others)
    writer.write()
    with db.transaction():
        for campaign_id in range(size.campaigns + 1, size.campaigns + 1 + CROWDS):
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
        "tested": str(done + 4),
        "planned": str(done + CROWDS),
        "draft": str(done + CROWDS + 10),
        "test_draft": str(done + CROWDS + 11),
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
            "crowd": size.crowd, "crowds": CROWDS, "others": size.others, "batch": BATCH, "known": KNOWN, "body": BODY,
            "sought": phones.index(PHONE) + 1,
            "phones": [cipher.seal(phone, "phone") for phone in phones],
            "hashes": [cipher.lookup(phone) for phone in phones],
            "names": [cipher.seal(name, "first_name") for name in NAMES],
            "sizes": [gsm.signed_size(name) for name in NAMES],
            "question": '{"match": "all", "conditions": [{"field": "orders", "operator": "at_least", "value": 3}]}',
            "refused": cipher.seal('["12"]', "refused_line"),
            "several": SEVERAL, "other_text": TEST.texts[0], "test": orjson.dumps(TEST.to_json()).decode(),
            "said": cipher.seal("Are you open on Sunday?", "inbound_text"),
        }  # fmt: skip

    def write(self) -> None:
        self._run("SET maintenance_work_mem = '1GB'")
        for statement in PEOPLE:
            self._run(statement)
        ends = self._run("SELECT min(id), max(id) FROM contacts WHERE shop_id = %(shop)s")
        self._values |= {"first_contact": ends[0], "last_contact": ends[1]}
        unique = "ALTER TABLE messages DROP CONSTRAINT uq_messages_phone_hash_dispatch_id"
        self._run(unique)
        for statement in CAMPAIGNS:
            self._run(statement)
        for number, shop_id in enumerate(self._others):
            self._run(OTHER, dispatch=self._values["campaigns"] + CROWDS + 1 + number, other=shop_id)
        for statement in MESSAGES:
            self._run(statement)
        self._run("ALTER TABLE messages ADD CONSTRAINT uq_messages_phone_hash_dispatch_id"
                  " UNIQUE (phone_hash, dispatch_id)")  # fmt: skip
        for statement in AFTERWARDS:
            self._run(statement)
        self._run(REPLIES)
        for name, statement in NAMED.items():
            self.found[name] = str(self._run(statement)[0])
        self._run("VACUUM ANALYZE")

    def _run(self, statement: LiteralString, **more: Any) -> Any:
        """The first row, where there is one."""
        values = {**self._values, **more} if "%(" in statement else None
        found = self._run_on.execute(statement, values)
        return found.fetchone() if found.description else None
