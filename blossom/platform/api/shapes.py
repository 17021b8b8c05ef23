"""What the API's models have in common: camelCase outside, snake_case inside, nothing unknown accepted."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from blossom.platform.lines import one_visible_line

INT64_MAX = 2**63 - 1

Int64 = Annotated[int, Field(ge=1, le=INT64_MAX)]
"""An id, or another whole number from 1 that fits the database's bigint."""


Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(one_visible_line)
]
"""A short name or title: one line."""


class Input(BaseModel):
    """A request's body. Accepts camelCase and snake_case; types are strict; an unknown field is refused by name."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        strict=True,
        frozen=True,
    )


class Query(BaseModel):
    """A request's query string: as `Input`, but numbers and flags come as text."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid", frozen=True
    )


class Answer(BaseModel):
    """What a route answers, in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True, extra="forbid", frozen=True
    )


class ErrorAnswer(BaseModel):
    """Every error of the API (its names are fixed by the contract, so `request_id` stays as it is)."""

    model_config = ConfigDict(extra="forbid")

    ok: bool = Field(description="Always false.", json_schema_extra={"const": False})
    code: str = Field(description="Stable name of what is wrong, for programs.")
    message: str = Field(description="One sentence for a person.")
    details: dict[str, Any] = Field(description="Facts about it; for `invalid_input`, `fields` maps paths to faults.")
    actionable: str | None = Field(description="What to do about it, for a person.")
    request_id: str | None = Field(description="Also in the `X-Request-Id` header; name it when you ask for help.")
