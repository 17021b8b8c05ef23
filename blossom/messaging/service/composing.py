"""What a claimed batch becomes: for each of its messages a text to send, a reason to skip it, or a later time.

Consent, caps, quiet hours and validity are asked here, after the claim: whoever said STOP before is not texted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, text

from blossom.consent import rules as consent
from blossom.links.rules.codes import OPT_OUT, Codes
from blossom.message_templates.errors import MissingValue, RenderedEmpty, RenderedTooLong
from blossom.message_templates.rules import language, segments
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.short_links import OPT_OUT_LINK, address_of, opt_out_address_of
from blossom.message_templates.rules.values import full_name
from blossom.messaging.rules import caps, manifest
from blossom.messaging.rules.caps import Caps
from blossom.messaging.rules.quiet_hours import QuietHours, next_allowed, open_until
from blossom.messaging.rules.states import MARKETING_KINDS, TO_THE_OPTED_OUT, DispatchKind, SkipReason
from blossom.messaging.service.claiming import Claim
from blossom.platform import config, crypto
from blossom.platform.crypto import SealedValueError, ShopCipher
from blossom.platform.db import session
from blossom.shops import rules as shop_rules
from blossom.wallet import queries as wallet
from blossom.wallet.rules import PriceList

_FACTS = text("""
SELECT d.kind, coalesce(t.source, d.source) AS source, coalesce(t.links_before, 0) AS links_before,
       d.trigger, d.sender, d.reservation_id, d.price_list_id,
       s.name AS shop_name, coalesce(s.primary_domain, s.domain) AS site, s.proxy_path, s.traffic_account_id,
       s.quiet_hours_on, s.quiet_from, s.quiet_until, s.daily_cap, s.weekly_cap
FROM dispatches d JOIN shops s ON s.id = d.shop_id
LEFT JOIN dispatch_texts t ON t.shop_id = d.shop_id AND t.dispatch_id = d.id AND t.number = :text_number
WHERE d.shop_id = :shop_id AND d.id = :dispatch_id
""")

# Whoever has the number now lends the name; a contact that has another one since the audience was fixed does not.
_RECIPIENTS = text("""
SELECT m.id, m.phone_sealed, m.country, m.zone, m.retry_count,
       c.first_name_sealed, c.last_name_sealed, s.state AS consent
FROM messages m
LEFT JOIN contacts c ON c.shop_id = m.shop_id AND c.phone_hash = m.phone_hash
LEFT JOIN consents s ON s.shop_id = m.shop_id AND s.phone_hash = m.phone_hash
WHERE m.id BETWEEN :first_id AND :last_id AND m.dispatch_id = :dispatch_id AND m.batch_number = :batch_number
  AND m.shop_id = :shop_id AND m.state = 'pending'
ORDER BY m.id
""")

# Whose texts of the last week, with those that another attempt, claimed before this one, has in hand, reach a cap: of
# two campaigns that reach one person at the same moment, the one claimed first counts for the other.
#
# Person by person, behind a fence (OFFSET 0): a fresh dispatch has no statistics yet, and the planner would think it a
# good idea to read all of it.
_CAPPED = text("""
WITH in_hand AS MATERIALIZED (
    SELECT m.phone_hash, count(*) AS texts
    FROM attempts a
    JOIN dispatches d ON d.id = a.dispatch_id AND d.kind = ANY(CAST(:kinds AS text[]))
    JOIN batches b ON b.dispatch_id = a.dispatch_id AND b.number = a.batch_number
    CROSS JOIN LATERAL (
        SELECT phone_hash FROM messages
        WHERE id BETWEEN b.first_id AND b.last_id AND dispatch_id = b.dispatch_id AND batch_number = b.number
          AND state = 'pending'
        OFFSET 0
    ) m
    WHERE a.state IN ('claimed', 'calling') AND a.id < :attempt_id AND a.shop_id = :shop_id
      AND a.dispatch_id <> :dispatch_id -- in which each of these people is once
    GROUP BY m.phone_hash
)
SELECT mine.id
FROM (
    SELECT id, phone_hash FROM messages
    WHERE id BETWEEN :first_id AND :last_id AND dispatch_id = :dispatch_id AND batch_number = :batch_number
      AND shop_id = :shop_id AND state = 'pending'
    OFFSET 0
) mine
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE m.at > :day_ago) AS today, count(*) AS this_week
    FROM (
        SELECT dispatch_id, coalesce(sent_at, created_at) AS at FROM messages
        WHERE phone_hash = mine.phone_hash AND shop_id = :shop_id
          AND dispatch_id >= (SELECT id FROM dispatches WHERE shop_id = :shop_id AND created_at > :begun_after
                              ORDER BY created_at, id LIMIT 1)
          AND state IN ('sent', 'delivered', 'unconfirmed') AND coalesce(sent_at, created_at) > :week_ago
        OFFSET 0
    ) m
    JOIN dispatches d ON d.id = m.dispatch_id AND d.kind = ANY(CAST(:kinds AS text[]))
) earlier
LEFT JOIN in_hand ON in_hand.phone_hash = mine.phone_hash
WHERE earlier.today + coalesce(in_hand.texts, 0) >= CAST(:daily AS integer)
   OR earlier.this_week + coalesce(in_hand.texts, 0) >= CAST(:weekly AS integer)
