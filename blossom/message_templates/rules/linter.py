"""Advice on a text before it is sent. An *error* blocks sending, a *warning* costs money or reach.

Sizes are of the text with example values and its opt-out line, as most people would get it; what each recipient's text
takes is counted when it is rendered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from blossom.message_templates.errors import RenderedTooLong, RenderError
from blossom.message_templates.rules import cures, opt_out, segments
from blossom.message_templates.rules.capitals import MAY_BE_GREEK
from blossom.message_templates.rules.catalogue import MARKETING, Trigger, examples, variables
from blossom.message_templates.rules.characters import explain
from blossom.message_templates.rules.language import CompiledText, examine
from blossom.message_templates.rules.markup import normalise_newlines
from blossom.message_templates.rules.segments import Encoding
from blossom.message_templates.rules.short_links import EXAMPLE_SITE
from blossom.platform.languages import joined, noted

MAX_SEGMENTS = 10
"""More parts than this are refused: networks drop or cut longer joins."""
LONG = 3
"""More parts than this are worth a warning."""

SHORTENERS = frozenset(
    [
        "bit.ly",
        "tinyurl.com",
        "goo.gl",
        "t.co",
        "ow.ly",
        "is.gd",
        "buff.ly",
        "rebrand.ly",
        "cutt.ly",
        "shorturl.at",
        "t.ly",
        "rb.gy",
        "tiny.cc",
        "bl.ink",
    ]
)
"""Public link shorteners: spam uses them, so that carriers block texts that hold them."""

_markup = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_link = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)?(?P<host>(?:[a-z0-9-]+\.)+[a-z]{2,})(?P<path>[/?#:]\S*)?", re.I)
# A dot without a space after it is more often a typing slip ("sale.Now") than a link; these endings are links.
_endings = re.compile(
    r"\.(com|net|org|io|co|shop|store|app|me|ly|link|info|biz|eu|gr|cy|uk|de|fr|it|es|nl|pl|tr|at|ch|be|us|ca|au|gl|gd|gy|cc)$"
)


class Level(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """`line` and `column` count from 1; findings on the whole text stand at its beginning."""

    level: Level
    code: str
    message: str
    line: int
    column: int
    actionable: str


def lint(
    source: str,
    trigger: Trigger,
    *,
    language: str = "en",
    opt_out_line: str = "",
    keywords: Collection[str] = (),
    sender: str | None = None,
    site: str = EXAMPLE_SITE,
) -> list[Finding]:
    """What is to be said about a text: errors first, then in the order of the text.

    `opt_out_line` and `keywords` are the shop's own; without a line, the language's usual one. `sender`: from whom it
    comes, where that is known. `site`: where short links begin.
    """
    source = normalise_newlines(source)
    compiled, problems = examine(source, trigger, language)
    findings = [
        Finding(Level.ERROR, problem.code, problem.message, problem.line, problem.column, problem.actionable or "")
        for problem in problems
    ]
    findings += _links(source)
    findings += _forgotten_braces(source, trigger)
    if compiled:
        findings += _missing_values(compiled)
        sent = source
        if trigger in MARKETING:
            line = opt_out.line_of(opt_out_line, keywords, language=language)
            sent = opt_out.with_opt_out(source, line, keywords=keywords)
            if sent != source:
                findings.append(_no_opt_out(line))
            if sender is not None and opt_out.asks_a_name(sender, sent):
                findings.append(_asks_a_name(sender))
        findings += _size(compiled, sent, site)
    order = [Level.ERROR, Level.WARNING, Level.INFO]
    return sorted(findings, key=lambda found: (order.index(found.level), found.line, found.column))


def blocks_sending(findings: Iterable[Finding]) -> bool:
    return any(found.level is Level.ERROR for found in findings)


def example_segments(source: str, trigger: Trigger, language: str, site: str = EXAMPLE_SITE) -> int:
    """Segments of a text with example values; 0 if it can't be rendered with them."""
    size = _example_size(source, trigger, language, site)
    return size.segments if size else 0


def _example_size(source: str, trigger: Trigger, language: str, site: str) -> segments.TextSize | None:
    try:
        text = _example(source, trigger, language, site)
    except RenderError:
        return None
    return segments.count(text) if text is not None else None


def _example(source: str, trigger: Trigger, language: str, site: str) -> str | None:
    """The text with example values; None for a faulty one. Raises `RenderError`."""
    compiled, _ = examine(source, trigger, language)
    return compiled.render({**examples(trigger, language), **compiled.stand_ins(site)}) if compiled else None


def _at(source: str, index: int, level: Level, code: str, message: str, actionable: str) -> Finding:
    line = source.count("\n", 0, index) + 1
    return Finding(level, code, message, line, index - source.rfind("\n", 0, index), actionable)


def _missing_values(compiled: CompiledText) -> Iterator[Finding]:
    for use in compiled.unprovided:
        yield _at(
            compiled.source,
            use.index,
            Level.ERROR,
            "may_be_missing",
            noted(
                "Some people have no “%(variable)s”, and the text does not say what they should read instead.",
                variable=use.variable,
            ),
            noted(
                'Write {{ %(variable)s | default: "…" }}, or ask first with {%% if %(variable)s %%}.',
                variable=use.variable,
            ),
        )


def _no_opt_out(line: str) -> Finding:
    return Finding(
        Level.WARNING,
        "no_opt_out",
        noted("The text does not say how to opt out; “%(line)s” will be added.", line=line),
        1,
        1,
        noted("Write it into the text yourself if you want other words."),
    )


