"""Taking in what people text: stored once, consent changed at once, answered by a job.

A STOP takes effect in the transaction that stores it: once the webhook was acknowledged, no batch that is claimed
texts this phone. Only the answers wait for a worker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import exists, select, text

from blossom.audit import service as audit
from blossom.consent import queries as consents
from blossom.consent import rules as consent_rules
from blossom.consent import service as consent
from blossom.consent.rules import Deed, Keyword, Purpose, Source, State
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import normalise_phone
from blossom.inbound import queries
from blossom.inbound.queries import Addressee
from blossom.inbound.rules import texts as rules
from blossom.inbound.rules.texts import Candidate, Unanswered
from blossom.message_templates.rules import opt_out
from blossom.messaging import service as messaging
from blossom.mitto import payloads
from blossom.platform import clock, crypto, keywords, languages, queue
from blossom.platform.crypto import SealedValueError, ShopCipher
from blossom.platform.db import lock_for_transaction, session
from blossom.platform.errors import NotFound
from blossom.replies.models import InboundText
from blossom.shops import queries as shops
from blossom.wallet.errors import InsufficientCredit

log = structlog.get_logger()

_WORDING_LIMIT = 200
_DEEDS = {Keyword.STOP: Deed.OPT_OUT, Keyword.START: Deed.OPT_IN, Keyword.JOIN: Deed.OPT_IN}
_ENTRIES = {
    Keyword.STOP: "consent.opted_out",
    Keyword.START: "consent.opted_in",
    Keyword.JOIN: "consent.opted_in",
}


@dataclass
class Received:
    """What became of the texts of one webhook. `unplaced`: no shop knows the phone, so nobody could read it.
    `refused`: places (from 0, among the texts given) of those that came from no phone."""

    accepted: int = 0
    repeated: int = 0
    unplaced: int = 0
    refused: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Heard:
    """A text as one shop takes it: what it means there, and the sender's number as that shop reads it."""

    candidate: Candidate
    cipher: ShopCipher
    phone: str
    phone_hash: bytes
    double_opt_in: bool


@dataclass
class _Row:
    """One text in one shop, about to be stored."""

    place: int  # of its text in the webhook
    shop_id: int
    phone_sealed: bytes | None
    phone_hash: bytes
    text_sealed: bytes | None
    identity_hash: bytes
    earlier_hash: bytes | None
    keyword: Keyword | None
    contact_id: int | None
    answers: bool
    wording: str
    occurred_at: datetime
    confirms: bool  # the shop's own word, in a shop with double opt-in
    id: int | None = None  # once stored; None: it was there before


def receive_texts(texts: Sequence[payloads.InboundText], named_shop_id: int | None = None) -> Received:
    """Store each text once in each shop that it is for, and do what STOP and START ask, in the caller's transaction.

    Webhooks for the same shop take turns, so that texts are read in the order in which they came, and shops are locked
    in the order of their ids, so that no two webhooks wait in a circle.
    """
    now, received = clock.now(), Received()
    rows: list[_Row] = []
    for place, each in enumerate(texts):
        found = _rows_of(place, each, named_shop_id, now)
        if found is None:
            received.refused.append(place)
        elif not found:
            received.unplaced += 1
        else:
            rows += found
    _store(rows, now)
    new = {row.place for row in rows if row.id is not None}
    received.accepted = len(new)
    received.repeated = len({row.place for row in rows} - new)
    _change_consents([row for row in rows if row.id is not None])
    return received