""")


@dataclass(frozen=True)
class Facts:
    """What holds for a whole batch. `links_before`: how many links of the dispatch's stand in texts before this one."""

    kind: DispatchKind
    compiled: language.CompiledText
    sender: str
    reservation_id: int | None
    prices: PriceList
    shop_name: str
    proxy: str  # where links in its texts begin
    quiet: QuietHours
    caps: Caps
    traffic_account_id: str
    links_before: int = 0

    @property
    def is_marketing(self) -> bool:
        return self.kind in MARKETING_KINDS


@dataclass(slots=True)
class Text:
    """One text ready to leave."""

    message_id: int
    phone: str
    text: str
    segments: int
    credits: int
    digest: bytes


@dataclass
class Composed:
    """A batch, decided. `skipped`: message id → reason. `put_off`: due moment → message ids.

    `must_go_by`: when the first of these texts would come too late, at night or out of date. `again`: some of these
    people were texted before, and a late receipt may say so any moment. `cover_id`: credits held for this one call
    beside the dispatch's (`funds`).
    """

    facts: Facts
    must_go_by: datetime
    cover_id: int | None = None
    texts: list[Text] = field(default_factory=list)
    skipped: dict[int, SkipReason] = field(default_factory=dict)
    put_off: dict[datetime, list[int]] = field(default_factory=lambda: defaultdict(list))
    again: bool = False

    @property
    def credits(self) -> int:
        return sum(item.credits for item in self.texts)

    def manifest(self) -> bytes:
        return manifest.pack((t.message_id, t.segments, t.credits, t.digest) for t in self.texts)


@dataclass(frozen=True)
class Loaded:
    """What was read for a claim in one transaction. `capped`: ids of messages that would be too many."""

    facts: Facts
    recipients: list[Row[Any]]
    cipher: ShopCipher
    capped: frozenset[int]


def load(claim: Claim, now: datetime) -> Loaded:
    """Read what the batch needs, once its claim is committed: whoever said STOP before that is not texted."""
    keys = {
        "shop_id": claim.shop_id,
        "dispatch_id": claim.dispatch_id,
        "batch_number": claim.batch_number,
        "first_id": claim.first_id,
        "last_id": claim.last_id,
    }
    facts = read_facts(claim.shop_id, claim.dispatch_id, claim.text_number)
    recipients = list(session.execute(_RECIPIENTS, keys))
    return Loaded(facts, recipients, crypto.for_shop(claim.shop_id), capped(claim, facts, now))


def read_facts(shop_id: int, dispatch_id: int, text_number: int = 0) -> Facts:
    """What holds for every message of a batch right now: the shop's settings are read anew for each."""
    values = {"shop_id": shop_id, "dispatch_id": dispatch_id, "text_number": text_number}
    row = session.execute(_FACTS, values).one()
    return Facts(
        kind=DispatchKind(row.kind),
        compiled=compiled(row.source, row.trigger),
        links_before=row.links_before,
        sender=row.sender,
        reservation_id=row.reservation_id,
        prices=wallet.price_list(row.price_list_id),
        shop_name=row.shop_name,
        proxy=shop_rules.proxy_address(config.current().shopify_shop_url, row.site, row.proxy_path),
        quiet=QuietHours(row.quiet_from, row.quiet_until, row.quiet_hours_on),
        caps=Caps(row.daily_cap, row.weekly_cap),
        traffic_account_id=row.traffic_account_id or config.current().mitto_traffic_account_id,
    )


@lru_cache(maxsize=256)
def compiled(source: str, trigger: str) -> language.CompiledText:
    """A dispatch's text, compiled once a process."""
    return language.compile_text(source, Trigger(trigger))


def capped(claim: Claim, facts: Facts, now: datetime) -> frozenset[int]:
    """Ids of the messages with which somebody would get more marketing texts than the caps allow.

    Read after the claim's commit, so that workers see each other's claims.
    """
    if not (facts.caps.any and facts.is_marketing):
        return frozenset()
    values = {
        "shop_id": claim.shop_id,
        "dispatch_id": claim.dispatch_id,
        "batch_number": claim.batch_number,
        "first_id": claim.first_id,
        "last_id": claim.last_id,
        "attempt_id": claim.attempt_id,
        "kinds": [kind.value for kind in MARKETING_KINDS],
        "day_ago": now - caps.DAY,
        "week_ago": now - caps.WEEK,
        "begun_after": now - caps.LONGEST_DISPATCH,
        "daily": facts.caps.daily,
        "weekly": facts.caps.weekly,
    }
    return frozenset(session.scalars(_CAPPED, values))


