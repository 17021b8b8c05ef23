"""What a person may send as a segment: checked in shape and size before it becomes a `Question`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from blossom.platform.api import Answer, PageQuery
from blossom.platform.errors import InvalidInput
from blossom.platform.languages import noted
from blossom.segments import rules
from blossom.segments.rules import Condition, Kind, Match, Question

Country = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^[A-Za-z]{2}$")]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]
Amount = Annotated[int, Field(ge=0, lt=2**53)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class CountryForm(_Strict):
    field: Literal["country"]
    operator: Literal["in", "not_in"]
    value: Annotated[list[Country], Field(min_length=1, max_length=250)]


class TagsForm(_Strict):
    field: Literal["tags"]
    operator: Literal["any", "all", "none"]
    value: Annotated[list[Tag], Field(min_length=1, max_length=100)]


class AmountForm(_Strict):
    field: Literal["total_spent", "orders", "consent_age"]
    operator: Literal["at_least", "at_most"]
    value: Amount


class CreatedForm(_Strict):
    field: Literal["created"]
    operator: Literal["after", "before"]
    value: AwareDatetime

    @field_validator("value", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """JSON has no moments: take ISO 8601 text (strict mode would take `datetime` only)."""
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return value


class RulesForm(_Strict):
    """`{"match": "all", "conditions": [{"field": "country", "operator": "in", "value": ["GR"]}]}`."""

    match: Literal["all", "any"] = "all"
    conditions: Annotated[
        list[Annotated[CountryForm | TagsForm | AmountForm | CreatedForm, Field(discriminator="field")]],
        Field(min_length=1, max_length=20),
    ]


class SegmentsQuery(PageQuery):
    kind: Kind | None = None


class ShopifyAnswer(Answer):
    """How a segment of Shopify's stands. Before a campaign goes to it, it is read anew."""

    members: int | None = Field(description="Customers in it at Shopify when it was read last. Null: never read.")
    contacts: int | None = Field(description="Of them, those who are contacts, and so can be reached.")
    read_at: AwareDatetime | None
    is_being_read: bool
    fault: str | None = Field(description="Why Shopify could not be asked last, if so.")
    deleted_at: AwareDatetime | None = Field(description="When it was found to be deleted at Shopify.")


class SegmentAnswer(Answer):
    """A question, a list, or a segment of Shopify's."""

    id: int
    name: str
    kind: Kind
    rules: dict[str, Any] | None = Field(description="Of kind `rules`: what it asks.")
    shopify: ShopifyAnswer | None = Field(description="Of kind `shopify`.")
    created_at: AwareDatetime
    updated_at: AwareDatetime


class SegmentForm(_Strict):
    """A new segment: with `rules`, or static without."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)]
    rules: RulesForm | None = None


def read_segment(given: Any) -> tuple[str, Question | None]:
    """The name and the question (None for a static list). Raises `InvalidInput` that names each wrong field."""
    try:
        form = SegmentForm.model_validate(given)
    except ValidationError as error:
        faults = {".".join(map(str, e["loc"])) or "segment": e["msg"] for e in error.errors(include_input=False)}
        raise InvalidInput(faults, noted("This segment can't be used as it is.")) from None
    return form.name, None if form.rules is None else _question(form.rules)


def _question(form: RulesForm) -> Question:
    conditions = (
        Condition(
            rules.Field(one.field),
            one.operator,
            one.value.isoformat() if isinstance(one.value, datetime) else one.value,
        )
        for one in form.conditions
    )
    return Question(Match(form.match), tuple(conditions))