def handle_text(shop_id: int, text_id: int) -> None:
    """Give the answer that a text calls for, once, in the caller's transaction. A text that has its answer, or that
    another worker has in hand, is left alone."""
    received = session.scalars(
        select(InboundText)
        .where(InboundText.shop_id == shop_id, InboundText.id == text_id, InboundText.handled_at.is_(None))
        .with_for_update(skip_locked=True)
    ).one_or_none()
    if received is None:
        return
    outcome = _answer(received)
    received.handled_at = clock.now()
    details: dict[str, Any] = {"keyword": received.keyword}
    if isinstance(outcome, Unanswered):
        received.unanswered = outcome.value
        details["why"] = outcome.value
        log.info("inbound.unanswered", shop_id=shop_id, inbound_id=text_id, keyword=received.keyword, why=outcome.value)
    else:
        received.answer_dispatch_id = outcome
        details["dispatch_id"] = outcome
    audit.record(
        shop_id,
        "inbound.unanswered" if isinstance(outcome, Unanswered) else "inbound.answered",
        actor="system",
        subject_type="inbound_text",
        subject_id=text_id,
        details=details,
    )
    session.flush()


def _rows_of(place: int, given: payloads.InboundText, named_shop_id: int | None, now: datetime) -> list[_Row] | None:
    """The rows that one text becomes; none if no shop can be found for it. None: it came from no phone.

    A text that names no shop of ours, by its address or by what it was sent to, goes to the shops that know its phone.
    So does a STOP to a shop that doesn't know it: that shop's number may have been another's last month.
    """
    heard = _hear(given, queries.addressees(named_shop_id, given.recipient), named_shop_id, now)
    if not any(each.candidate.knows_phone for each in heard) and (not heard or _says_stop(heard)):
        heard += [each for each in _hear(given, queries.all_shops(), named_shop_id, now) if each.candidate.knows_phone]
    if not heard:
        return [] if rules.is_phone(given.sender) else None
    by_shop = {each.candidate.shop_id: each for each in heard}
    return [
        _row(place, given, by_shop[placed.candidate.shop_id], answers=placed.answers, now=now)
        for placed in rules.place([each.candidate for each in heard])
    ]


def _says_stop(heard: Sequence[_Heard]) -> bool:
    return any(each.candidate.keyword is Keyword.STOP for each in heard)


def _hear(
    given: payloads.InboundText, addressed: Sequence[Addressee], named_shop_id: int | None, now: datetime
) -> list[_Heard]:
    """The text as each of these shops takes it. A shop whose keys were destroyed hears nothing, and neither does one
    that can't read the sender as a phone."""
    found: dict[int, tuple[Addressee, ShopCipher, str]] = {}
    for shop in addressed:
        phone = rules.read_phone(given.sender, shop.default_country)
        if phone is None:
            continue
        try:
            found[shop.shop_id] = shop, crypto.for_shop(shop.shop_id), phone
        except SealedValueError:
            continue
    hashes = {shop_id: cipher.lookup(phone) for shop_id, (_, cipher, phone) in found.items()}
    known = queries.acquaintances(hashes, now) if hashes else {}
    return [
        _Heard(
            Candidate(
                shop_id=shop_id,
                keyword=keywords.classify_keyword(given.text, shop.stop_keywords, shop.join_keywords),
                is_named=shop_id == named_shop_id,
                contact_id=known[shop_id].contact_id,
                consent=State(known[shop_id].consent) if known[shop_id].consent else None,
                consent_source=Source(known[shop_id].consent_source) if known[shop_id].consent_source else None,
                texted_at=known[shop_id].texted_at,
            ),
            cipher,
            phone,
            hashes[shop_id],
            shop.double_opt_in,
        )
        for shop_id, (shop, cipher, phone) in found.items()
    ]


def _row(place: int, given: payloads.InboundText, heard: _Heard, *, answers: bool, now: datetime) -> _Row:
    one = rules.identity(heard.phone, given.recipient, given.text, given.provider_message_id, given.received_at, now)
    cipher = heard.cipher
    return _Row(
        place=place,
        shop_id=heard.candidate.shop_id,
        phone_sealed=cipher.seal(heard.phone, "phone"),
        phone_hash=heard.phone_hash,
        text_sealed=cipher.seal(given.text, "inbound_text"),
        identity_hash=cipher.lookup(one.key),
        earlier_hash=cipher.lookup(one.earlier) if one.earlier else None,
        keyword=heard.candidate.keyword,
        contact_id=heard.candidate.contact_id,
        answers=answers,
        wording=given.text.strip()[:_WORDING_LIMIT],
        occurred_at=min(given.received_at or now, now),  # a clock that is ahead must not outdate what comes next
        confirms=heard.candidate.keyword is Keyword.JOIN and heard.double_opt_in,
    )


