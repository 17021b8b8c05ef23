"""What the Liquid of a text may say: read off the tree that python-liquid parsed.

The reading finds every fault (the linter shows them all), each variable with its place and whether a missing value is
provided for, and whether the text is *plain*: words and variables only, which render without Liquid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from liquid.ast import BlockNode, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.arguments import PositionalArgument
from liquid.builtin.expressions.filtered import Filter as AppliedFilter
from liquid.builtin.expressions.logical import (
    BooleanExpression,
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import Blank, Empty, FloatLiteral, IntegerLiteral, Nil, StringLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression

from blossom.message_templates.errors import TextError
from blossom.message_templates.rules.catalogue import Variable, VariableType
from blossom.message_templates.rules.filters import FILTERS, SHORTLINK, Argument
from blossom.message_templates.rules.markup import closest, error_at, suggestion
from blossom.message_templates.rules.short_links import OPT_OUT_LINK, ShortLink, fault_of
from blossom.platform.languages import noted

_ordering = (LtExpression, GtExpression, LeExpression, GeExpression)
_comparisons = (EqExpression, NeExpression, ContainsExpression, *_ordering)
_Comparison = (
    EqExpression | NeExpression | ContainsExpression | LtExpression | GtExpression | LeExpression | GeExpression
)
_nothing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Use:
    """One `{{ variable … }}`. `provided_for`: what happens when the value is missing is written down: a default,
    a condition around it, or the variable is never missing."""

    variable: str
    index: int
    provided_for: bool
    filters: tuple[str, ...]


class Slot(NamedTuple):
    """A variable in a plain text and the word that stands in when its value is missing."""

    variable: str
    fallback: str | None


@dataclass(slots=True)
class Reading:
    """`asked`: variables of conditions. `compared`: those asked by more than whether they are there. `links`: the
    addresses to shorten, in order. `plain`: words and slots in order, or None if rendering takes Liquid."""

    uses: list[Use] = field(default_factory=list)
    links: list[ShortLink] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    compared: set[str] = field(default_factory=set)
    problems: list[TextError] = field(default_factory=list)
    plain: list[str | Slot] | None = None


def read(nodes: Sequence[Node], source: str, variables: Mapping[str, Variable], language: str) -> Reading:
    """Read a parsed text. It is changed: comparisons with blank and empty become comparisons with nil (see
    `_asks_presence`), and an address to be shortened becomes the slot of its short one (see `_shorten`)."""
    reader = _Reader(source, variables, language)
    reader.block(nodes, _nothing)
    reading = reader.reading
    reading.problems.sort(key=lambda problem: (problem.line, problem.column))
    if not reading.problems:
        reading.plain = _plain(nodes)
    return reading


def leaves(nodes: Sequence[Node]) -> Iterator[ContentNode | OutputNode]:
    """Every word and output of a text, of all its branches, in order."""
    for node in nodes:
        if isinstance(node, ContentNode | OutputNode):
            yield node
        elif isinstance(node, BlockNode):
            yield from leaves(node.nodes)
        elif isinstance(node, IfNode | UnlessNode):
            yield from leaves([node.consequence, *(each.block for each in node.alternatives)])
            yield from leaves([node.default] if node.default else [])


class _Reader:
    def __init__(self, source: str, variables: Mapping[str, Variable], language: str) -> None:
        self.source = source
        self.variables = variables
        self.language = language
        self.reading = Reading()

    def block(self, nodes: Sequence[Node], present: frozenset[str]) -> None:
        """`present`: variables that the conditions around have found to be there."""
        for node in nodes:
            if isinstance(node, OutputNode):
                self._output(node, present)
            elif isinstance(node, IfNode | UnlessNode):
                self._condition_block(node, present)
            elif isinstance(node, BlockNode):
                self.block(node.nodes, present)

    def _problem(self, index: int, message: str, actionable: str, code: str = "invalid_text") -> None:
        self.reading.problems.append(error_at(self.source, index, message, actionable, code=code))

    # Outputs

    def _output(self, node: OutputNode, present: frozenset[str]) -> None:
        expression = node.expression
        if (
            isinstance(expression, FilteredExpression)
            and isinstance(expression.left, StringLiteral)
            and any(each.name == SHORTLINK for each in expression.filters or [])
        ):
            self._written_address(node, expression, expression.left)
            return
        if not isinstance(expression, FilteredExpression) or not isinstance(expression.left, Path):
            self._problem(
                expression.token.start_index,
                noted("Only a variable can stand between {{ and }}."),
                noted("Write words and numbers into the text itself."),
            )
            return
        variable = self._variable(expression.left)
        applied = expression.filters or []
        for each in applied:
            if each.name not in FILTERS:
                self._unknown_filter(each)
        if variable is None or not all(each.name in FILTERS for each in applied):
            return
        names = tuple(each.name for each in applied)
        self.reading.uses.append(
            Use(
                variable.name,
                expression.left.token.start_index,
                not variable.nullable or variable.name in present or "default" in names,
                names,
            )
        )
        self._chain(variable, applied, expression.left.token.start_index)
        if SHORTLINK in names:
            self._shorten(node, expression, variable=variable.name)

    def _written_address(self, node: OutputNode, expression: FilteredExpression, written: StringLiteral) -> None:
        """`{{ "https://…" | shortlink }}`: the one thing but a variable that may stand between braces."""
        index = written.token.start_index
        if fault := fault_of(written.value):
            self._problem(
                index,
                noted("The address that “%(shortlink)s” shortens %(fault)s.", shortlink=SHORTLINK, fault=fault),
                noted('Write it as {{ "https://shop.example/sale" | %(shortlink)s }}.', shortlink=SHORTLINK),
                "invalid_link",
            )
        applied = expression.filters or []
        if len(applied) > 1 or self._arguments(applied[0]) != []:
            self._problem(
                index,
                noted("After an address stands “%(shortlink)s” alone.", shortlink=SHORTLINK),
                noted('Write it as {{ "https://shop.example/sale" | %(shortlink)s }}.', shortlink=SHORTLINK),
            )
        self._shorten(node, expression, address=written.value)

    def _shorten(
        self,
        node: OutputNode,
        expression: FilteredExpression,
        *,
        address: str | None = None,
        variable: str | None = None,
    ) -> None:
        """Number the link, and let what stood there be the slot of its short address."""
        links = self.reading.links
        link = next((each for each in links if (each.address, each.variable) == (address, variable)), None)
        if link is None:
            link = ShortLink(len(links) + 1, address, variable)
            links.append(link)
        others = [each for each in expression.filters or [] if each.name != SHORTLINK]
        node.expression = FilteredExpression(expression.token, Path(expression.left.token, [link.slot]), others)

    def _variable(self, path: Path) -> Variable | None:
        index = path.token.start_index
        if len(path.path) == 1 and isinstance(path.path[0], str) and path.path[0] in self.variables:
            return self.variables[path.path[0]]
        name = str(path)
        meant = closest(name, self.variables)
        self._problem(
            index,
            noted("There is no variable “%(name)s” here.", name=name),
            suggestion(meant, noted("There is: %(list)s.", list=", ".join(self.variables))),
            "unknown_variable",
        )
        return None

    def _unknown_filter(self, applied: AppliedFilter) -> None:
        meant = closest(applied.name, FILTERS)
        self._problem(
            applied.token.start_index,
            noted("There is no filter “%(name)s”.", name=applied.name),
            suggestion(meant, noted("There is: %(list)s.", list=", ".join(FILTERS))),
            "unknown_filter",
        )

    def _chain(self, variable: Variable, applied: list[AppliedFilter], index: int) -> None:
        """Follow the types through the filters, and end with something that reads as words."""
        type_, short = variable.type, False
        for each in applied:
            spec = FILTERS[each.name]
            if type_ not in spec.takes:
                right = " / ".join(sorted(spec.takes))
                self._problem(
                    each.token.start_index,
                    noted(
                        "“%(name)s” works on %(right)s; what comes before it is %(type)s.",
                        name=each.name,
                        right=right,
                        type=type_,
                    ),
                    noted("Leave it out, or put it where such a value is."),
                )
                return
            arguments = self._arguments(each)
            no_list = noted("takes texts in quotes and numbers")
            if wrong := no_list if arguments is None else spec.check(arguments, self.language):
                self._problem(
                    each.token.start_index,
                    noted("“%(name)s” %(wrong)s.", name=each.name, wrong=wrong),
                    noted("Write it as | %(usage)s", usage=spec.usage),
                )
                return
            if each.name == SHORTLINK and (short or variable.name == OPT_OUT_LINK):
                self._problem(
                    each.token.start_index,
                    noted("This link is short already."),
                    noted("Leave out | %(shortlink)s.", shortlink=SHORTLINK),
                )
                return
            short = short or each.name == SHORTLINK
            type_ = spec.gives
        if type_ in (VariableType.MONEY, VariableType.DATE):
            self._problem(
                index,
                noted("“%(name)s” is %(type)s, and needs to be told how to show.", name=variable.name, type=type_),
                noted("Write {{ %(name)s | %(type)s }}.", name=variable.name, type=type_),
            )

    @staticmethod
    def _arguments(applied: AppliedFilter) -> list[Argument] | None:
        arguments: list[Argument] = []
        for argument in applied.args:
            literal = argument.value
            if not isinstance(argument, PositionalArgument) or not isinstance(
                literal, StringLiteral | IntegerLiteral | FloatLiteral
            ):
                return None
            arguments.append(literal.value)
        return arguments

    # Conditions

    def _condition_block(self, node: IfNode | UnlessNode, present: frozenset[str]) -> None:
        """Each branch is read knowing what its own condition, and the failing of those before it, say."""
        holds = isinstance(node, IfNode)
        self._condition(node.condition)
        self.block(node.consequence.nodes, present | _implied(node.condition, holds))
        present |= _implied(node.condition, not holds)
        for alternative in node.alternatives:
            self._condition(alternative.expression)
            self.block(alternative.block.nodes, present | _implied(alternative.expression, True))
            present |= _implied(alternative.expression, False)
        if node.default:
            self.block(node.default.nodes, present)

    def _condition(self, expression: Expression) -> None:
        if isinstance(expression, BooleanExpression):
            expression = expression.expression
        if isinstance(expression, LogicalAndExpression | LogicalOrExpression):
            self._condition(expression.left)
            self._condition(expression.right)
        elif isinstance(expression, Path):
            if variable := self._variable(expression):
                self.reading.asked.add(variable.name)
        elif isinstance(expression, _comparisons):
            self._comparison(expression)
        else:
            self._problem(
                expression.token.start_index,
                noted("A condition asks about a variable."),
                noted("Write {% if first_name %} or {% if item_count > 1 %}."),
            )

    def _comparison(self, expression: _Comparison) -> None:
        index = expression.left.token.start_index
        if not isinstance(expression.left, Path):
            self._problem(
                index, noted("A comparison begins with a variable."), noted('Write {% if order_number == "#1042" %}.')
            )
            return
        variable = self._variable(expression.left)
        if variable is None:
            return
        self.reading.asked.add(variable.name)
        if _asks_presence(expression):
            return
        self.reading.compared.add(variable.name)
        right, type_ = expression.right, variable.type
        is_number = isinstance(right, IntegerLiteral | FloatLiteral)
        is_words = isinstance(right, StringLiteral) and bool(right.value.strip())
        if isinstance(expression, _ordering):
            fits = is_number and type_ in (VariableType.NUMBER, VariableType.MONEY)
        elif isinstance(expression, ContainsExpression):
            fits = is_words and type_ in (VariableType.TEXT, VariableType.URL)
        else:
            fits = (is_words and type_ in (VariableType.TEXT, VariableType.URL)) or (
                is_number and type_ is VariableType.NUMBER
            )
        if not fits:
            self._problem(
                index,
                noted("“%(name)s” is %(type)s and can't be compared like this.", name=variable.name, type=type_),
                noted(
                    "Compare text by == != contains with words in quotes, numbers by == != < > <= >=, money "
                    "by < > <= >=; ask whether a value is there by {% if first_name %}."
                ),
            )


def _asks_presence(expression: Expression) -> bool:
    """`x == blank` and the like. Values are never empty texts (those count as missing), so that blank, empty and nil
    ask the same; python-liquid answers it for missing values by nil only, so the tree is changed to that."""
    if not isinstance(expression, EqExpression | NeExpression):
        return False
    right = expression.right
    if isinstance(right, Blank | Empty):
        expression.right = right = Nil(right.token)
    return isinstance(right, Nil)


def _implied(expression: Expression, holds: bool) -> frozenset[str]:
    """The variables that are surely there when `expression` is true (or false, if not `holds`)."""
    if isinstance(expression, BooleanExpression):
        return _implied(expression.expression, holds)
    if isinstance(expression, LogicalAndExpression | LogicalOrExpression):
        left, right = _implied(expression.left, holds), _implied(expression.right, holds)
        both = isinstance(expression, LogicalAndExpression) is holds
        return left | right if both else left & right
    if isinstance(expression, Path):
        return _names(expression) if holds else _nothing
    if not isinstance(expression, _comparisons):
        return _nothing
    if _asks_presence(expression):
        return _names(expression.left) if isinstance(expression, NeExpression) is holds else _nothing
    # A missing value equals, contains and exceeds nothing.
    proves = not holds if isinstance(expression, NeExpression) else holds
    return _names(expression.left) if proves else _nothing


def _names(expression: Expression) -> frozenset[str]:
    return frozenset(str(part) for part in expression.path) if isinstance(expression, Path) else _nothing


def _plain(nodes: Sequence[Node]) -> list[str | Slot] | None:
    plain: list[str | Slot] = []
    for node in nodes:
        if isinstance(node, ContentNode):
            plain.append(node.text)
            continue
        expression = node.expression if isinstance(node, OutputNode) else None
        if not isinstance(expression, FilteredExpression) or not isinstance(expression.left, Path):
            return None
        fallback = None
        if expression.filters:
            first, *others = expression.filters
            if others or first.name != "default" or len(first.args) != 1:
                return None
            fallback = str(cast(StringLiteral, first.args[0].value).value)  # its check saw to that
        plain.append(Slot(str(expression.left), fallback))
    return plain
