"""Telling Shopify what a phone's consent is here: each phone that owes it (`consent.service.owing`), until it is done.

    take    a phone, for `rules.IN_HAND`; nobody else has it meanwhile. Whose turn it is: `turns`
    look    at the customer with this number, with no transaction held: what is said there already needs no telling,
            and a later word there that counts here (decision 0025) is heard, not overwritten
    tell    the state as it is now, with the time of the change: of two words Shopify keeps the later one
    settle  the revision that was taken; another change since is owed still

Any step may be repeated: the mutation is idempotent, and a customer is looked for before one is made.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import text

from blossom.consent import queries as consents
from blossom.consent.rules import Standing, State
from blossom.consent.service import syncing as consent
from blossom.contacts import queries as contacts
from blossom.contacts.rules import customers as customer_rules
from blossom.customers import rules
from blossom.customers.rules import Told
from blossom.customers.service import turns
from blossom.platform import clock, crypto, queue, stopping
from blossom.platform.db import session, transaction
from blossom.platform.errors import BlossomError
from blossom.shopify.errors import ShopifyError, ShopifyErrorKind, ShopifyErrorScope
from blossom.shops import queries as shops
from blossom.shops import service as shop_service

if TYPE_CHECKING:
    from blossom.shopify.client import ShopifyClient

log = structlog.get_logger()

AT_A_TIME_SECONDS = 20.0
"""A job hands its worker back after this; what is left is the next one's."""

_REFUSAL_LIMIT = 300


@dataclass(frozen=True)
class _Word:
    """What is to be told: plain values, read in one short transaction. `state` is Shopify's word."""

    phone: str
    state: str
    level: str
    at: datetime  # to the second, as Shopify keeps it
    person: Mapping[str, Any]  # what a customer is made with

    @property
    def variables(self) -> dict[str, str | None]:
        level = None if self.state == _WORDS[State.OPTED_OUT] else self.level
        return {
            "marketingState": self.state,
            "marketingOptInLevel": level,
            "consentUpdatedAt": self.at.isoformat().replace("+00:00", "Z"),
        }


def run_pushes() -> int:
    """Tell what is owed, until nothing is due, or the time is up; how many phones were taken. Manages its
    transactions."""
    ends_at = time.monotonic() + AT_A_TIME_SECONDS
    taken = 0
    while time.monotonic() < ends_at and not stopping.requested():
        with transaction():
            row = turns.take()
        if row is None:
            return taken
        taken += 1
        _push(row)
    with transaction():
        queue.enqueue("customers.push_consent", queue="shopify", unless_waiting=True)
    return taken


def _push(row: Any) -> None:
    """One try, whose end is written down whatever it is."""
    try:
        with contextlib.closing(shop_service.client(row.shop_id, max_wait=rules.MOST_WAIT_SECONDS)) as client:
            told = _tell(row, client)
    except ShopifyError as error:
        if error.code == "refused":
            turns.note_answer(row.shop_id)
            words = "; ".join(each.message for each in error.user_errors)[:_REFUSAL_LIMIT]
            _settle(row, Told(None, error.code), refusal=words)
            log.info("consent.push_refused", shop_id=row.shop_id, fields=[each.path for each in error.user_errors])
        else:
            _fail(row, error)
    except Exception as error:
        log.exception("consent.push_stumbled", shop_id=row.shop_id)
        _put_off(row, error.code if isinstance(error, BlossomError) else type(error).__name__)
    else:
        if told is not None:
            turns.note_answer(row.shop_id)
        _settle(row, told or Told(None, None))


def _fail(row: Any, error: ShopifyError) -> None:
    """Try the phone again later; and let its shop pause, unless no other phone's call would fail likewise."""
    of_the_shop = error.scope is not ShopifyErrorScope.CALL
    paused_until = None
    if of_the_shop or error.kind is not ShopifyErrorKind.PERMANENT:
        paused_until = turns.pause(row.shop_id, error.retry_after)
    # By its own tries where the fault may be this phone's alone: by then its shop's others were due before it.
    _put_off(row, error.code, paused_until if of_the_shop else None)


def _tell(row: Any, client: ShopifyClient) -> Told | None:
    """None: there was nothing to tell, so Shopify was not asked."""
    with transaction():
        word = _word_of(row.shop_id, row.phone_hash)
    if word is None:
        return None
    facts = _customer_with(word, client) or _made_meanwhile(word, client)
    if facts is None:
        return Told(word.state if word.state == _WORDS[State.OPTED_IN] else None, None)
    number = facts.get("defaultPhoneNumber") or {}
    said = number.get("smsMarketingConsent") or {}
    if number.get("phoneNumber") not in (word.phone, None):  # consent is told by customer: it would be that number's
        return Told(None, rules.OTHER_NUMBER)
    if number.get("phoneNumber") == word.phone:
        if said.get("state") == word.state:
            return Told(word.state, None)
        # What is later there is heard before it is answered; and being asked is told over nothing that somebody said.
        asked_over = word.state == _WORDS[State.PENDING] and said.get("state") != "NEVER_SUBSCRIBED"
        if (asked_over or rules.is_later(word.at, said)) and (_hear(row, facts) != word.state or asked_over):
            return Told(said["state"], None)
    answer = client.run("customer_sms_marketing_consent_update", customerId=facts["id"], **word.variables)
    customer = answer["customerSmsMarketingConsentUpdate"]["customer"] or {}
    holds = ((customer.get("defaultPhoneNumber") or {}).get("smsMarketingConsent") or {}).get("state")
    return Told(holds, None if holds == word.state else rules.LATER_THERE)


