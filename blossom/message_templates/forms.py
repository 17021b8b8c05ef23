"""What is accepted for a template and for a preview. Shapes only; whether a text can be sent is `rules.language`'s."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.markup import MAX_SOURCE
from blossom.message_templates.rules.naming import NAME_LENGTH
from blossom.platform.api import Input

TemplateName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=NAME_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Language = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$"),
    Field(description="How money and dates are written: a language as in `en` or `el-GR`."),
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