def _store(rows: list[_Row], now: datetime) -> None:
    """Insert what is new; a new row gets its id, and a job if an answer is owed."""
    if not rows:
        return
    unique = {(row.shop_id, row.identity_hash): row for row in reversed(rows)}  # of repeats in one body, the first
    ordered = sorted(unique.values(), key=lambda row: (row.shop_id, row.place))
    for shop_id in sorted({row.shop_id for row in ordered}):
        lock_for_transaction("inbound texts", shop_id)
    stored = session.execute(
        _STORE,
        {
            "now": now,
            "shop_ids": [row.shop_id for row in ordered],
            "phones_sealed": [row.phone_sealed for row in ordered],
            "phone_hashes": [row.phone_hash for row in ordered],
            "texts_sealed": [row.text_sealed for row in ordered],
            "identity_hashes": [row.identity_hash for row in ordered],
            "earlier_hashes": [row.earlier_hash for row in ordered],
            "keywords": [row.keyword.value if row.keyword else None for row in ordered],
            "contact_ids": [row.contact_id for row in ordered],
            "answers": [row.answers for row in ordered],
        },
    )
    for found in stored:
        row = unique[found.shop_id, bytes(found.identity_hash)]
        row.id = found.id
        if row.answers:
            queue.enqueue("inbound.handle_text", shop_id=row.shop_id, text_id=row.id)


def _change_consents(rows: Sequence[_Row]) -> None:
    """What new STOPs, STARTs and a shop's own words do, in the order in which they stood in the webhook, with an audit
    entry each."""
    by_shop: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        if row.keyword in _DEEDS and not (row.confirms and _asks(row)):
            by_shop[row.shop_id].append(row)
    for shop_id, said in sorted(by_shop.items()):
        steps = [
            consent.Step(
                row.phone_hash,
                _DEEDS[row.keyword],
                Source.KEYWORD,
                contact_id=_contact_of(row),
                occurred_at=row.occurred_at,
                wording=row.wording,
                details={"inbound_text_id": row.id},
            )
            for row in said
            if row.keyword is not None
        ]
        for row, change in zip(said, consent.apply(shop_id, steps), strict=True):
            assert row.keyword is not None
            audit.record(
                shop_id,
                _ENTRIES[row.keyword],
                actor="shopper",
                subject_type="inbound_text",
                subject_id=row.id,
                details={"changed": change.changed} | ({"why": change.refused.value} if change.refused else {}),
            )


def _asks(row: _Row) -> bool:
    """Have a shop with double opt-in ask who texted its word for a confirmation, as its form would; whether it does.

    Not who had ended its texts: they take that back by their own phone, as by START. Nor a number of no known range.
    """
    if consents.state_of(row.shop_id, row.phone_hash) is State.OPTED_OUT:
        return False
    shop, locale = shops.get_shop(row.shop_id), "el" if rules.is_greek(row.wording) else "en"
    phone = crypto.for_shop(row.shop_id).open(row.phone_sealed, "phone")
    try:
        read = normalise_phone(phone, shop.default_country)
    except PhoneRefused:
        return True
    own = consents.settings(row.shop_id).wordings.get(locale)
    request_id = consent.receive_request(
        row.shop_id,
        read,
        form=f"text {row.id}",
        locale=locale,
        path_prefix=shop.proxy_path,
        wording=own or languages.translator(locale)(consent_rules.WORDING, shop=shop.name),
        ip=None,
        user_agent=None,
    )
    if request_id is not None:
        queue.enqueue("storefront.settle", shop_id=row.shop_id, request_id=request_id)
    return True


