"""What a shopper's page does: takes a form in, lets a job find out what comes of it, and keeps its codes secret.

Proof that Shopify forwarded a request is asked in `views`; here the shop is known.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass

import structlog

from blossom.consent import queries as consents
from blossom.consent import rules as consent_rules
from blossom.consent import service as consent
from blossom.consent.rules import Outcome, Settings
from blossom.consent.service import Asked
from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules import Phone
from blossom.links import queries as link_queries
from blossom.links import service as link_service
from blossom.links.rules import codes
from blossom.messaging import queries as texts
from blossom.messaging import service as messaging
from blossom.messaging.rules import message_ids
from blossom.platform import clock, config, languages, queue, visits
from blossom.platform.errors import NotFound
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.storefront import rules
from blossom.storefront.rules import FormFacts
from blossom.wallet.errors import InsufficientCredit

log = structlog.get_logger()

FORMS_A_MINUTE = 10
"""From one address. A family behind one router sends fewer."""
SHOP_FORMS_A_MINUTE = 300
LINKS_A_MINUTE = 600
"""Short links, from one address, behind which a mobile network may hold many people."""
GUESSES_A_MINUTE = 30
"""Codes that lead nowhere, from one address: a code has 80 bits, so this only keeps the noise down. Whoever has a code
of theirs is never refused: behind one address a mobile network may hold many people who opt out after one campaign."""


@dataclass(frozen=True)
class Visitor:
    """Who looks at a shop's page: the shop, where its proxy stands, and what is known of the shopper."""

    shop: Shop
    settings: Settings
    prefix: str
    locale: str
    customer_id: str
    ip: str | None
    user_agent: str | None


@dataclass(frozen=True)
class OptOutLink:
    """Whose link it is, and in which dispatch's text it stood; None: on one of our pages."""

    phone_hash: bytes
    dispatch_id: int | None = None


def wording(visitor: Visitor) -> str:
    """What the shopper agrees to, in their language: the shop's own words, else ours."""
    own = visitor.settings.wordings
    language = visitor.locale.partition("-")[0]
    mine = own.get(visitor.locale) or own.get(language)
    return mine or languages.translator(visitor.locale)(consent_rules.WORDING, shop=visitor.shop.name)


def form_token(visitor: Visitor) -> str:
    """For a form that is about to be shown."""
    facts = FormFacts(
        shop_id=visitor.shop.id,
        name=secrets.token_urlsafe(12),
        customer_id=visitor.customer_id,
        wording=rules.wording_hash(wording(visitor)),
        issued_at=int(clock.now().timestamp()),
    )
    return rules.sign_form(facts, _keys())


def form_of(visitor: Visitor, token: str) -> FormFacts | None:
    """The form that came back, if it is one that this visitor could have been shown, and shortly ago."""
    facts = rules.read_form(token, _keys(), clock.now())
    if facts is None or (facts.shop_id, facts.customer_id) != (visitor.shop.id, visitor.customer_id):
        return None
    return facts


def may_send_form(visitor: Visitor) -> bool:
    """Whether this address, and this shop's form, are within their limits."""
    return visits.allows(
        _by_address("form", visitor, FORMS_A_MINUTE) | {f"form:{visitor.shop.id}": SHOP_FORMS_A_MINUTE}
    )


def may_guess(visitor: Visitor) -> bool:
    """Whether this address is within its limit for codes that lead nowhere; asked for each of them."""
    return visits.allows(_by_address("code", visitor, GUESSES_A_MINUTE))


def _by_address(kind: str, visitor: Visitor, most: int) -> dict[str, int]:
    return {f"{kind}:{visitor.shop.id}:{rules.counted_as(visitor.ip)}": most} if visitor.ip else {}


def may_follow(visitor: Visitor) -> bool:
    """Whether this address is within its limit for short links."""
    return visits.allows(_by_address("link", visitor, LINKS_A_MINUTE))


