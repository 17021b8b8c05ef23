"""Whatever a template says to people goes through `t` or `tn`, so that each language has it.

A template is read as Jinja reads it, and what is left of it as HTML: words stand in its text, in attributes that people
read or hear, and in constants that come to stand there, also by way of a macro's arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from blossom.platform import errors

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
SAYING = {"t", "tn"}
READ_ATTRIBUTES = {"alt", "aria-description", "aria-label", "aria-roledescription", "aria-valuetext", "label"}
READ_ATTRIBUTES |= {"placeholder", "title"}
NOT_WORDS = {"code", "script", "style"}
NAMES = {"Blossom", "Shopify", "https"}
"""What is the same in every language."""

PLACE = re.compile(r"%[0-9.]*[dfs]")
ATTRIBUTE = re.compile(r"""[a-z-]+="[^"]*\"""")
"""One that a macro makes, for a tag that stands elsewhere."""

BEGIN, END = "\ue000", "\ue001"
"""Around the number of an expression, in the place where its value will stand."""


class Page(HTMLParser):
    """Finds where expressions stand, and words that no expression makes."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: set[int] = set()
        self.bare: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in NOT_WORDS:
            self._inside.append(tag)
        for name, value in attrs:
            if name in READ_ATTRIBUTES or (name.startswith("data-") and " " in _without(value or "", "")):
                self._read(value or "")

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self._read(data)

    def _read(self, text: str) -> None:
        text = ATTRIBUTE.sub("", text)
        self.shown |= set(_numbers(text))
        words = _without(text)
        if _is_said(words):
            self.bare.append(" ".join(words.split()))


def _numbers(text: str) -> Iterator[int]:
    for part in text.split(BEGIN)[1:]:
        yield int(part.partition(END)[0])


def _without(text: str, instead: str = " ") -> str:
    first, *rest = text.split(BEGIN)
    return instead.join([first, *(part.partition(END)[2] for part in rest)])


def _is_said(text: str) -> bool:
    text = PLACE.sub("", text)
    for name in NAMES:
        text = text.replace(name, "")
    return any(character.isalpha() for character in text)


def _looks_like_words(text: str) -> bool:
    """Of an argument, which may be a key: it begins as a sentence does, or has several words."""
    return _is_said(text) and (text[:1].isupper() or " " in text.strip())


def untranslated(source: str) -> list[str]:
    """What a template says past `t`."""
    tree = Environment(autoescape=True).parse(source)
    expressions: list[nodes.Expr] = []
    page = Page()
    page.feed("".join(_skeleton(tree, expressions)))
    page.close()
    found = list(page.bare)
    for number, expression in enumerate(expressions):
        if number in page.shown:
            found += [value for value in _results(expression) if _is_said(value)]
    found += [value for value in _arguments(tree) if _looks_like_words(value)]
    found += [
        value for assign in tree.find_all(nodes.Assign) for value in _results(assign.node) if _looks_like_words(value)
    ]
    return found


def _skeleton(node: nodes.Node, expressions: list[nodes.Expr]) -> Iterator[str]:
    """The template's own text in its order, all branches of it, with a mark for each expression."""
    if isinstance(node, nodes.Output):
        for each in node.nodes:
            if isinstance(each, nodes.TemplateData):
                yield each.data
            else:
                expressions.append(each)
                yield f"{BEGIN}{len(expressions) - 1}{END}"
        return
    for child in node.iter_child_nodes():
        if not isinstance(child, nodes.Expr):
            yield from _skeleton(child, expressions)


def _results(expression: nodes.Node) -> Iterator[str]:
    """The constants that an expression may come to."""
    if isinstance(expression, nodes.Const):
        if isinstance(expression.value, str):
            yield expression.value
    elif isinstance(expression, nodes.CondExpr):
        yield from _results(expression.expr1)
        if expression.expr2 is not None:
            yield from _results(expression.expr2)
    elif isinstance(expression, nodes.Filter):
        for child in (expression.node, *(expression.args if expression.name in {"d", "default", "join"} else ())):
            yield from _results(child) if child is not None else ()
    elif isinstance(expression, nodes.BinExpr | nodes.Concat | nodes.Tuple | nodes.List):
        for child in expression.iter_child_nodes():
            yield from _results(child)


def _arguments(tree: nodes.Node) -> Iterator[str]:
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Name) and call.node.name in SAYING):
            for argument in (*call.args, *(keyword.value for keyword in call.kwargs)):
                yield from _results(argument)


def test_every_template_says_what_it_says_in_each_language() -> None:
    found = {
        str(path.relative_to(TEMPLATES)): words
        for path in sorted(TEMPLATES.rglob("*.html"))
        if (words := untranslated(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Words</p>", ["Words"]),
        ('<p>{{ t("Words") }}: {{ number }} · Blossom</p>', []),
        ("<p>{{ 'none' if x else t('some') }}</p>", ["none"]),
        ("<p>{{ x or 'unknown' }}</p>", ["unknown"]),
        ("<p>{{ 'one' ~ x }}</p>", ["one"]),
        ('<p class="{{ "yes" if x else "no" }}">{% if x == "failed" %}{{ x }}{% endif %}</p>', []),
        ('<input aria-label="Name">', ["Name"]),
        ('<input aria-label="{{ t("Name") }}" data-words="{{ t("Yes") }}">', []),
        ('<div data-away="Try it again">', ["Try it again"]),
        ('{{ ui.bar(parts, "Customers read", 5) }}', ["Customers read"]),
        ('{{ ui.bar(parts, t("Customers read"), "delivered") }}', []),
        ('{% set label = "All of them" %}', ["All of them"]),
        ("{% macro field(name) %}<label>Name</label>{% endmacro %}", ["Name"]),
        ("{% if x %}<b>{% else %}or else{% endif %}", ["or else"]),
    ],
)
def test_the_rule_finds_words(source: str, found: list[str]) -> None:
    assert untranslated(source) == found


def test_nothing_is_said_while_a_template_is_imported() -> None:
    """What stands at the top of an imported template is worked out once, in the language of whoever came first."""
    for path in (*TEMPLATES.rglob("macros.html"), *TEMPLATES.rglob("forms.html"), TEMPLATES / "people" / "_event.html"):
        tree = Environment(autoescape=True).parse(path.read_text())
        for statement in tree.body:
            if not isinstance(statement, nodes.Macro):
                said = [call for call in statement.find_all(nodes.Call) if isinstance(call.node, nodes.Name)]
                assert not said, f"{path.name}, line {statement.lineno}"


def test_what_a_page_does_not_find_is_named_in_each_language() -> None:
    blossom = TEMPLATES.parent / "blossom"
    views = [*blossom.glob("*/views.py"), *blossom.glob("*/views/*.py")]
    named = {what for path in views for what in re.findall(r'NotFound\("([^"]+)"\)', path.read_text())}
    assert len(named) > 5
    assert named <= set(errors._THINGS)
