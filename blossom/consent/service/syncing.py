"""Customers of Shopify with what it says of their consent.

Shopify's record is a list's: it opts in whom we know nothing better of, takes back what only it had said, and never
undoes an opt-out of ours, unless the phone's owner has confirmed to Shopify since. Its opt-out holds, unless the person
has told us otherwise since. All of it as a table: docs/consent.md; why: decision 0025.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from blossom.consent import rules
from blossom.consent.rules import Deed, Source, Standing, State
from blossom.consent.service import owing
from blossom.consent.service.changes import Change, Step, apply, lock_standings
from blossom.contacts import queries as contact_queries
from blossom.contacts import service as contacts
from blossom.contacts.rules.customers import Customer, SmsConsent
from blossom.platform import clock

_A_SECOND = timedelta(seconds=1)
"""Shopify tells times without fractions."""

_CLOCKS_DIFFER = timedelta(minutes=2)
"""Ours and Shopify's, at the most. Who opts in again that soon after an opt-out is left out: the right mistake."""

_TOLD = {State.OPTED_IN: "SUBSCRIBED", State.OPTED_OUT: "UNSUBSCRIBED"}

_DOUBTFUL = ("PENDING", "NEVER_SUBSCRIBED", "NOT_SUBSCRIBED")  # NOT_: as it was called before 2026-10


def save_customers(shop_id: int, customers: Sequence[Customer]) -> list[contacts.Synced | None]:
    """Save the contacts of these customers and what Shopify says of their consent, within the caller's transaction.
    Any number of times: only what changes is an event. The contract of `contacts.save_customers`.

    What a list had said of a number goes with the customer who gives it up: it may be a stranger's by now, or was never
    theirs.
    """
    given_up = contacts.numbers_given_up(shop_id, customers)
    saved = contacts.save_customers(shop_id, customers)
    said = [
        (each, customer.consent)
        for customer, each in zip(customers, saved, strict=True)
        if each is not None and each.outcome is not None and customer.consent is not None
    ]
    # Locked all at once, in one order, so that two callers never wait for each other in a circle.
    standings = lock_standings(shop_id, given_up | {each.phone_hash for each, _ in said})
    doubted = {each.phone_hash for each, word in said if word.state in _DOUBTFUL and each.phone_hash in standings}
    owed = owing.owed_of(shop_id, doubted)
    steps = [Step(phone_hash, Deed.RETRACT, Source.SHOPIFY) for phone_hash in sorted(given_up)]
    steps += [
        _step(each.phone_hash, deed, word, each.contact_id)
        for each, word in said
        for deed in deeds_of(standings.get(each.phone_hash, Standing()), word, push_owed=each.phone_hash in owed)
    ]
    moved = {step.phone_hash for step, change in zip(steps, apply(shop_id, steps), strict=True) if change.changed}
    _owe_what_was_not_heard(
        shop_id, [(each.phone_hash, word) for each, word in said if each.phone_hash not in moved], standings
    )
    return saved


def hear_opt_outs(shop_id: int, told: Sequence[tuple[bytes, SmsConsent]]) -> None:
    """Shopify tells that these phones opted out, whatever it says by now: so it comes to the same, whether we asked
    before, between or after several changes. Not heard of who has opted in here since."""
    standings = lock_standings(shop_id, {phone_hash for phone_hash, _ in told})
    owners = contact_queries.owners_of(shop_id, {phone_hash for phone_hash, _ in told})
    contact_ids = {phone_hash: owner.contact_id for phone_hash, owner in owners.items()}
    steps = [
        _step(phone_hash, Deed.OPT_OUT, said, contact_ids.get(phone_hash))
        for phone_hash, said in told
        if deeds_of(standings.get(phone_hash, Standing()), said, push_owed=False)
    ]
    apply(shop_id, steps)


def forget_list(shop_id: int, phone_hash: bytes) -> Change:
    """The customer is gone at Shopify: an opt-in that only a list had proven goes, too."""
    return apply(shop_id, [Step(phone_hash, Deed.RETRACT, Source.SHOPIFY)])[0]


def deeds_of(standing: Standing, said: SmsConsent, *, push_owed: bool) -> tuple[Deed, ...]:
    """What Shopify's word does to a phone that stands so. `push_owed`: our own word is still on its way there. Pure."""
    match said.state:
        case "UNSUBSCRIBED":
            return () if _told_otherwise_since(standing, said) else (Deed.OPT_OUT,)
        case "SUBSCRIBED":
            out = standing.state is State.OPTED_OUT
            return (Deed.OPT_IN,) if (_is_confirmed_since if out else _is_news)(standing, said) else ()
        case "PENDING" if standing.state is State.OPTED_IN:
            return (Deed.RETRACT, Deed.ASK) if _takes_back(standing, said, push_owed) else ()
        case "PENDING":
            return (Deed.ASK,) if _is_news(standing, said) else ()
        case "NEVER_SUBSCRIBED" | "NOT_SUBSCRIBED":
            return (Deed.RETRACT,) if _takes_back(standing, said, push_owed) else ()
    return ()  # REDACTED: we may not see it


