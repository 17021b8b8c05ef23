"""The trimmed schema: it has what our operations use, and nothing else; and how it is trimmed."""

from __future__ import annotations

import re

import graphql
import pytest

from blossom.sandbox.shopify import trim
from tests.providers.shopify_stand_in.conftest import OPERATIONS

TRIMMED = graphql.build_schema(trim.SCHEMA.read_text())

WHOLE = graphql.build_schema("""
    directive @access(anyOf: [String!]!) on FIELD_DEFINITION | OBJECT
    schema { query: QueryRoot  mutation: Mutation }
    type QueryRoot {
      person(id: ID!, language: String = "el", old: Int @deprecated(reason: "gone")): Person
      people(first: Int = 10): [Person!]!
      unused: Unused
    }
    type Mutation { rename(input: RenameInput!): Person }
    type Person @access(anyOf: ["read_people"]) {
      id: ID!
      name: String @deprecated(reason: "Use fullName")
      fullName(style: Style): String @access(anyOf: ["read_names", "read_all"])
      born: Date
      mood: Mood
    }
    type Unused { id: ID! }
    enum Style { SHORT LONG ANCIENT @deprecated(reason: "nobody") }
    enum Mood { GOOD BAD }
    scalar Date
    scalar Time
    input RenameInput { id: ID!  name: NameInput!  note: String }
    input NameInput @oneOf { full: String  nick: String }
""")


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_of_ours_fits_the_schema(name: str) -> None:
    document = graphql.parse(OPERATIONS[name])
    assert graphql.validate(TRIMMED, document) == []
    (operation,) = [each for each in document.definitions if isinstance(each, graphql.OperationDefinitionNode)]
    assert operation.name is not None
    words = name.split("_")
    assert operation.name.value == "".join(word.capitalize() for word in words), "a call's log names operations so"


def test_the_app_runs_each_operation() -> None:
    """By its name: `client.run("shop")`, `documents.read("customers_bulk")`. Only tests ask for one `customer`."""
    app = trim.OPERATIONS.parents[1]
    sources = (path for path in app.rglob("*.py") if "sandbox" not in path.relative_to(app).parts)
    run = set(re.findall(r'(?:\brun|\bread)\(\s*"(\w+)"', "\n".join(path.read_text() for path in sources)))
    assert set(OPERATIONS) - run == {"customer"}


def test_the_schema_holds_nothing_that_no_operation_uses() -> None:
    """Trimmed once more, it comes out as it went in."""
    assert trim.trim(TRIMMED, trim.access_of(TRIMMED), OPERATIONS) == trim.SCHEMA.read_text()


def test_without_one_operation_it_would_be_smaller() -> None:
    """So that the test above can fail."""
    for name in ("customer_create", "bulk_operation_run_query", "shop"):
        fewer = {each: text for each, text in OPERATIONS.items() if each != name}
        assert trim.trim(TRIMMED, trim.access_of(TRIMMED), fewer) != trim.SCHEMA.read_text()


def test_customers_are_read_alike_by_every_operation_that_reads_them() -> None:
    whole = {
        name: graphql.print_ast(_customer_selection(OPERATIONS[name]))
        for name in ("customer", "customer_by_phone", "customers_by_id", "customers_updated_since", "customers_bulk")
    }
    assert set(whole.values()) == {whole["customer"]}


def _customer_selection(text: str) -> graphql.SelectionSetNode:
    """Of the fragment, or of the one node at the end of the query's only way down."""
    document = graphql.parse(text)
    for definition in document.definitions:
        if isinstance(definition, graphql.FragmentDefinitionNode):
            return definition.selection_set
    (operation,) = document.definitions
    assert isinstance(operation, graphql.OperationDefinitionNode)
    selection = operation.selection_set
    while len(selection.selections) == 1:
        (node,) = selection.selections
        assert isinstance(node, graphql.FieldNode)
        assert node.selection_set is not None
        selection = node.selection_set
    return selection


def test_scopes_come_along() -> None:
    access = trim.access_of(TRIMMED)
    assert access["Customer", None] == ["read_customers"]
    assert access["Mutation", "customerCreate"] == ["write_customers"]
    assert ("QueryRoot", "shop") not in access


def test_trimming_keeps_what_is_named_and_enums_whole() -> None:
    trimmed = trim.trim(
        WHOLE,
        trim.access_of(WHOLE),
        {
            "read": 'query($id: ID!) { person(id: $id, language: "en") { fullName(style: SHORT) mood } }',
            "write": "mutation($id: ID!, $full: String!) { rename(input: {id: $id, name: {full: $full}}) { id } }",
        },
    )
    assert trimmed.split("\n\n", 2)[2] == (
        """\
enum Mood {
  GOOD
  BAD
}

type Mutation {
  rename(input: RenameInput!): Person
}

input NameInput @oneOf {
  full: String
}

type Person @access(anyOf: ["read_people"]) {
  fullName(style: Style): String @access(anyOf: ["read_names","read_all"])
  id: ID!
  mood: Mood
}

type QueryRoot {
  person(id: ID!, language: String = "el"): Person
}

input RenameInput {
  id: ID!
  name: NameInput!
}

enum Style {
  SHORT
  LONG
}
"""
    )
    graphql.assert_valid_schema(graphql.build_schema(trimmed))


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("{ person(id: 1) { name } }", "deprecated"),
        ("{ person(id: 1, old: 1) { id } }", "deprecated"),
        ("{ person(id: 1) { fullName(style: ANCIENT) } }", "deprecated"),
        ("{ person(id: 1) { age } }", "Cannot query field 'age'"),
        ("{ person { id } }", "required"),
        ("mutation($input: RenameInput!) { rename(input: $input) { id } }", "whole input"),
    ],
)
def test_an_operation_is_refused_that_does_not_fit(operation: str, why: str) -> None:
    with pytest.raises(trim.TrimError, match=why):
        trim.trim(WHOLE, {}, {"bad": operation})
