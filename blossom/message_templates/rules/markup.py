"""Where the Liquid in a text begins and ends: one pass from left to right, before any parser sees it.

It bounds what the parser gets (so that its time is bounded), gives errors their line and column, and refuses what
python-liquid would let pass: a brace that closes nothing, a second `{% else %}` whose text it would silently drop,
words after `else`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from blossom.message_templates.errors import TextError
from blossom.platform.languages import joined, noted

MAX_SOURCE = 2_000
"""Characters of a text as written: ten full parts of GSM-7 (1,530) and its Liquid."""
MAX_PIECES = 60
MAX_PIECE = 200
"""Characters of a piece, but for a text in quotes at its beginning: an address to be shortened has its own limit."""
MAX_DEPTH = 5
TAGS = ("if", "elsif", "else", "endif", "unless", "endunless")
"""Conditions only. No loops, assignments, captures, includes or comments: a text is a few sentences, and each of
those is a way to make a worker work. No `case` either: python-liquid prints a branch once for each value that
matches, and branches within branches multiply."""

_delimiter = re.compile(r"\{\{|\{%|\}\}|%\}")
_first_in_quotes = re.compile(r"""-?\s*("[^"]*"|'[^']*')""")
_tag_name = re.compile(r"-?\s*(\S*?)(?=[\s-]|$)")
_forbidden = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_closing = {"{{": "}}", "{%": "%}"}


@dataclass(frozen=True, slots=True)
class Piece:
    """One `{{ … }}` or `{% … %}`: source[start:end]. `tag`: its name, empty for an output."""

    start: int
    end: int
    tag: str


def normalise_newlines(source: str) -> str:
    """Browsers send CR LF for a line break; LF alone costs one character."""
    return source.replace("\r\n", "\n").replace("\r", "\n")


def error_at(source: str, index: int, message: str, actionable: str, *, code: str = "invalid_text") -> TextError:
    line = source.count("\n", 0, index) + 1
    column = index - (source.rfind("\n", 0, index) + 1) + 1
    return TextError(message, line=line, column=column, actionable=actionable, code=code)


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word.lower()[:40], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(meant: str | None, known: str) -> str:
    """What to do about a name that there is not: what may have been `meant`, and what is `known`."""
    return joined(noted("Did you mean “%(meant)s”?", meant=meant), known) if meant else known


def scan(source: str) -> list[Piece]:
    """The pieces of Liquid in `source`, in order. Raises `TextError` at the first thing that can't be."""
    if len(source) > MAX_SOURCE:
        raise error_at(
            source,
            MAX_SOURCE,
            noted(
                "The text has %(source)s characters; %(max_source)s are allowed.",
                source=len(source),
                max_source=MAX_SOURCE,
            ),
            noted("Shorten it: ten parts hold 1,530 characters at most."),
            code="text_too_long",
        )
    if wrong := _forbidden.search(source):
        raise _control_character(source, wrong.start())
    pieces = _pieces(source)
    _check_structure(source, pieces)
    return pieces


def _pieces(source: str) -> list[Piece]:
    pieces: list[Piece] = []
    found = _delimiter.finditer(source)
    for opening in found:
        start, mark = opening.start(), opening.group()
        if mark not in _closing:
            raise error_at(
                source,
                start,
                noted("“%(mark)s” closes nothing.", mark=mark),
                noted("Write a variable as {{ first_name }}: two braces on each side."),
            )
        closing = next(found, None)
        if closing is None or closing.group() != _closing[mark]:
            raise error_at(
                source,
                start,
                noted("“%(mark)s” is never closed.", mark=mark),
                noted("Close it with “%(closing)s”.", closing=_closing[mark]),
            )
        pieces.append(_piece(source, start, closing.end(), mark))
    if len(pieces) > MAX_PIECES:
        raise error_at(
            source,
            pieces[MAX_PIECES].start,
            noted(
                "The text has %(pieces)s variables and conditions; %(max_pieces)s are allowed.",
                pieces=len(pieces),
                max_pieces=MAX_PIECES,
            ),
            noted("Use fewer of them."),
        )
    return pieces


