"""What may be asked, and what is refused with the field that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from blossom.platform.errors import InvalidInput
from blossom.segments import forms
from blossom.segments.rules import OPERATORS, Audience, Question


@pytest.mark.parametrize(
    "given",
    [{"all": True}, {"segments": [1, 2]}, {"all": True, "exclude": [3]}, {"segments": [1], "exclude": [2, 3]}],
)
def test_an_audience_survives_json(given: dict[str, Any]) -> None:
    assert Audience.from_json(given).to_json() == given


def test_a_segment_named_twice_counts_once() -> None:
    assert Audience.from_json({"segments": [1, 1, 2]}).segments == (1, 2)


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        "all",
        {},
        {"all": False},
        {"segments": []},
        {"all": True, "segments": [1]},
        {"all": "yes"},
        {"all": 1},
        {"segments": 1},
        {"segments": ["1"]},
        {"segments": [True]},
        {"segments": [0]},
        {"segments": [2**63]},
        {"segments": [1.0]},
        {"segments": list(range(1, 102))},
        {"exclude": [1]},
        {"all": True, "only": "vip"},
        {"all": True, "exclude": None},
    ],
)
def test_an_audience_of_the_wrong_shape_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        Audience.from_json(given)

    assert set(refused.value.details["fields"]) == {"audience"}


CONDITIONS = [
    {"field": "country", "operator": "in", "value": ["GR", "CY"]},
    {"field": "country", "operator": "not_in", "value": ["DE"]},
    {"field": "tags", "operator": "any", "value": ["vip"]},
    {"field": "tags", "operator": "all", "value": ["vip", "b2b"]},
    {"field": "tags", "operator": "none", "value": ["returns"]},
    {"field": "total_spent", "operator": "at_least", "value": 5000},
    {"field": "total_spent", "operator": "at_most", "value": 0},
    {"field": "orders", "operator": "at_least", "value": 2},
    {"field": "orders", "operator": "at_most", "value": 2},
    {"field": "created", "operator": "after", "value": "2026-01-01T00:00:00+00:00"},
    {"field": "created", "operator": "before", "value": "2026-01-01T00:00:00+00:00"},
    {"field": "consent_age", "operator": "at_least", "value": 30},
    {"field": "consent_age", "operator": "at_most", "value": 30},
]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda c: f"{c['field']} {c['operator']}")
def test_a_question_survives_the_form_and_the_database(condition: dict[str, Any]) -> None:
    name, question = forms.read_segment({"name": " Some ", "rules": {"match": "any", "conditions": [condition]}})

    assert name == "Some"
    assert question is not None
    assert question.to_json() == {"match": "any", "conditions": [condition]}
    assert Question.from_json(question.to_json()) == question


def test_every_operator_of_the_rules_can_be_sent() -> None:
    assert {(c["field"], c["operator"]) for c in CONDITIONS} == {(f, o) for f, os in OPERATORS.items() for o in os}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (None, "segment"),
        ({"rules": None}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "x", "colour": "red"}, "colour"),
        ({"name": "x", "rules": {"conditions": []}}, "rules.conditions"),
        ({"name": "x", "rules": {"conditions": [CONDITIONS[0]] * 21}}, "rules.conditions"),
        ({"name": "x", "rules": {"conditions": [{"field": "iq"}]}}, "rules.conditions.0"),
        (
            {"name": "x", "rules": {"conditions": [{"field": "country", "operator": "in", "value": ["Greece"]}]}},
            "rules.conditions.0.country.value.0",
        ),
        (
            {"name": "x", "rules": {"conditions": [{"field": "orders", "operator": "at_least", "value": "2"}]}},
            "rules.conditions.0.orders.value",
        ),
        (
            {"name": "x", "rules": {"conditions": [{"field": "orders", "operator": "at_least", "value": -1}]}},
            "rules.conditions.0.orders.value",
        ),
        (
            {
                "name": "x",
                "rules": {"conditions": [{"field": "created", "operator": "after", "value": "2026-01-01T00:00"}]},
            },
            "rules.conditions.0.created.value",
        ),
        (
            {"name": "x", "rules": {"conditions": [{"field": "created", "operator": "after", "value": "May"}]}},
            "rules.conditions.0.created.value",
        ),
    ],
)
def test_what_can_not_be_asked_is_refused_by_its_field(given: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        forms.read_segment(given)

    assert field in refused.value.details["fields"]
