"""What a text asks for: to end texts, to have them again, help, or a shop's own word. Pure.

Any plain way of saying "no more texts" ends them (the FCC's rule since 2025: any reasonable means). Who is texted after
a STOP that went unheard is wronged, and the shop is sued; who is left out by mistake says START. So the tables are wide
about what is said of texting, and a word that they don't know makes a sentence, which is kept for the merchant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise


class Keyword(StrEnum):
    STOP = "stop"
    START = "start"
    HELP = "help"
    JOIN = "join"  # a shop's own word, by which it takes new subscribers


STOP_WORDS = frozenset(
    {"stop", "unsubscribe", "stopall", "cancel", "end", "quit", "revoke", "opt out", "optout", "στοπ", "διαγραφη"}
)
START_WORDS = frozenset({"start", "unstop", "εναρξη"})
HELP_WORDS = frozenset({"help", "info", "βοηθεια", "πληροφοριεσ"})

COURTESY = frozenset({"please", "pls", "plz", "thanks", "thank", "you", "παρακαλω"})

STOPS = (
    *("stop", "stopall", "unsubscribe", "unsub", "unsuscribe", "opt out", "optout", "opt me out", "revoke"),
    *("remove me", "remove my number", "take me off", "take my number off", "delete me", "delete my number"),
    *("no more", "leave me alone", "lose my number", "i said stop", "i want out", "make it stop"),
    *("do not text me", "don t text me", "dont text me", "do not text", "don t text", "dont text", "never text me"),
    *("do not message me", "don t message me", "dont message me", "do not contact me", "don t contact me"),
    *("dont contact me", "do not sms me", "don t sms me", "dont sms me"),
    *("στοπ", "διαγραφη", "απεγγραφη", "σταματα", "σταματηστε", "σταματατε", "σταματηστε με", "να σταματησετε"),
    *("διαγραψτε με", "διαγραψε με", "βγαλτε με", "βγαλε με", "ξεγραψτε με", "αφαιρεστε με", "διαγραψτε τον αριθμο"),
    *("μη μου στελνετε", "μην μου στελνετε", "μη μου στελνεισ", "μην μου στελνεισ", "μη μου ξαναστειλετε"),
    *("μην μου ξαναστειλετε", "μη στελνετε", "μην στελνετε", "μη μου στειλετε", "μην μου στειλετε"),
    *("stamata", "stamatiste", "stamathste", "stamatate", "diagrafi", "diagrafh"),  # Greek in Latin letters
)  # fmt: skip
"""What ends texts at the beginning of a text of which nothing else is left but `SMALL` words. All folded."""

STOPS_IF_TEXTS = (
    *("cancel", "end", "quit", "no", "i do not want", "i don t want", "i dont want", "do not want", "don t want"),
    *("do not send me", "don t send me", "dont send me", "do not send", "don t send", "dont send", "enough"),
    *("οχι αλλα", "οχι αλλο", "δεν θελω αλλα", "δε θελω αλλα", "δεν θελω αλλο", "δεν θελω", "δε θελω"),
)  # fmt: skip
"""The same, but one of the `TEXTS` must be named, too: alone they may be about an order, or anything."""

ALONE = frozenset({"οχι αλλα", "οχι αλλα πια", "οχι αλλο", "no more of this", "no more of these", "stop this now"})

TEXTS = frozenset({
    "sms", "text", "texts", "texting", "txt", "txts", "message", "messages", "messaging", "msg", "msgs", "mms",
    "marketing", "promo", "promos", "promotions", "promotional", "spam", "spamming", "notifications", "alerts",
    "newsletter", "newsletters", "ads", "advertising", "advertisements", "μηνυμα", "μηνυματα", "μυνημα",
    "μυνηματα", "σμσ", "διαφημισεισ", "διαφημιστικα", "διαφημιση", "ενημερωσεισ", "minimata", "mhnymata",
})  # fmt: skip
SMALL = TEXTS | frozenset({
    "all", "now", "it", "me", "us", "this", "these", "that", "those", "them", "the", "your", "ur", "my", "mine",
    "any", "more", "anymore", "again", "ever", "everything", "sending", "send", "contacting", "contact",
    "bothering", "calling", "calls", "from", "you", "u", "to", "for", "on", "off", "out", "immediately",
    "already", "today", "asap", "right", "away", "and", "list", "lists", "number", "phone", "mobile", "offers",
    "updates", "ok", "okay", "i", "said", "να", "μου", "με", "μασ", "το", "τα", "τη", "την", "τον", "τισ", "τουσ",
    "τωρα", "ολα", "αλλα", "αλλο", "πια", "πλεον", "αμεσωσ", "αυτο", "αυτα", "αυτεσ", "απο", "λιστα", "σασ",
    "σου", "ξανα", "και", "στελνετε", "στελνεισ", "στειλετε", "αποστολη", "προσφορεσ", "αριθμο", "κινητο",
    "τηλεφωνο", "ευχαριστω", "οκ",
})  # fmt: skip
"""Small words about texting, that may stand behind what ends it."""

BEFORE = frozenset({
    "ok", "okay", "yes", "no", "just", "hi", "hello", "hey", "well", "oh", "ναι", "οχι", "οκ", "γεια", "λοιπον",
})  # fmt: skip
"""What may stand before it."""

ASKING = frozenset({
    "i", "you", "u", "want", "wish", "need", "would", "like", "to", "can", "could", "will", "how", "do", "where",
    "may", "we", "me", "please",
})  # fmt: skip
"""The same, if it names `TEXTS` or can mean nothing else: "I want to unsubscribe", "Can you stop texting me"."""

_SURE = frozenset({"unsubscribe", "unsub", "optout", "opt out", "opt me out", "remove me from", "take me off"})

_SIGNATURES = re.compile(
    r" (?:sent (?:from|via|with|by)|get outlook for|αποσταλθηκε απο|απεσταλη απο|εσταλη απο|σταλθηκε απο|"
    r"αποστολη απο το) .*"
)
_SIGNATURE_RULE = re.compile(r"\n\s*(?:--+|__+)\s*\n.*", re.DOTALL)

_LONGEST = 160
"""A keyword text is short; a longer one need not be looked at."""

_INVISIBLE = frozenset({"Cf", "Cc", "Mn", "Me"})
_NOT_A_WORD = re.compile(r"[\W_]+")
_GREEK = re.compile("[α-ω]")
_LATIN_AS_GREEK = "abezhikmnoptxy"
_LOOK_GREEK = str.maketrans(_LATIN_AS_GREEK, "αβεζηικμνορτχυ")


def fold(text: str) -> str:
    """A text as keywords are compared: no case, accents, invisible characters or punctuation, single spaces.

    Full-width letters and ligatures become plain ones (NFKC); the final sigma becomes a sigma. In a word with a Greek
    letter, Latin ones that look Greek are: the alphabet of texts has Σ and Π, but no Τ and no Ο of its own, so that a
    phone sends ΣΤΟΠ with a Latin T and O.
    """
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text))
    shown = "".join(
        " " if c.isspace() else c for c in decomposed if c.isspace() or unicodedata.category(c) not in _INVISIBLE
    )
    words = _NOT_A_WORD.sub(" ", shown.casefold().replace("ς", "σ")).split()
    return " ".join(word.translate(_LOOK_GREEK) if _GREEK.search(word) else word for word in words)


def classify_keyword(text: str, extra_stop: Iterable[str] = (), join: Iterable[str] = ()) -> Keyword | None:
    """Which keyword a person's text is, if it says nothing else.

    A keyword counts said once or several times, spelled with spaces, with words of courtesy, over a phone's signature.
    A STOP also in other words, as the tables above have it; START, HELP and a shop's own words only as they are.
    Built-in words are judged before the shop's own `extra_stop`, so that a shop can't turn START or HELP into a STOP;
    its `join` words come last, so that none of them can keep anybody from ending its texts.
    """
    folded = _SIGNATURES.sub("", fold(_SIGNATURE_RULE.sub("", text)) + " ").strip()
    if not folded or len(folded) > _LONGEST:
        return None
    stops, joins = [fold(word) for word in extra_stop], [fold(word) for word in join]
    candidates = list(_ways_to_read(folded))
    for candidate in candidates:
        found = _whole(candidate, stops, joins)
        if found is not None:
            return found
    return Keyword.STOP if any(_says_stop(candidate.split()) for candidate in candidates) else None


def _ways_to_read(folded: str) -> Iterator[str]:
    """As it is, without courtesy, spelled letter by letter, and with all that looks Greek being so."""
    yield folded
    words = [word for word in folded.split() if word not in COURTESY]
    yield " ".join(words)
    if len(words) > 1 and all(len(word) == 1 for word in words):
        yield fold("".join(words))
    if _GREEK.search(folded):
        yield " ".join(word.translate(_LOOK_GREEK) if set(word) <= set(_LATIN_AS_GREEK) else word for word in words)


def _whole(folded: str, extra_stop: list[str], join: list[str]) -> Keyword | None:
    tables = ((Keyword.STOP, STOP_WORDS), (Keyword.START, START_WORDS), (Keyword.HELP, HELP_WORDS))
    own = ((Keyword.STOP, frozenset(filter(None, extra_stop))), (Keyword.JOIN, frozenset(filter(None, join))))
    for keyword, words in (*tables, *own):
        if any(_repeats(folded, word) for word in words):
            return keyword
    return None


def _repeats(folded: str, word: str) -> bool:
    times, rest = divmod(len(folded) + 1, len(word) + 1)
    return rest == 0 and times > 0 and " ".join([word] * times) == folded


def _says_stop(words: Sequence[str]) -> bool:
    """Whether these words end texts, and are about nothing else."""
    if " ".join(words) in ALONE:
        return True
    if _ends_texts(words):
        return True
    if words and words[0] in BEFORE:
        return _says_stop(words[1:])
    asked = list(words)
    while asked and asked[0] in ASKING:
        asked = asked[1:]
    named = not TEXTS.isdisjoint(asked) or any(_begins(asked, sure.split()) for sure in _SURE)
    return len(asked) < len(words) and named and _ends_texts(asked)


def _ends_texts(words: Sequence[str]) -> bool:
    """Whether they begin with what ends texts, and go on with small words alone."""
    for phrase in _STOPS:
        if _begins(words, phrase) and all(word in _BEHIND for word in words[len(phrase) :]):
            return True
    for phrase in _STOPS_IF_TEXTS:
        rest = words[len(phrase) :]
        if _begins(words, phrase) and _BEHIND_TEXTS.issuperset(rest) and not TEXTS.isdisjoint(rest):
            return not (phrase == ["no"] and _asks_for_texts(rest))
    return False


def _asks_for_texts(words: Sequence[str]) -> bool:
    """After a No: "send me more texts", "text me on my mobile"."""
    return "send" in words or any(word in TEXTS and then in ("me", "us") for word, then in pairwise(words))


def _begins(words: Sequence[str], phrase: Sequence[str]) -> bool:
    return list(words[: len(phrase)]) == list(phrase)


_STOPS = [phrase.split() for phrase in STOPS]
_STOPS_IF_TEXTS = [phrase.split() for phrase in STOPS_IF_TEXTS]
_BEHIND_TEXTS = SMALL | COURTESY
"""No word that ends texts: "I don't want to stop the texts" is none."""
_BEHIND = SMALL | COURTESY | {phrase for phrase in (*STOPS, *STOP_WORDS) if " " not in phrase}
