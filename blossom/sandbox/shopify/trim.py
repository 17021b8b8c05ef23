"""Cut Shopify's Admin schema down to what our operations use: `schema.graphql`, over which the stand-in executes them.

    python -m blossom.sandbox.shopify.trim [admin_2026-10.json.gz]

The file is `package/dist/data/admin_2026-10.json.gz` of the npm package `@shopify/dev-mcp` 1.16.0; without it here, npm
fetches the package. Each operation is first validated against the whole schema; what is deprecated is refused. The
trimmed schema has the types, fields, arguments and input fields that the operations name, enums whole, interfaces that
they name with the types that have all of the fields named there, and on types and fields the access scopes that Shopify
wants for them (`@access`, any of them is enough; from the same file). Descriptions are left out.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import graphql
import orjson
from graphql import language
from graphql.utilities.get_default_value_ast import get_default_value_ast

PACKAGE = "@shopify/dev-mcp@1.16.0"
DATA = "package/dist/data/admin_2026-10.json.gz"
OPERATIONS = Path(__file__).resolve().parents[2] / "shopify" / "operations"
SCHEMA = Path(__file__).with_name("schema.graphql")

_HEAD = """\
# Shopify's Admin API 2026-10, cut down to what blossom/shopify/operations use.
# Written by `python -m blossom.sandbox.shopify.trim`; not edited by hand.
"""
_ACCESS = "directive @access(anyOf: [String!]!) on FIELD_DEFINITION | OBJECT"

Access = dict[tuple[str, str | None], list[str]]
"""(type, field) → scopes of which one is needed; the field None stands for the type."""


class TrimError(Exception):
    """An operation doesn't fit the schema, or can't be trimmed by; the message says where and why."""


@dataclass
class Used:
    """What operations name: fields of types with their arguments, fields of inputs, and the types of it all."""

    fields: dict[str, dict[str, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    inputs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    leaves: set[str] = field(default_factory=set)


def load(data: bytes) -> tuple[graphql.GraphQLSchema, Access]:
    """The whole schema, and the scopes that it asks for, of the packed introspection file."""
    document = orjson.loads(gzip.decompress(data))
    access: Access = {
        (item["typeName"], item.get("fieldName")): item["offlineScopes"]
        for item in document["offline_scopes"]["items"]
        if item["offlineScopes"]
    }
    return graphql.build_client_schema(document["data"], assume_valid=True), access


def access_of(schema: graphql.GraphQLSchema) -> Access:
    """The scopes that a trimmed schema says by `@access`."""
    found: Access = {}
    for name, type_ in schema.type_map.items():
        if isinstance(type_, graphql.GraphQLObjectType) and type_.ast_node is not None:
            nodes: list[tuple[str | None, Any]] = [(None, type_.ast_node)]
            nodes += [(field_name, each.ast_node) for field_name, each in type_.fields.items()]
            for field_name, node in nodes:
                for directive in node.directives or ():
                    if directive.name.value == "access":
                        found[name, field_name] = [value.value for value in directive.arguments[0].value.values]
    return found


def operations() -> dict[str, str]:
    """The text of each operation by its name, in order."""
    return {path.stem: path.read_text() for path in sorted(OPERATIONS.glob("*.graphql"))}


def trim(schema: graphql.GraphQLSchema, access: Access, texts: dict[str, str]) -> str:
    """The trimmed schema as a text. `TrimError` for an operation that doesn't fit, or names something deprecated."""
    used = Used()
    for name, text in texts.items():
        document = graphql.parse(text)
        errors = graphql.validate(schema, document, [*graphql.specified_rules, graphql.NoDeprecatedCustomRule])
        if errors:
            raise TrimError(f"{name}: {'; '.join(error.message for error in errors)}")
        _collect(schema, document, used, name)
    return _written(schema, access, used)


class _Collector(graphql.Visitor):
    def __init__(self, info: graphql.TypeInfo, used: Used, name: str) -> None:
        super().__init__()
        self._info, self._used, self._name = info, used, name

    def enter_field(self, node: language.FieldNode, *_: Any) -> None:
        parent, definition = self._info.get_parent_type(), self._info.get_field_def()
        assert parent is not None
        assert definition is not None
        if node.name.value.startswith("__"):
            return
        self._used.fields[parent.name][node.name.value].update(each.name.value for each in node.arguments or ())
        self._leaf(definition.type)

    def enter_argument(self, *_: Any) -> None:
        argument = self._info.get_argument()
        if argument is not None:
            self._leaf(argument.type)

    def enter_object_field(self, node: language.ObjectFieldNode, *_: Any) -> None:
        parent, type_ = graphql.get_named_type(self._info.get_parent_input_type()), self._info.get_input_type()
        assert parent is not None
        assert type_ is not None
        self._used.inputs[parent.name].add(node.name.value)
        self._leaf(type_)

    def enter_variable_definition(self, node: language.VariableDefinitionNode, *_: Any) -> None:
        named = graphql.get_named_type(self._info.get_input_type())
        if not graphql.is_leaf_type(named):
            raise TrimError(
                f"{self._name}: ${node.variable.name.value} is a whole input. Spell its fields in the operation, with"
                " variables for their values, so that it can be seen which are used"
            )

    def _leaf(self, type_: graphql.GraphQLType) -> None:
        named = graphql.get_named_type(type_)
        if graphql.is_leaf_type(named):
            self._used.leaves.add(named.name)