def _customer_with(word: _Word, client: ShopifyClient) -> Mapping[str, Any] | None:
    facts: Mapping[str, Any] | None = client.run("customer_by_phone", phone=word.phone)["customerByIdentifier"]
    return facts


def _made_meanwhile(word: _Word, client: ShopifyClient) -> Mapping[str, Any] | None:
    """Make a customer of somebody whom Shopify doesn't know, if they agreed: nobody there texts the others. None but
    for the customer who has come since we looked, for whom Shopify refuses another one."""
    if word.state != _WORDS[State.OPTED_IN]:
        return None
    try:
        client.run("customer_create", phone=word.phone, **word.person, **word.variables)
    except ShopifyError as error:
        found = _customer_with(word, client) if error.code == "refused" else None
        if found is None:
            raise
        return found
    return None


def _word_of(shop_id: int, phone_hash: bytes) -> _Word | None:
    """None: there is nothing to tell. That somebody agreed to nothing (any more) is nothing that Shopify can be told;
    without a contact the number is not known."""
    contact = contacts.contact_by_phone_hash(shop_id, phone_hash)
    standing = consents.standing_of(shop_id, phone_hash)
    state = _WORDS.get(standing.state)
    if contact is None or contact.phone is None or state is None or standing.changed_at is None:
        return None
    return _Word(
        phone=contact.phone,
        state=state,
        level=_level(shop_id, phone_hash, standing),
        at=standing.changed_at.replace(microsecond=0),
        person={
            "firstName": contact.first_name,
            "lastName": contact.last_name,
            "email": contact.email,
            "locale": contact.locale,
            "tags": list(contact.tags),  # Shopify's word of the new customer comes back, and would empty the contact's
        },
    )


def _level(shop_id: int, phone_hash: bytes, standing: Standing) -> str:
    if standing.state is State.PENDING:
        return "CONFIRMED_OPT_IN"  # as what is asked for
    details = consents.events(shop_id, phone_hash)[-1].details
    return "CONFIRMED_OPT_IN" if details.get("double_opt_in") else "SINGLE_OPT_IN"


def _hear(row: Any, facts: Mapping[str, Any]) -> str | None:
    """Take what Shopify says as a webhook of now would have it taken; the word for where the phone stands then."""
    with transaction():
        shop = shops.get_shop(row.shop_id)
        customer = customer_rules.read_customer(facts, default_country=shop.default_country, shop_zone=shop.timezone)
        if customer is not None:
            consent.save_customers(row.shop_id, [customer])
        return _WORDS.get(consents.state_of(row.shop_id, row.phone_hash))


def _settle(row: Any, told: Told, *, refusal: str | None = None) -> None:
    with transaction():
        sealed = None if not refusal else crypto.for_shop(row.shop_id).seal(refusal, "refusal")
        values = {"told": told.state, "fault": told.fault, "refusal": sealed, "now": clock.now()}
        session.execute(_SETTLE, {**_mine(row), **values})


def _put_off(row: Any, fault: str, until: datetime | None = None) -> None:
    later = until or clock.now() + rules.retry_after(row.tries)
    log.warning("consent.push_put_off", shop_id=row.shop_id, fault=fault, tries=row.tries)
    with transaction():
        session.execute(_PUT_OFF, {**_mine(row), "fault": fault, "later": later})


def _mine(row: Any) -> dict[str, Any]:
    return {
        "shop": row.shop_id,
        "phone_hash": row.phone_hash,
        "revision": row.revision,
        "in_hand_until": row.in_hand_until,
    }


_WORDS = {State.OPTED_IN: "SUBSCRIBED", State.OPTED_OUT: "UNSUBSCRIBED", State.PENDING: "PENDING"}

_SETTLE = text(
    """
    UPDATE consent_pushes SET told = :told, fault = :fault, refusal_sealed = :refusal, settled_at = :now,
        in_hand_until = NULL, next_try_at = CASE WHEN revision = :revision THEN NULL ELSE next_try_at END
    WHERE shop_id = :shop AND phone_hash = :phone_hash AND in_hand_until = :in_hand_until
    """
)
_PUT_OFF = text(
    """
    UPDATE consent_pushes SET fault = :fault, in_hand_until = NULL,
        next_try_at = CASE WHEN revision = :revision THEN :later ELSE next_try_at END
    WHERE shop_id = :shop AND phone_hash = :phone_hash AND in_hand_until = :in_hand_until
    """
)
