"""The JSON shapes of templates and previews, and the form of a template's page. Whether a text can be sent is for
`rules.language` to say."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from blossom.message_templates.rules.catalogue import Trigger, VariableType, variables
from blossom.message_templates.rules.linter import Level
from blossom.message_templates.rules.markup import MAX_SOURCE, normalise_newlines
from blossom.message_templates.rules.naming import NAME_LENGTH
from blossom.message_templates.rules.segments import Encoding
from blossom.platform.api import Answer, Input, PageQuery, Query, one_visible_line
from blossom.platform.languages import noted

TemplateName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LENGTH),
    AfterValidator(one_visible_line),
]
_LANGUAGE = r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}"


def _check_language(value: str) -> str:
    if not re.fullmatch(_LANGUAGE, value):
        raise ValueError("must be a language, as in en or el-GR")
    return value


Language = Annotated[
    str,
    AfterValidator(_check_language),
    Field(
        description="How money and dates are written: a language as in `en` or `el-GR`.",
        json_schema_extra={"pattern": f"^{_LANGUAGE}$"},
    ),
]
# Twice the limit of a text: a text that is a little too long should be told so with line and column, by the compiler.
Body = Annotated[str, StringConstraints(max_length=2 * MAX_SOURCE), Field(description="The text, in Liquid.")]


class TemplateInput(Input):
    """A template as written."""

    name: TemplateName
    body: Body
    trigger: Trigger = Trigger.CAMPAIGN
    language: Language = "en"


class PreviewInput(Input):
    """A text to look at. `values` stand in for the examples; an empty one previews a person who lacks it."""

    body: Body
    trigger: Trigger = Trigger.CAMPAIGN
    language: Language = "en"
    values: dict[str, Annotated[str, StringConstraints(max_length=500)]] = Field(default_factory=dict, max_length=30)
    add_opt_out: bool = Field(default=True, description="Add the shop's opt-out line if it is missing.")


class TemplatesQuery(PageQuery):
    trigger: Trigger | None = None


class VariablesQuery(Query):
    trigger: Trigger = Trigger.CAMPAIGN


class FindingAnswer(Answer):
    """Advice on a text."""

    level: Level = Field(description="`error` blocks sending.")
    code: str
    message: str
    line: int = Field(description="From 1.")
    column: int = Field(description="From 1, in characters.")
    actionable: str


class TemplateAnswer(Answer):
    """A saved text."""

    id: int
    name: str
    body: str
    trigger: Trigger
    language: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    can_send: bool = Field(description="Whether nothing in the text blocks sending.")
    findings: list[FindingAnswer]


class VariableAnswer(Answer):
    """A variable that texts for a trigger may use."""

    name: str
    type: VariableType
    source: str = Field(description="Where its value comes from.")
    nullable: bool = Field(description="Whether some people lack it, so that the text must say what stands instead.")
    example: str


class VariablesAnswer(Answer):
    """What a text for a trigger can say."""

    trigger: Trigger
    sent_now: bool = Field(description="Whether this installation sends texts for this trigger.")
    variables: list[VariableAnswer]
    filters: dict[str, str] = Field(description="Each filter by name, with an example of its use.")


class NonGsmAnswer(Answer):
    """A character that makes its text UCS-2."""

    char: str
    position: int = Field(description="From 0, in characters of the rendered text.")
    why: str


class ChangeAnswer(Answer):
    """A character written otherwise."""

    char: str
    replacement: str
    count: int
    why: str


class CureAnswer(Answer):
    """A cheaper way to write the text."""

    body: str
    changes: list[ChangeAnswer]
    segments_before: int
    segments_after: int


class UnrenderedAnswer(Answer):
    """Why these values give no text."""

    code: str
    message: str
    actionable: str | None


class PreviewAnswer(Answer):
    """A text as somebody would get it."""

    body: str = Field(description="The text in Liquid as it would be sent, opt-out line included.")
    text: str | None = Field(description="Rendered; null if that is not possible.")
    unrendered: UnrenderedAnswer | None
    can_send: bool
    encoding: Encoding
    units: int = Field(description="Septets (gsm7) or UTF-16 units (ucs2).")
    segments: int
    per_segment: int = Field(description="Units that fit into each part.")
    units_left: int = Field(description="Units that still fit into the last part.")
    parts: list[str]
    non_gsm: list[NonGsmAnswer]
    findings: list[FindingAnswer]
    cures: dict[str, CureAnswer] = Field(
        description="`typographic` loses nothing, `plain_letters` drops accents, `greek_capitals` is Greek in GSM-7, "
        "`greek_values` the Greek that variables bring."
    )


_GIVEN_BY_THE_SHOP = ("shop_name", "sender")
_LONGEST_VALUE = 100


def askable(trigger: Trigger) -> list[str]:
    """The variables that a preview takes values for: words that differ from person to person."""
    return [
        variable.name
        for variable in variables(trigger).values()
        if variable.type is VariableType.TEXT and variable.name not in (*_GIVEN_BY_THE_SHOP, "full_name")
    ]


@dataclass(frozen=True)
class TemplateForm:
    """What was typed on a template's page, as it was typed.

    `nameless`: shown for somebody who lacks all that may be missing. `values`: what else is shown in place of the
    examples, by variable. `seen`: which state of the template was changed (`updated_at`). `faults`: by field.
    """

    name: str = ""
    body: str = ""
    language: str = "en"
    nameless: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    seen: str = ""
    faults: Mapping[str, str] = field(default_factory=dict)


def read_template(given: Mapping[str, str], trigger: Trigger, locales: Collection[str]) -> TemplateForm:
    """Read the form. Whether the text can be sent is not judged here."""
    name, body = " ".join(given.get("name", "").split()), normalise_newlines(given.get("body", ""))
    faults: dict[str, str] = {}
    if not name:
        faults["name"] = noted("must be given")
    elif len(name) > NAME_LENGTH:
        faults["name"] = noted("may have %(most)s characters", most=NAME_LENGTH)
    else:
        try:
            one_visible_line(name)
        except ValueError:
            faults["name"] = noted("must be one line that can be read")
    if not body.strip():
        faults["body"] = noted("must have a word at least")
    elif len(body) > 2 * MAX_SOURCE:
        faults["body"] = noted("may have %(most)s characters", most=MAX_SOURCE)
        body = body[: 2 * MAX_SOURCE]
    language = given.get("language", "")
    values = {name: given.get(f"value-{name}", "").strip()[:_LONGEST_VALUE] for name in askable(trigger)}
    return TemplateForm(
        name=name,
        body=body,
        language=language if language in locales else "en",
        nameless=given.get("person") == "nameless",
        values={name: value for name, value in values.items() if value},
        seen=given.get("seen", ""),
        faults=faults,
    )
