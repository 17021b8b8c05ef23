"""From a written text to what one person reads.

`compile_text` refuses, with line and column, whatever can't be sent; `CompiledText.render` fills in one person's
values. Strict in both: an unknown variable is an error when the text is written, and a missing value is never an empty
word in a customer's text.

Two ways to render give the same (a property test holds them to it): texts of words and variables alone, which most
campaigns are, are joined from their pieces; the others go through python-liquid.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from io import StringIO
from typing import NoReturn, cast

from liquid import BoundTemplate, Environment
from liquid.builtin import content, illegal, output
from liquid.builtin.tags import if_tag, unless_tag
from liquid.context import RenderContext
from liquid.exceptions import LiquidError
from liquid.undefined import FalsyStrictUndefined

from blossom.message_templates.errors import MissingValue, RenderedEmpty, RenderedTooLong, TextError
from blossom.message_templates.rules import filters, grammar, markup, short_links
from blossom.message_templates.rules.catalogue import Trigger, variables
from blossom.message_templates.rules.grammar import Slot, Use
from blossom.message_templates.rules.short_links import ShortLink
from blossom.message_templates.rules.values import Value, clean
from blossom.platform.languages import noted

MAX_OUTPUT = 1_600
"""Characters of a rendered text: a little more than ten joined parts of GSM-7 hold."""

_curly_quotes = "“”„‟‘’‚«»"


class _Missing(FalsyStrictUndefined):
    """A value that this person lacks: false in a condition, an error in the text."""

    def __str__(self) -> NoReturn:
        raise MissingValue(self.name)


class _TextEnvironment(Environment):
    """Liquid with conditions, outputs and our filters, and nothing else."""

    def __init__(self, language: str) -> None:
        self._language = language
        super().__init__(undefined=_Missing, autoescape=False)

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        for tag in (content.Literal, illegal.Illegal, output.Output, if_tag.IfTag, unless_tag.UnlessTag):
            self.add_tag(tag)
        self.filters.update(filters.functions(self._language))


@lru_cache(maxsize=64)
def _environment(language: str) -> _TextEnvironment:
    return _TextEnvironment(language)


class CompiledText:
    """A text that can be sent. Unchanging, and safe to share between threads.

    `variables`: names whose values `render` looks at, so that nothing else needs to be fetched or decrypted.
    `unprovided`: uses of nullable variables that would fail for people without a value; a text with any must not be
    sent (the linter calls it an error). `compared`: variables whose very value decides what the text says.
    `links`: the addresses that it shortens; `render` wants their short ones by `ShortLink.slot`, as if they were
    variables.
    """

    __slots__ = (
        "_format", "_limits", "_of_variables", "_slots", "compared", "language", "links", "source", "template",
        "trigger", "unprovided", "uses", "variables",
    )  # fmt: skip

    def __init__(
        self, source: str, trigger: Trigger, language: str, template: BoundTemplate, reading: grammar.Reading
    ) -> None:
        self.source = source
        self.trigger = trigger
        self.language = language
        self.template = template
        self.uses: tuple[Use, ...] = tuple(reading.uses)
        self.unprovided: tuple[Use, ...] = tuple(use for use in reading.uses if not use.provided_for)
        self.variables: frozenset[str] = frozenset(use.variable for use in reading.uses) | reading.asked
        self.compared: frozenset[str] = frozenset(reading.compared)
        self.links: tuple[ShortLink, ...] = tuple(reading.links)
        self._of_variables = tuple(link for link in self.links if link.variable)
        known = variables(trigger)
        self._limits = tuple((name, known[name].limit) for name in sorted(self.variables))
        self._limits += tuple((link.slot, short_links.LONGEST) for link in self.links)
        self._format: str | None = None
        self._slots: tuple[Slot, ...] = ()
        if reading.plain is not None:
            pieces = reading.plain
            self._format = "".join("%s" if isinstance(p, Slot) else p.replace("%", "%%") for p in pieces)
            self._slots = tuple(piece for piece in pieces if isinstance(piece, Slot))

    @property
    def is_plain(self) -> bool:
        """Words and variables only: rendered without Liquid."""
        return self._format is not None

    def render(self, values: Mapping[str, Value]) -> str:
        """The text for one person. `values` by variable; None, an empty text and no entry all mean: missing.

        Raises `MissingValue`, `RenderedTooLong` or `RenderedEmpty`, each a reason to skip this person.
        """
        return self.render_cleaned(self.cleaned(values))

    def stand_ins(self, site: str) -> dict[str, str]:
        """Values for the links of this text that have a real one's size and lead nowhere, to count or show it before
        it is sent. `site`: where the shop's proxy stands."""
        found = {link.slot: short_links.address_of(site, short_links.STAND_IN) for link in self.links}
        if short_links.OPT_OUT_LINK in self.variables:
            found[short_links.OPT_OUT_LINK] = short_links.opt_out_address_of(site, short_links.STAND_IN)
        return found

    def cleaned(self, values: Mapping[str, Value]) -> dict[str, object]:
        """The values that this text looks at, made safe (`values.clean`), without the missing ones."""
        present: dict[str, object] = {}
        for name, limit in self._limits:
            value = values.get(name)
            if isinstance(value, str):
                value = clean(value, limit)
                if value:
                    present[name] = value
            elif value is not None:
                present[name] = value
        for link in self._of_variables:
            if link.variable not in present:
                present.pop(link.slot, None)
        return present

    def render_cleaned(self, present: Mapping[str, object]) -> str:
        """`render` for values that need no cleaning."""
        text = self.render_with_liquid(present) if self._format is None else self._fill(present)
        if len(text) > MAX_OUTPUT:
            raise RenderedTooLong(len(text), MAX_OUTPUT)
        if not text or text.isspace():
            raise RenderedEmpty
        return text

    def _fill(self, present: Mapping[str, object]) -> str:
        words = []
        for name, fallback in self._slots:
            word = present.get(name, fallback)
            if word is None:
                raise MissingValue(name)
            words.append(word)
        return cast(str, self._format) % tuple(words)

    def render_with_liquid(self, present: Mapping[str, object]) -> str:
        """What Liquid makes of cleaned values, with no limit on the result. The same as the short way, if there is
        one; not `template.render`, which copies the values twice for features that are switched off here."""
        context = RenderContext(self.template, globals=present)
        buffer = StringIO()
        for node in self.template.nodes:
            node.render(context, buffer)
        return buffer.getvalue()