def _piece(source: str, start: int, end: int, mark: str) -> Piece:
    inner = source[start + 2 : end - 2]
    quoted = _first_in_quotes.match(inner)
    length = end - start - (len(quoted[1]) if quoted else 0)
    if length > MAX_PIECE:
        raise error_at(
            source,
            start,
            noted(
                "This piece has %(length)s characters between its braces; %(max_piece)s are allowed.",
                length=length,
                max_piece=MAX_PIECE,
            ),
            noted("Write it shorter, or as several."),
        )
    if not inner.strip(" \n-"):
        raise error_at(
            source, start, noted("There is nothing between the braces."), noted("Name a variable: {{ first_name }}.")
        )
    if mark == "{{":
        return Piece(start, end, "")
    match = _tag_name.match(inner)
    name = match[1] if match else ""
    if name not in TAGS:
        meant = closest(name, TAGS)
        raise error_at(
            source,
            start,
            noted("“%(name)s” is not something a text can do.", name=name),
            suggestion(meant, noted("There is: if, elsif, else, endif, unless, endunless.")),
            code="unknown_tag",
        )
    return Piece(start, end, name)


def _check_structure(source: str, pieces: list[Piece]) -> None:
    open_blocks: list[tuple[Piece, bool]] = []  # the block's first tag, and whether its else has come
    for piece in pieces:
        if piece.tag in ("if", "unless"):
            open_blocks.append((piece, False))
            if len(open_blocks) > MAX_DEPTH:
                raise error_at(
                    source, piece.start,
                    noted("Conditions stand inside one another more than %(max_depth)s deep.", max_depth=MAX_DEPTH),
                    noted("Join them with “and”, or write them one after the other."),
                )  # fmt: skip
        elif piece.tag:
            if not open_blocks:
                raise error_at(
                    source, piece.start, noted("“%(tag)s” stands outside of any condition.", tag=piece.tag),
                    noted("Begin with {% if first_name %}."),
                )  # fmt: skip
            block, had_else = open_blocks[-1]
            if piece.tag in ("endif", "endunless"):
                if piece.tag != f"end{block.tag}":
                    raise error_at(
                        source, piece.start, noted("“%(tag)s” can't close “%(tag2)s”.", tag=piece.tag, tag2=block.tag),
                        noted("Close it with {%% end%(tag)s %%}.", tag=block.tag),
                    )  # fmt: skip
                open_blocks.pop()
            elif had_else:
                raise error_at(
                    source, piece.start, noted("“%(tag)s” comes after the condition's “else”.", tag=piece.tag),
                    noted("A condition has one else, and it comes last."),
                )  # fmt: skip
            elif piece.tag == "else":
                open_blocks[-1] = (block, True)
        if piece.tag in ("else", "endif", "endunless") and _says_more(source, piece):
            raise error_at(
                source, piece.start, noted("“%(tag)s” takes no condition.", tag=piece.tag),
                noted("Write {% elsif … %} for another condition.")
                if piece.tag == "else"
                else noted("Leave the rest out."),
            )  # fmt: skip
    if open_blocks:
        block, _ = open_blocks[-1]
        raise error_at(
            source,
            block.start,
            noted("“%(tag)s” is never closed.", tag=block.tag),
            noted("Close it with {%% end%(tag)s %%}.", tag=block.tag),
        )


def _says_more(source: str, piece: Piece) -> bool:
    return source[piece.start + 2 : piece.end - 2].strip(" \n-") != piece.tag


def _control_character(source: str, index: int) -> TextError:
    char = source[index]
    if char == "\t":
        message, actionable = noted("There is a tab in the text."), noted("Write spaces instead.")
    elif "\ud800" <= char <= "\udfff":
        message = noted("There is half of a character here (a lone surrogate), from an emoji that was cut apart.")
        actionable = noted("Delete it and type the emoji again.")
    else:
        message = noted(
            "There is a control character (U+%(ord)s) in the text, which no phone can show.", ord=f"{ord(char):04X}"
        )
        actionable = noted("Delete it; it often comes along when pasting.")
    return error_at(source, index, message, actionable, code="control_character")