def follow(visitor: Visitor, code: str, *, count: bool) -> str | None:
    """Where the short link leads, counted as a click or not; None for a code that the shop never made, and for a text
    of which nothing is left."""
    found = link_queries.codes(visitor.shop.id).read(code)
    if found is None:
        return None
    message_id, number = found
    dispatch_id = message_ids.dispatch_of(message_id)
    address = link_queries.target(visitor.shop.id, dispatch_id, number)
    if address is not None and count:
        link_service.record_click(visitor.shop.id, dispatch_id, message_id, number)
    return address


def opt_out_link(visitor: Visitor, code: str) -> OptOutLink | None:
    """Whose opt-out link it is, of a text's or of one of our pages; None for a code that the shop never made, and for
    who was forgotten since."""
    if len(code) != codes.LENGTH:
        phone_hash = consent.phone_hash_of(visitor.shop.id, code)
        return OptOutLink(phone_hash) if phone_hash else None
    found = link_queries.codes(visitor.shop.id).read(code)
    if found is None or found[1] != codes.OPT_OUT:
        return None
    phone_hash = texts.phone_hash_of(visitor.shop.id, found[0])
    return OptOutLink(phone_hash, message_ids.dispatch_of(found[0])) if phone_hash else None


def opt_out(visitor: Visitor, link: OptOutLink) -> None:
    """End the texts to whose link it is. Again: the same end."""
    details = {} if link.dispatch_id is None else {"dispatch": link.dispatch_id}
    consent.opt_out_by_link(
        visitor.shop.id, link.phone_hash, ip=visitor.ip, user_agent=visitor.user_agent, details=details
    )


def opt_out_path(visitor: Visitor, phone_hash: bytes) -> str:
    """The shopper's own opt-out link, as a path on the shop's site; it goes on in their language."""
    code = consent.unsubscribe_code(visitor.shop.id, phone_hash)
    return f"{visitor.prefix}/unsubscribe/{code}?locale={visitor.locale}"


def take_form(visitor: Visitor, phone: Phone, facts: FormFacts) -> None:
    """Store a form that is whole. It costs the same whatever the number, and says nothing."""
    stored = consent.receive_request(
        visitor.shop.id,
        phone,
        form=facts.name,
        locale=visitor.locale,
        path_prefix=visitor.prefix,
        wording=wording(visitor),
        ip=visitor.ip,
        user_agent=visitor.user_agent,
    )
    if stored is not None:
        queue.enqueue("storefront.settle", shop_id=visitor.shop.id, request_id=stored)


def settle(shop_id: int, request_id: int) -> Outcome | None:
    """Find out what comes of a form, in the caller's transaction; the text that asks to confirm is sent from here."""
    outcome = consent.settle_request(shop_id, request_id, lambda asked: _ask(shop_id, asked))
    if outcome is not None:
        tell = log.warning if outcome is Outcome.TOO_MANY_ASKED else log.info
        tell("storefront.settled", shop_id=shop_id, request_id=request_id, outcome=outcome.value)
    return outcome


def forget_codes() -> int:
    """Take the codes out of texts that have left; how many. From then on nothing of ours holds one."""
    forgotten = 0
    for shop_id, request_id, dispatch_id in consents.texted_requests():
        if messaging.forget_reply(shop_id, dispatch_id):
            consent.note_forgotten(shop_id, request_id)
            forgotten += 1
    return forgotten


def _ask(shop_id: int, asked: Asked) -> int | Outcome:
    shop = shops.get_shop(shop_id)
    base = config.current().shopify_shop_url.format(shop=shop.domain)
    link = f"{base}{asked.path_prefix}/confirm/{asked.code}"
    text = rules.confirmation_text(shop.name, link, languages.translator(asked.locale))
    send = messaging.send_confirmation if asked.opted_out else messaging.send_reply
    try:
        return send(shop_id, asked.phone, text).id
    except PhoneRefused:
        return Outcome.NOT_TEXTABLE
    except (InsufficientCredit, NotFound):  # NotFound: a shop that never opened its wallet
        return Outcome.NO_CREDIT


def _keys() -> list[bytes]:
    """Derived from the master keys, so that no key of its own has to be kept; the current one signs."""
    masters = config.current().master_keys.values()
    return [hmac.digest(key, b"blossom shopper form", "sha256") for key in masters][::-1]