def _asks_a_name(sender: str) -> Finding:
    return Finding(
        Level.WARNING,
        "opt_out_unanswerable",
        noted(
            "Nobody can answer a name such as “%(sender)s”, so words that ask for an answer let nobody opt out.",
            sender=sender,
        ),
        1,
        1,
        noted("Put {{ opt_out_link }} into the text, or into the line under it in Settings; or send from a number."),
    )


def _size(compiled: CompiledText, sent: str, site: str) -> Iterator[Finding]:
    try:
        text = _example(sent, compiled.trigger, compiled.language, site)
    except RenderedTooLong as error:
        yield Finding(
            Level.ERROR,
            "too_long",
            noted(
                "The text has %(source)s characters; %(max_source)s are allowed.",
                source=error.length,
                max_source=error.limit,
            ),
            1,
            1,
            noted("Shorten it: ten parts hold 1,530 characters at most."),
        )
        return
    except RenderError:
        return
    if text is None:
        return
    size = segments.count(text)
    if size.segments > MAX_SEGMENTS:
        yield Finding(
            Level.ERROR,
            "too_long",
            noted(
                "The text takes %(segments)s segments; %(max_segments)s can be sent.",
                segments=size.segments,
                max_segments=MAX_SEGMENTS,
            ),
            1,
            1,
            noted("Shorten it, or make it cheaper to encode."),
        )
    elif size.segments > LONG:
        yield Finding(
            Level.WARNING,
            "long",
            noted("The text takes %(segments)s segments, and each is paid for.", segments=size.segments),
            1,
            1,
            noted("Few people read more than two segments; say it shorter."),
        )
    yield from _dear_characters(
        compiled.source, sent, size, lambda text: example_segments(text, compiled.trigger, compiled.language, site)
    )
    yield from _dear_names(compiled, sent)


def _dear_characters(
    source: str, sent: str, size: segments.TextSize, measure: Callable[[str], int]
) -> Iterator[Finding]:
    words = _markup.sub(lambda piece: " " * len(piece.group()), source)
    found = segments.count(words).non_gsm
    if not found:
        return
    listed = list(dict.fromkeys(item.char for item in found))
    shown = joined(*(noted("“%(char)s” (%(why)s)", char=char, why=explain(char)) for char in listed[:3]), by=", ")
    more = noted(" and %(number)s more", number=len(listed) - 3) if len(listed) > 3 else ""

    fewest = cures.fewest_segments(sent, measure)
    saved = size.segments - fewest
    yield _at(
        source,
        found[0].position,
        Level.WARNING if saved > 0 else Level.INFO,
        "not_gsm",
        noted(
            "Not in the GSM alphabet: %(shown)s%(more)s. They leave 70 characters a segment instead of 160.",
            shown=shown,
            more=more,
        ),
        noted("Written plainly: %(fewest)s instead of %(segments)s segments.", fewest=fewest, segments=size.segments)
        if saved > 0
        else noted("Here it makes no difference to the number of segments."),
    )


def _dear_names(compiled: CompiledText, sent: str) -> Iterator[Finding]:
    """Words in GSM-7, and Greek names that would make them UCS-2 again."""
    if compiled.language != "el" or segments.encoding_of(_markup.sub("", sent)) is Encoding.UCS2:
        return
    for use in compiled.uses:
        if use.variable in MAY_BE_GREEK and "upper" not in use.filters:
            yield _at(
                compiled.source,
                use.index,
                Level.INFO,
                "greek_value",
                noted(
                    "The text is GSM-7, but a “%(variable)s” in Greek letters makes it UCS-2 for that person.",
                    variable=use.variable,
                ),
                noted(
                    "Write {{ %(variable)s | upper }}: Greek capitals are written with letters of the GSM alphabet.",
                    variable=use.variable,
                ),
            )


def _links(source: str) -> Iterator[Finding]:
    words = _markup.sub(lambda piece: " " * len(piece.group()), source)
    for link in _link.finditer(words):
        host, scheme = link["host"].lower(), (link["scheme"] or "").lower()
        before = words[link.start() - 1 : link.start()]
        if before == "@" or not (scheme or _endings.search(host)):
            continue
        if scheme != "https://":
            yield _at(
                source,
                link.start(),
                Level.WARNING,
                "link_without_https",
                noted(
                    "The link to %(host)s does not begin with https://; some phones won't open it, or warn of it.",
                    host=host,
                ),
                noted("Write https://%(host)s%(path)s", host=host, path=link["path"] or ""),
            )
        if host.removeprefix("www.") in SHORTENERS:
            yield _at(
                source,
                link.start(),
                Level.WARNING,
                "public_shortener",
                noted("Carriers block many texts with %(host)s links, since spam uses them.", host=host),
                noted("Link to your shop's own address."),
            )


def _forgotten_braces(source: str, trigger: Trigger) -> Iterator[Finding]:
    names = "|".join(variables(trigger))
    words = _markup.sub(lambda piece: " " * len(piece.group()), source)
    for match in re.finditer(rf"[{{\[<%(]\s*({names})\s*[}}\]>%)]", words, re.IGNORECASE):
        yield _at(
            source,
            match.start(),
            Level.WARNING,
            "looks_like_variable",
            noted("“%(group)s” looks like a variable and would be sent as it stands.", group=match.group()),
            noted("Write {{ %(lower)s }}.", lower=match[1].lower()),
        )