def compose(claim: Claim, loaded: Loaded, now: datetime) -> Composed:
    """Decide each message and render its text. No database, no network."""
    facts, cipher = loaded.facts, loaded.cipher
    composed = Composed(facts, must_go_by=claim.valid_until)
    values = _values_of(facts, cipher)
    refused = _Refused(facts.kind)
    open_from: dict[tuple[str, str], datetime] = {}
    for row in loaded.recipients:
        reason = _reason_to_skip(row, loaded, refused, claim.valid_until, now)
        if reason:
            composed.skipped[row.id] = reason
            continue
        if facts.is_marketing:
            place = row.zone, row.country
            allowed = open_from.get(place)
            if allowed is None:
                allowed = open_from[place] = next_allowed(now, row.zone, row.country, facts.quiet)
                if allowed <= now and (closes := open_until(now, row.zone, row.country, facts.quiet)):
                    composed.must_go_by = min(closes, composed.must_go_by)
            if allowed > now:
                composed.put_off[allowed].append(row.id)
                continue
        try:
            rendered = facts.compiled.render(values(row))
            phone = cipher.open(row.phone_sealed, "phone")
        except (MissingValue, RenderedTooLong, RenderedEmpty):
            composed.skipped[row.id] = SkipReason.MISSING_VALUE
            continue
        except SealedValueError:
            composed.skipped[row.id] = SkipReason.UNREADABLE
            continue
        composed.again = composed.again or row.retry_count > 0
        parts = segments.count(rendered).segments
        assert phone is not None, "_reason_to_skip() has seen to it"
        composed.texts.append(
            Text(row.id, phone, rendered, parts, facts.prices.credits(row.country, parts), digest(cipher, rendered))
        )
    return composed


def digest(cipher: ShopCipher, rendered: str) -> bytes:
    """What the manifest keeps of a text: enough to know it again, not to read it."""
    return cipher.lookup(rendered)[: manifest.DIGEST_BYTES]


class _Refused(dict[str | None, SkipReason | None]):
    """State of consent → why its people get no text of this kind; None: they do. Asked of consent once a state."""

    def __init__(self, kind: DispatchKind) -> None:
        super().__init__()
        self._kind = kind

    def __missing__(self, stored: str | None) -> SkipReason | None:
        state = consent.State(stored or consent.State.NEVER_SUBSCRIBED)
        purpose = consent.Purpose.MARKETING if self._kind in MARKETING_KINDS else consent.Purpose.TRANSACTIONAL
        allowed = self._kind in TO_THE_OPTED_OUT or consent.may_text(state, purpose)[0]
        opted_out = state is consent.State.OPTED_OUT
        self[stored] = None if allowed else SkipReason.OPTED_OUT if opted_out else SkipReason.NOT_OPTED_IN
        return self[stored]


def _reason_to_skip(
    row: Row[Any], loaded: Loaded, refused: _Refused, valid_until: datetime, now: datetime
) -> SkipReason | None:
    if row.phone_sealed is None:
        return SkipReason.NO_PHONE  # forgotten since the audience was fixed
    if reason := refused[row.consent]:
        return reason
    if now >= valid_until:
        return SkipReason.EXPIRED
    if row.id in loaded.capped:
        return SkipReason.CAPPED
    return None


def _values_of(facts: Facts, cipher: ShopCipher) -> Any:
    """A function from a recipient to the values that the text looks at; nothing else is decrypted."""
    wanted = facts.compiled.variables
    fixed = {"shop_name": facts.shop_name, "sender": facts.sender}
    links = [(link.slot, facts.links_before + link.number) for link in facts.compiled.links if link.address is not None]
    opt_out = OPT_OUT_LINK in wanted
    codes = Codes(cipher.lookup)
    first = bool(wanted & {"first_name", "full_name"})
    last = bool(wanted & {"last_name", "full_name"})
    full = "full_name" in wanted

    def values(row: Row[Any]) -> dict[str, str | None]:
        found: dict[str, str | None] = dict(fixed)
        if first:
            found["first_name"] = cipher.open(row.first_name_sealed, "first_name")
        if last:
            found["last_name"] = cipher.open(row.last_name_sealed, "last_name")
        if full:
            found["full_name"] = full_name(found.get("first_name"), found.get("last_name"))
        for slot, number in links:
            found[slot] = address_of(facts.proxy, codes.code(row.id, number))
        if opt_out:
            found[OPT_OUT_LINK] = opt_out_address_of(facts.proxy, codes.code(row.id, OPT_OUT))
        return found

    return values