def _collect(schema: graphql.GraphQLSchema, document: language.DocumentNode, used: Used, name: str) -> None:
    info = graphql.TypeInfo(schema)
    graphql.visit(document, graphql.TypeInfoVisitor(info, _Collector(info, used, name)))


def _written(schema: graphql.GraphQLSchema, access: Access, used: Used) -> str:
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    roots = f"schema {{\n  query: {schema.query_type.name}\n  mutation: {schema.mutation_type.name}\n}}"
    blocks = [_HEAD + _ACCESS, roots]
    for name in sorted({*used.fields, *used.inputs, *used.leaves}):
        type_ = schema.type_map[name]
        if isinstance(type_, graphql.GraphQLEnumType):
            blocks.append(
                _block(f"enum {name}", (v for v, each in type_.values.items() if not each.deprecation_reason))
            )
        elif isinstance(type_, graphql.GraphQLScalarType):
            if not graphql.is_specified_scalar_type(type_):
                blocks.append(f"scalar {name}")
        elif isinstance(type_, graphql.GraphQLInputObjectType):
            one_of = " @oneOf" if type_.is_one_of else ""
            lines = (f"{each}: {_input(type_.fields[each])}" for each in sorted(used.inputs[name]))
            blocks.append(_block(f"input {name}{one_of}", lines))
        elif isinstance(type_, (graphql.GraphQLObjectType, graphql.GraphQLInterfaceType)):
            lines = (_field(type_, each, used.fields[name][each], access) for each in sorted(used.fields[name]))
            kind = "type" if isinstance(type_, graphql.GraphQLObjectType) else "interface"
            head = f"{kind} {name}{_implements(type_, used)}{_directive(access.get((name, None)))}"
            blocks.append(_block(head, lines))
        else:
            raise TrimError(f"{name} is a union, which no operation of ours has named so far")
    return "\n\n".join(blocks) + "\n"


def _implements(type_: graphql.GraphQLObjectType | graphql.GraphQLInterfaceType, used: Used) -> str:
    names = (each.name for each in type_.interfaces if each.name in used.fields)
    kept = sorted(name for name in names if set(used.fields[name]) <= set(used.fields[type_.name]))
    return f" implements {' & '.join(kept)}" if kept else ""


def _field(
    type_: graphql.GraphQLObjectType | graphql.GraphQLInterfaceType, name: str, arguments: set[str], access: Access
) -> str:
    definition = type_.fields[name]
    inside = ", ".join(f"{each}: {_input(definition.args[each])}" for each in sorted(arguments))
    return f"{name}{f'({inside})' if inside else ''}: {definition.type}{_directive(access.get((type_.name, name)))}"


def _input(value: graphql.GraphQLArgument | graphql.GraphQLInputField) -> str:
    default = get_default_value_ast(value)
    return f"{value.type} = {graphql.print_ast(default)}" if default else str(value.type)


def _directive(scopes: list[str] | None) -> str:
    return f" @access(anyOf: {orjson.dumps(scopes).decode()})" if scopes else ""


def _block(head: str, lines: Iterable[str]) -> str:
    return "\n".join([f"{head} {{", *(f"  {line}" for line in lines), "}"])


def fetched() -> bytes:
    """The data file out of npm's package, in a folder that is gone afterwards. `TrimError` where there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise TrimError(f"there is no npm here; name the file {DATA} of {PACKAGE}")
    with tempfile.TemporaryDirectory(prefix="trim-") as folder:
        subprocess.run(  # noqa: S603  a program of the machine's own, fixed arguments, no shell
            [npm, "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        (packed,) = Path(folder).glob("*.tgz")
        with tarfile.open(packed) as archive:
            member = archive.extractfile(DATA)
            assert member is not None
            return member.read()


def main() -> None:
    """Parse the command line and write `schema.graphql`."""
    parser = argparse.ArgumentParser(prog="python -m blossom.sandbox.shopify.trim", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="the introspection file; without it npm fetches the package")
    options = parser.parse_args()
    try:
        whole, access = load(options.file.read_bytes() if options.file else fetched())
        text = trim(whole, access, operations())
    except TrimError as error:
        parser.exit(1, f"{error}\n")
    SCHEMA.write_text(text)
    print(f"{SCHEMA.name}: {len(text.splitlines())} lines for {len(operations())} operations")


if __name__ == "__main__":
    main()
