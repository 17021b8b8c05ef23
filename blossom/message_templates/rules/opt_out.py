"""How a text tells its reader to get no more of them, and how to see whether it does.

A marketing text must say it. It is found with care rather than generously: "Don't STOP the party" is not a way out,
so a stop word counts only beside words that make it one ("Reply STOP", "STOP to opt out", "Opt out: STOP"), and only
outside of `{% if %}`, where everybody gets it. In doubt the line is added; twice said costs characters, not said
breaks the law. `{{ opt_out_link }}` is a way out, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from blossom.message_templates.rules.short_links import OPT_OUT_LINK
from blossom.platform import gsm

DEFAULT = {
    "en": "Reply STOP to opt out",
    "el": "Απάντησε ΣΤΟΠ για διαγραφή",
}
"""The line added when a shop has set none, by the text's language; English for languages not here."""

STOP_WORDS = ("STOP", "STOPALL", "UNSUBSCRIBE", "ΣΤΟΠ", "ΔΙΑΓΡΑΦΗ")
"""Those of spec §3 that a text would tell people to send. END, QUIT and CANCEL are obeyed when they come in, but
beside an ordinary word ("END OF SEASON") they prove nothing."""

_verbs = (
    "reply|text|send|txt|sms|answer|"
    "απαντησε|απαντηστε|στειλε|στειλτε|γραψε|γραψτε|απαντηση|"
    "repondez|envoyez|antworte|antworten sie|sende|senden sie|responde|envia|rispondi|invia|odpisz|wyslij|antwoord"
)
_purposes = (
    r"opt[ -]?out|unsub\w*|(?:to|2) (?:end|stop|cancel|leave|quit)|διαγραφη\w*|διακοπη\w*|"
    r"desabonner|abmelden|abbestellen|cancelar|disiscriver\w*|zrezygnowac|wypisac"
)
_markup = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
# By itself, as a phone needs it to make a link that can be tapped: unfiltered (a code in capitals is none), and nothing
# glued to it, nor drawn to it by `{{-`.
_opt_out_link = re.compile(rf"(?<![^\s(])\{{\{{\s*{OPT_OUT_LINK}\s*\}}\}}(?=[.,;:!)]*(?:\s|$))")
_tag = re.compile(r"\{%-?\s*(\w+).*?%\}", re.DOTALL)


def default_line(language: str) -> str:
    return DEFAULT.get(language.partition("-")[0].lower(), DEFAULT["en"])


def names_a_way_out(line: str, keywords: Iterable[str] = ()) -> bool:
    """Can a shop's `line` stand as the way out: does everybody read in it a word that opts out, or the link?

    A line is there to say it, so the word alone is enough ("STOP = fin"), where in a text it would not be.
    """
    if _opt_out_link.search(_for_everybody(line, between="|")):
        return True
    said = _folded(_markup.sub(" ", _for_everybody(line)))
    return re.search(rf"\b(?:{_any_of(keywords)})\b", said) is not None


def line_of(line: str | None, keywords: Iterable[str] = (), *, language: str = "en") -> str:
    """The shop's `line`, or the usual one where it has none, or one that says nobody how to opt out (any more)."""
    return line if line and names_a_way_out(line, keywords) else default_line(language)


def _any_of(keywords: Iterable[str]) -> str:
    """A pattern of the stop words that a text may tell people to send, folded."""
    return "|".join(re.escape(_folded(word)) for word in (*STOP_WORDS, *keywords) if word.strip())


def spoken_line(line: str) -> str:
    """The shop's line for an answer to one person, which is words only: one with Liquid gives way to the usual one."""
    return default_line("en") if "{{" in line or "{%" in line else line


def has_opt_out(text: str, *, line: str = "", keywords: Iterable[str] = ()) -> bool:
    """Does everybody who gets this text (its source) read how to opt out?

    `line`: the shop's own wording, which counts as it stands if it names a way out.
    `keywords`: the shop's stop words beside the usual.
    """
    if _opt_out_link.search(_for_everybody(text, between="|")):
        return True
    said = _folded(_markup.sub(" ", _for_everybody(text)))
    keywords = list(keywords)
    if names_a_way_out(line, keywords) and _folded(line) in said:
        return True
    words = _any_of(keywords)
    return any(
        re.search(pattern, said)
        for pattern in (
            rf"\b(?:{_folded_words(_verbs)})\b[^.!?\n]{{0,20}}\b(?:{words})\b",
            rf"\b(?:{words})\b\W{{0,3}}(?:\w+ ){{0,2}}(?:{_folded_words(_purposes)})",
            rf"\b(?:{_folded_words(_purposes)})[^.!?\n]{{0,20}}\b(?:{words})\b",
        )
    )


def asks_a_name(sender: str, text: str) -> bool:
    """Whether the way out in `text` is an answer, to a `sender` who can't be answered: a name is no number."""
    return not sender.startswith("+") and not _opt_out_link.search(_for_everybody(text, between="|"))


def with_opt_out(text: str, line: str, *, keywords: Iterable[str] = ()) -> str:
    """`text`, with the opt-out `line` under it if it lacks a way out."""
    if has_opt_out(text, line=line, keywords=keywords):
        return text
    return f"{text.rstrip()}\n{line}"


def _for_everybody(text: str, between: str = " ") -> str:
    """`text` without what stands inside a condition, with `between` in the place of each tag."""
    out: list[str] = []
    depth, at = 0, 0
    for tag in _tag.finditer(text):
        if depth == 0:
            out.append(text[at : tag.start()])
        if tag[1] in ("if", "unless"):
            depth += 1
        elif tag[1] in ("endif", "endunless"):
            depth = max(0, depth - 1)
        at = tag.end()
    if depth == 0:
        out.append(text[at:])
    return between.join(out)


def _folded(text: str) -> str:
    """As it looks, whatever its case, accents, spacing and script: ΣΤΟΠ in Greek is ΣTOΠ in GSM-7 capitals."""
    bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return " ".join(gsm.greek_capitals(bare).casefold().split())


def _folded_words(pattern: str) -> str:
    """The same folding for the letters of a pattern, leaving its syntax (`\\w`, `(?:`) alone."""
    return gsm.greek_capitals(pattern).lower()