def _contact_of(row: _Row) -> int | None:
    """Whose text it is. Who opts in becomes a contact: only those are texted. A number of no known range is none."""
    if row.contact_id is not None or row.keyword not in (Keyword.START, Keyword.JOIN):
        return row.contact_id
    phone = crypto.for_shop(row.shop_id).open(row.phone_sealed, "phone")
    try:
        return consent.contact_for(row.shop_id, normalise_phone(phone, shops.get_shop(row.shop_id).default_country))
    except PhoneRefused:
        return None


def _answer(received: InboundText) -> int | Unanswered:
    """Send the answer; the id of its dispatch, or why there is none."""
    now = clock.now()
    if now - received.received_at > rules.ANSWER_WITHIN:
        return Unanswered.TOO_LATE
    shop = shops.get_shop(received.shop_id)
    if shop.uninstalled_at is not None:
        return Unanswered.SHOP_LEFT
    # Two texts of one phone in the hands of two workers: one waits, and then sees the other's answer.
    lock_for_transaction(f"answer in {received.shop_id}", int.from_bytes(received.phone_hash[:4], signed=True))
    keyword = Keyword(received.keyword or "")
    if _answered_since(received, now - rules.ANSWER_EVERY[keyword]):
        return Unanswered.ANSWERED_BEFORE
    stops = keyword is Keyword.STOP
    if not stops and not consents.may_text(received.shop_id, received.phone_hash, Purpose.TRANSACTIONAL)[0]:
        return Unanswered.OPTED_OUT
    words = rules.answer_to(
        keyword,
        received.text,
        shop_name=shop.name,
        contact_line=shop.contact_line,
        opt_out_text=opt_out.spoken_line(shop.opt_out_text),
    )
    try:
        return messaging.send_reply(received.shop_id, received.phone, words, confirms_stop=stops).id
    except PhoneRefused:
        return Unanswered.NOT_TEXTABLE
    except (InsufficientCredit, NotFound):  # NotFound: a shop that never opened its wallet
        return Unanswered.NO_CREDIT


def _answered_since(received: InboundText, since: datetime) -> bool:
    return bool(
        session.scalar(
            select(
                exists().where(
                    InboundText.shop_id == received.shop_id,
                    InboundText.phone_hash == received.phone_hash,
                    InboundText.handled_at > since,
                    InboundText.answer_dispatch_id.is_not(None),
                    InboundText.keyword == received.keyword,
                )
            )
        )
    )


_STORE = text(
    """
    INSERT INTO inbound_texts (shop_id, phone_sealed, phone_hash, text_sealed, identity_hash, keyword, contact_id,
        received_at, handled_at)
    SELECT given.shop_id, given.phone_sealed, given.phone_hash, given.text_sealed, given.identity_hash, given.keyword,
        given.contact_id, :now, CASE WHEN NOT given.answers THEN CAST(:now AS timestamptz) END
    FROM unnest(
        CAST(:shop_ids AS bigint[]), CAST(:phones_sealed AS bytea[]), CAST(:phone_hashes AS bytea[]),
        CAST(:texts_sealed AS bytea[]), CAST(:identity_hashes AS bytea[]), CAST(:earlier_hashes AS bytea[]),
        CAST(:keywords AS text[]), CAST(:contact_ids AS bigint[]), CAST(:answers AS boolean[])
    ) WITH ORDINALITY AS given(shop_id, phone_sealed, phone_hash, text_sealed, identity_hash, earlier_hash, keyword,
        contact_id, answers, place)
    WHERE NOT EXISTS (
        SELECT FROM inbound_texts e WHERE e.shop_id = given.shop_id AND e.identity_hash = given.earlier_hash
    )
    ORDER BY given.place -- ids as they stood in the webhook, whatever plan there is
    ON CONFLICT (shop_id, identity_hash) DO NOTHING
    RETURNING id, shop_id, identity_hash
    """
)
