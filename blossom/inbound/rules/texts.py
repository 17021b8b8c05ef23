"""Who a text came from, which shops it is for, when two texts are one, and what is answered. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from blossom.consent.rules import Keyword, Source, State
from blossom.contacts import rules as contacts
from blossom.contacts.errors import PhoneRefused
from blossom.platform import gsm

_SEPARATORS = re.compile(r"[\s().\-]+")
_INTERNATIONAL = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")
_DIALLED = re.compile(r"\+?[0-9]{7,17}")
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")

TEXTED_WITHIN = timedelta(days=30)
"""A shop that texted a phone within this time is the likelier to be answered by it."""

ANSWER_EVERY = {Keyword.STOP: timedelta(days=1), Keyword.HELP: timedelta(hours=1)}
"""A phone gets one answer to a keyword within this time, so that two machines never keep each other talking."""

ANSWER_WITHIN = timedelta(hours=1)
"""An answer later than this would come out of the blue."""


class Unanswered(StrEnum):
    """Why a text that calls for an answer got none."""

    TOO_LATE = "too_late"
    ANSWERED_BEFORE = "answered_before"  # within ANSWER_EVERY
    OPTED_OUT = "opted_out"  # asked for help, but wants no texts
    NO_CREDIT = "no_credit"
    NOT_TEXTABLE = "not_textable"  # not a number that takes texts
    SHOP_LEFT = "shop_left"  # uninstalled


@dataclass(frozen=True)
class Candidate:
    """A shop that a text may be for: what the text means there, and how well it knows the phone."""

    shop_id: int
    keyword: Keyword | None
    is_named: bool  # by the webhook's own address
    contact_id: int | None
    consent: State | None  # None: no event of this phone yet
    consent_source: Source | None
    texted_at: datetime | None  # last, within TEXTED_WITHIN

    @property
    def knows_phone(self) -> bool:
        return self.contact_id is not None or self.consent is not None


@dataclass(frozen=True)
class Placed:
    """A text in one of the shops that it is for. `answers`: this shop is the one that answers it."""

    candidate: Candidate
    answers: bool


@lru_cache(maxsize=4_096)
def read_phone(raw: str, default_country: str) -> str | None:
    """The E.164 form of a sender's number, or None if it is no phone (a name, a short code).

    Providers write numbers internationally, often without the plus, so that is tried first; then as a number of the
    shop's country. What libphonenumber doesn't know but looks international is taken as it is: a STOP is not refused
    over a range that was opened last month.
    """
    compact = _SEPARATORS.sub("", raw)
    international = _INTERNATIONAL.fullmatch(compact)
    attempts = [f"+{international.group(1)}"] if international else []
    for attempt in (*attempts, raw):
        try:
            return contacts.normalise_phone(attempt, default_country).e164
        except PhoneRefused:
            continue
    return attempts[0] if attempts else None


def is_greek(text: str) -> bool:
    """Whether there is a Greek letter in it."""
    return bool(_GREEK.search(text))


def is_phone(raw: str) -> bool:
    """Whether `raw` could be a phone's number in some country, and not a name or a short code."""
    return bool(_DIALLED.fullmatch(_SEPARATORS.sub("", raw)))


def sender_keys(recipient: str | None) -> list[str]:
    """How a shop's `sender`, in small letters, would read if `recipient` is it."""
    compact = _SEPARATORS.sub("", recipient or "").casefold()
    international = _INTERNATIONAL.fullmatch(compact)
    if international:
        return [f"+{international.group(1)}"]
    return [compact] if compact else []


def place(candidates: Sequence[Candidate]) -> list[Placed]:
    """Which of `candidates` a text is stored in, and which of them answers it.

    A STOP is for all of them: where it could be meant, it holds. A START undoes STOPs where there are any, else it is
    for the likeliest shop alone, as is every other text: one shop's customer is no other shop's business. The
    likeliest is the one that the address named, else the one whose own word the text is, else the one that texted the
    phone last.
    """
    ranked = sorted(candidates, key=_likelihood)
    stopped = [each for each in ranked if each.keyword is Keyword.STOP]
    others = [each for each in ranked if each.keyword is not Keyword.STOP]
    placed = [Placed(each, answers=each is stopped[0]) for each in stopped]
    if others and others[0] is ranked[0]:
        joined = [each for each in others if each.keyword is Keyword.JOIN]
        placed += _place_one(joined if joined and not others[0].is_named else others)
    return placed


def _likelihood(candidate: Candidate) -> tuple[bool, float, int]:
    texted = candidate.texted_at.timestamp() if candidate.texted_at else 0.0
    return not candidate.is_named, -texted, candidate.shop_id


def _place_one(ranked: list[Candidate]) -> list[Placed]:
    likeliest = ranked[0]
    if likeliest.keyword is Keyword.START:
        said_stop = [
            each
            for each in ranked
            if each.keyword is Keyword.START
            and each.consent is State.OPTED_OUT
            and each.consent_source is Source.KEYWORD
        ]
        return [Placed(each, answers=False) for each in said_stop or [likeliest]]
    return [Placed(likeliest, answers=likeliest.keyword is Keyword.HELP)]


@dataclass(frozen=True)
class Identity:
    """What makes two texts one, as words to be hashed with the shop's key. `earlier`: the same a minute before."""

    key: str
    earlier: str | None


def identity(
    phone: str, recipient: str | None, text: str, message_id: str | None, sent_at: datetime | None, now: datetime
) -> Identity:
    """The provider's id if it gave one, else who wrote what to whom and when.

    Without a time either, the minute of our own clock counts, and a text like one of the minute before is that one:
    so a repeat within a minute is always known, and the same words two minutes later are a new text.
    """
    if message_id is not None:
        return Identity(f"id\x1f{message_id}", None)
    what = "\x1f".join(("text", phone, recipient or "", text))
    if sent_at is not None:
        return Identity(f"{what}\x1f{sent_at.isoformat()}", None)
    minute = int(now.timestamp() // 60)
    return Identity(f"{what}\x1fminute {minute}", f"{what}\x1fminute {minute - 1}")


def answer_to(keyword: Keyword, text: str, *, shop_name: str, contact_line: str, opt_out_text: str) -> str:
    """What is answered to a STOP or a HELP, in Greek if it was asked in Greek.

    Greek is written in the capitals of the GSM alphabet, which makes it one part instead of two.
    """
    greek = is_greek(text)
    if keyword is Keyword.STOP:
        words = (
            f"{shop_name}: Η διαγραφή σας έγινε, δεν θα λάβετε άλλα SMS. Για νέα εγγραφή στείλτε START."
            if greek
            else f"{shop_name}: You are unsubscribed and will get no more texts. Reply START to subscribe again."
        )
        return gsm.greek_capitals(words)
    contact = f"{'Επικοινωνία' if greek else 'Contact'}: {contact_line}" if contact_line else ""
    return gsm.greek_capitals(" ".join(_sentence(part) for part in (shop_name, contact, opt_out_text) if part))


def _sentence(words: str) -> str:
    """`words` with a full stop, where they don't end a sentence by themselves."""
    bare = words.rstrip(" .")
    return bare if bare.endswith(("!", "?", ";", "…")) else f"{bare}."
