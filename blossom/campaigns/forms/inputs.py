"""What the campaigns' routes read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints, WithJsonSchema, model_validator

from blossom.campaigns.rules.ab_test import LARGEST_SHARE, LETTERS, AbTest, Winner
from blossom.campaigns.rules.states import CampaignState, Priority
from blossom.message_templates.rules.markup import MAX_SOURCE
from blossom.messaging.rules.states import MessageState
from blossom.platform.api import Input, Int64, PageQuery, PairCursor, Query, Text
from blossom.platform.errors import InvalidInput
from blossom.segments.rules import Audience

MOST_STATS = 100


def _read_audience(value: Any) -> Audience:
    """By the segments' own reader; its refusal becomes one of this field."""
    try:
        return Audience.from_json(value)
    except InvalidInput as refused:
        raise ValueError(refused.details["fields"]["audience"]) from None


_SEGMENT_IDS = {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 100}

AudienceInput = Annotated[
    Audience,
    PlainValidator(_read_audience),
    WithJsonSchema(
        {
            "type": "object",
            "description": "Everybody, or whoever is in any of `segments`; without those in `exclude`.",
            "properties": {"all": {"type": "boolean"}, "segments": _SEGMENT_IDS, "exclude": _SEGMENT_IDS},
            "additionalProperties": False,
            "examples": [{"all": True}, {"segments": [1, 2], "exclude": [3]}],
        }
    ),
]

Body = Annotated[str, StringConstraints(max_length=MAX_SOURCE)]

Letter = Literal["A", "B", "C", "D"]
"""Which text of a test: `rules.ab_test.LETTERS`."""


class AbTestInput(Input):
    """Several texts, each on a share of the audience. The campaign's own text is A; the rest gets the winner."""

    texts: list[Body] = Field(min_length=1, max_length=len(LETTERS) - 1, description="Texts B, C and D.")
    shares: list[Annotated[int, Field(strict=True, ge=1, le=LARGEST_SHARE)]] = Field(
        min_length=2,
        max_length=len(LETTERS),
        description="Whole per cent, one for each text with A, 100 together at most. 100: all are shared out, there is"
        " no rest and no winner.",
    )
    winner: Winner | None = Field(default=None, description="Needed where there is a rest.")
    after_minutes: Annotated[int, Field(strict=True)] | None = Field(
        default=None,
        description="30 to 1440; for `clicks`: how long after the last text of the test the winner is decided.",
    )

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        try:
            self.read()
        except InvalidInput as refused:
            raise ValueError(refused.details["fields"]["ab_test"]) from None
        return self

    def read(self) -> AbTest:
        return AbTest.from_json(self.model_dump())


_AB_TEST = "Test several texts; null: one text for all."


class CampaignInput(Input):
    """A new campaign. Text and audience may follow later."""

    name: Text
    body: Body = Field(default="", description="Liquid; see GET /api/templates/variables.")
    ab_test: AbTestInput | None = Field(default=None, description=_AB_TEST)
    audience: AudienceInput | None = None
    priority: Priority = Field(default=Priority.NORMAL, description="Among the shop's own campaigns.")


class CampaignChange(Input):
    """What is named is changed, the rest stays."""

    name: Text | None = None
    body: Body | None = None
    ab_test: AbTestInput | None = Field(default=None, description=_AB_TEST)
    audience: AudienceInput | None = Field(default=None, description="null: nobody chosen yet.")
    priority: Priority | None = None
    version: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="The version that was read; refuses if another is stored."
    )

    @property
    def changes(self) -> dict[str, Any]:
        """What is to be changed, by name. Only an audience and a test can be taken away by null."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"version"}}
        if self.ab_test is not None:
            given["ab_test"] = self.ab_test.read()
        return {name: value for name, value in given.items() if value is not None or name in ("audience", "ab_test")}


class ScheduleInput(Input):
    at: datetime = Field(
        description="ISO 8601. Without an offset: a wall time, of the shop or (`local`) of each recipient."
    )
    local: bool = Field(default=False, description="At this wall time in each recipient's own zone.")


class DuplicateInput(Input):
    name: Text | None = Field(default=None, description="Without it: the original's name and “(copy)”.")


class RetryInput(Input):
    message_ids: list[Int64] | None = Field(
        default=None,
        min_length=1,
        max_length=10_000,
        description="Failed messages to send again; without it, those that failed for a passing reason.",
    )


class RetryUnconfirmedInput(Input):
    even_asked_about: bool = Field(
        default=False,
        description="Also those about whom Mitto is being asked just now, without waiting for the answer.",
    )


class TestSendInput(Input):
    text: Letter = Field(default="A", description="Which of the texts that are tested.")
    phones: list[Annotated[str, StringConstraints(min_length=3, max_length=32)]] = Field(
        min_length=1, max_length=10, description="Your own numbers, E.164 or as written in the shop's country."
    )


class WinnerInput(Input):
    text: Letter = Field(description="The text that the rest gets.")


class RefreshInput(Input):
    provider_message_id: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RefreshBulkInput(Input):
    campaign_id: Int64


class CampaignsQuery(PageQuery):
    with_stats: bool = Field(default=False, description="Add each campaign's figures.")
    status: CampaignState | None = None


class RecipientsQuery(Query):
    status: MessageState | None = None
    page_size: int = Field(default=50, ge=1, le=100)
    cursor: PairCursor | None = None


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class StatsQuery(Query):
    ids: Annotated[
        list[Int64],
        BeforeValidator(_split),
        Field(
            min_length=1,
            max_length=MOST_STATS,
            description="Ids of campaigns, separated by commas. Those that the shop lacks are named in `notFound`.",
        ),
    ]