def compile_text(source: str, trigger: Trigger, language: str = "en") -> CompiledText:
    """The text, ready to render. Raises the first `TextError` in it. `language`: how money and dates are written."""
    compiled, problems = examine(source, trigger, language)
    if compiled is None:
        raise problems[0]
    return compiled


def examine(source: str, trigger: Trigger, language: str = "en") -> tuple[CompiledText | None, list[TextError]]:
    """The compiled text, or None with everything that is wrong with it, in order."""
    language = language.partition("-")[0].lower()
    source = markup.normalise_newlines(source)
    try:
        template = _parse(source, language)
    except TextError as error:
        return None, [error]
    reading = grammar.read(template.nodes, source, variables(trigger), language)
    if reading.problems:
        return None, reading.problems
    return CompiledText(source, trigger, language, template, reading), []


def _parse(source: str, language: str) -> BoundTemplate:
    if not source.strip():
        raise markup.error_at(source, 0, noted("The text is empty."), noted("Write what the shopper should read."))
    pieces = markup.scan(source)
    environment = _environment(language)
    try:
        return environment.from_string(source)
    except LiquidError as error:
        raise _syntax_error(source, pieces, environment, error) from None


def _syntax_error(source: str, pieces: list[markup.Piece], environment: Environment, error: LiquidError) -> TextError:
    """python-liquid's error at the piece that it is about. Errors at the end of an expression carry no position, so
    the pieces are parsed one by one."""
    for piece in pieces:
        alone = source[piece.start : piece.end]
        if piece.tag in ("if", "unless", "elsif"):
            alone = f"{{% if{alone.partition(piece.tag)[2]}{{% endif %}}"
        elif piece.tag:
            continue
        try:
            environment.from_string(alone)
        except LiquidError as fault:
            if any(quote in alone for quote in _curly_quotes):
                return markup.error_at(
                    source,
                    piece.start,
                    noted("There are typographic quotes between the braces."),
                    noted('Use straight ones there: {{ first_name | default: "friend" }}.'),
                )
            return markup.error_at(
                source,
                piece.start,
                noted("This can't be read: %(message)s.", message=fault.message),
                noted('Write a variable as {{ first_name | default: "friend" }}, a condition as {% if first_name %}.'),
            )
    return markup.error_at(
        source,
        0,
        noted("This can't be read: %(message)s.", message=error.message),
        noted("Check the braces and quotes."),
    )
