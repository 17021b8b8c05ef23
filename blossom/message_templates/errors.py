"""What can be wrong with a text or a template."""

from __future__ import annotations

from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted


class TextError(BlossomError):
    """A text that can't be sent as it is written. `line` and `column` count from 1, in characters."""

    def __init__(self, message: str, *, line: int, column: int, actionable: str, code: str = "invalid_text") -> None:
        super().__init__(
            message,
            code=code,
            status=422,
            details={"line": line, "column": column},
            actionable=actionable,
        )
        self.line = line
        self.column = column


class RenderError(BlossomError):
    """A sound text that gives nothing that can be sent to this one person."""


class MissingValue(RenderError):
    """The text says a variable that this person lacks, and gives no default."""

    def __init__(self, variable: str) -> None:
        super().__init__(
            noted("This person has no “%(variable)s”, and the text has no default for it.", variable=variable),
            code="missing_value",
            status=422,
            details={"variable": variable},
            actionable=noted(
                'Write {{ %(variable)s | default: "…" }} with a word that fits everybody.', variable=variable
            ),
        )
        self.variable = variable


class RenderedTooLong(RenderError):
    """More characters than any text may have."""

    def __init__(self, length: int, limit: int) -> None:
        super().__init__(
            noted(
                "With this person's values the text has %(length)s characters; %(limit)s are allowed.",
                length=length,
                limit=limit,
            ),
            code="text_too_long",
            status=422,
            details={"length": length, "limit": limit},
            actionable=noted("Shorten the text, or cut long values with | truncate."),
        )
        self.length, self.limit = length, limit


class RenderedEmpty(RenderError):
    def __init__(self) -> None:
        super().__init__(
            noted("With this person's values nothing is left of the text."),
            code="text_empty",
            status=422,
            actionable=noted("Write something outside of {% if %}, or give it an {% else %}."),
        )


class InvalidSender(BlossomError):
    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            code="invalid_sender",
            status=422,
            actionable=noted("Leave out spaces and signs, or use the shop's own sender."),
        )


class TemplateNameTaken(BlossomError):
    def __init__(self, name: str) -> None:
        super().__init__(
            noted("This shop already has a template called “%(name)s”.", name=name),
            code="template_name_taken",
            status=409,
            details={"name": name},
            actionable=noted("Choose another name; upper and lower case count as the same."),
        )