def _owe_what_was_not_heard(
    shop_id: int, said: Sequence[tuple[bytes, SmsConsent]], standings: Mapping[bytes, Standing]
) -> None:
    """Tell Shopify again where it says something else than what stands here, of those whose standing its word has not
    changed, and where the last push came to something else than what it says now.

    Something older: it had no customer with this number when the number's owner told us (before an import, before the
    app was there, under another number). Something later that doesn't count here (another app's yes after a STOP, a
    customer made anew): once, which ends as `LATER_THERE` as long as Shopify keeps it, and so it isn't said again, and
    the contact's page says what is so.
    """
    concerned = [(standings[each], each, word) for each, word in said if _is_told(standings.get(each), word)]
    pushes = owing.pushes_of(shop_id, {phone_hash for _, phone_hash, _ in concerned})
    told = {
        phone_hash: rules.urgency(standing.state, listed=True)
        for standing, phone_hash, word in concerned
        if _has_not_heard(standing, word, pushes.get(phone_hash))
    }
    owing.owe(shop_id, told, clock.now())


def _is_told(standing: Standing | None, said: SmsConsent) -> bool:
    """Whether what stands here is told to Shopify. Its own word isn't told back, but for an opt-out that it took back
    by a word that doesn't count here."""
    if standing is None or standing.state not in _TOLD or said.state not in ("SUBSCRIBED", "UNSUBSCRIBED", *_DOUBTFUL):
        return False
    return standing.source is not Source.SHOPIFY or (standing.state is State.OPTED_OUT and said.state == "SUBSCRIBED")


def _has_not_heard(standing: Standing, said: SmsConsent, push: owing.Last | None) -> bool:
    if push is not None and push.is_owed:
        return False
    if said.state == _TOLD[standing.state]:
        return push is not None and push.fault == rules.LATER_THERE  # it was so, and is no more
    return not _is_later(standing, said) or push is None or push.fault is None


def _told_otherwise_since(standing: Standing, said: SmsConsent) -> bool:
    """Whether the person opted in here after Shopify's opt-out, which then is an older word (ours is on its way)."""
    if standing.state is not State.OPTED_IN or standing.source not in rules.BY_THE_PERSON:
        return False
    if standing.changed_at is None or said.updated_at is None:
        return False
    return standing.changed_at >= said.updated_at + _A_SECOND


def _is_confirmed_since(standing: Standing, said: SmsConsent) -> bool:
    """Whether the phone's owner confirmed to Shopify itself, after an opt-out here."""
    if not _is_confirmed(said) or standing.changed_at is None or said.updated_at is None:
        return False
    return said.updated_at > standing.changed_at + _CLOCKS_DIFFER


def _is_confirmed(said: SmsConsent) -> bool:
    """A box that was ticked at the checkout is not enough, as it isn't in our own form: anybody can type a number. Nor
    can it be told from a merchant's click in the admin, where the record is the same but for the level."""
    confirmed = said.level == "CONFIRMED_OPT_IN" and said.collected_from == "SHOPIFY"
    return confirmed and said.state == "SUBSCRIBED"


def _is_news(standing: Standing, said: SmsConsent) -> bool:
    """Whether Shopify's word was given after what stands here, or nothing but its own word stands here: so what we once
    told it doesn't come back after we have taken it back."""
    return standing.source in (None, Source.SHOPIFY) or _is_later(standing, said)


def _takes_back(standing: Standing, said: SmsConsent, push_owed: bool) -> bool:
    """Whether a record that doesn't say yes takes back what a list had said. A record without a time, or of before a
    file that the merchant attested, has just not heard of it; nor has one of before a push that is owed."""
    if push_owed:
        return False
    return standing.source is Source.SHOPIFY or (standing.source is Source.IMPORT and _is_later(standing, said))


def _is_later(standing: Standing, said: SmsConsent) -> bool:
    if standing.changed_at is None or said.updated_at is None:
        return False
    return said.updated_at > standing.changed_at


def _step(phone_hash: bytes, deed: Deed, said: SmsConsent, contact_id: int | None = None) -> Step:
    """With the source `checkout` if the person themselves confirmed to Shopify, else `shopify`."""
    details = {"level": said.level, "collected_from": said.collected_from}
    return Step(
        phone_hash,
        deed,
        Source.CHECKOUT if deed is Deed.OPT_IN and _is_confirmed(said) else Source.SHOPIFY,
        contact_id=contact_id,
        occurred_at=said.updated_at,
        details={name: value for name, value in details.items() if value},
        known_to_shopify=True,
    )
