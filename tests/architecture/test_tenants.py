"""No shop reaches another's rows: by foreign key, in the models and in the database, and by what queries take."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from sqlalchemy import MetaData, Table, text

from blossom import tables
from blossom.platform import db
from tests.architecture import tree
from tests.architecture.tree import Source

WITHOUT_SHOP = {
    "shops": "is the tenant",
    "periodic_turns": "of the installation",
    "prices": "of a price list, which the whole installation may share",
    "alembic_version": "Alembic's",
}

SHOP_MAY_BE_UNKNOWN = {
    "price_lists": "NULL: the installation's own",
    "receipts": "whose it is, is found out when it is applied",
    "shopify_webhooks": "NULL: for a shop that is not here",
}

NOT_TIED_TO_A_SHOP = {
    "provider_messages": "written with a million messages; the row is made by the statement that reads its message",
    "messages": "a trigger holds (shop_id, dispatch_id), once a statement: tests/messaging/test_links.py",
    "receipts": "stored before anything about it is known",
}
"""Tables whose shop_id no foreign key, direct or by a chain, holds to a shop."""

WITHOUT_SHOP_IN_KEY = {
    ("prices", "price_list_id"): "a price list may be the installation's own, without shop",
}
"""Foreign keys between tables of tenants that don't carry shop_id."""

NO_FOREIGN_KEY = {
    ("attempts", "bulk_id"): "the provider's",
    ("batches", "first_id"): "a bound of its messages' ids, not one of them",
    ("batches", "last_id"): "a bound of its messages' ids, not one of them",
    ("audit_entries", "subject_id"): "of any table; the trail outlives its subject",
    ("consent_events", "contact_id"): "a note that outlives the contact: the event is never edited",
    ("contacts", "shopify_customer_id"): "Shopify's",
    ("dispatches", "price_list_id"): "a price list may be the installation's own, without shop",
    ("earlier_tries", "attempt_id"): "attempts are pruned",
    ("earlier_tries", "message_id"): "copied from it by one statement, with its dispatch, which a foreign key holds",
    ("earlier_tries", "provider_message_id"): "the provider's",
    ("link_clicks", "message_id"): "proven by its code; the dispatch that it stands in is held by a foreign key",
    ("messages", "attempt_id"): "attempts are pruned",
    ("messages", "dispatch_id"): "as NOT_TIED_TO_A_SHOP says",
    ("messages", "provider_message_id"): "the provider's",
    ("messages", "shop_id"): "as NOT_TIED_TO_A_SHOP says",
    ("staff_members", "shopify_user_id"): "Shopify's",
    ("provider_messages", "message_id"): "as NOT_TIED_TO_A_SHOP says",
    ("provider_messages", "provider_message_id"): "the provider's",
    ("receipts", "message_id"): "found when it is applied",
    ("receipts", "named_shop_id"): "claimed by a URL, and compared, not trusted",
    ("receipts", "provider_message_id"): "the provider's",
    ("receipts", "shop_id"): "as NOT_TIED_TO_A_SHOP says",
    ("provider_messages", "shop_id"): "as NOT_TIED_TO_A_SHOP says",
    ("shop_keys", "master_key_id"): "of the environment",
    ("shopify_segments", "shopify_id"): "Shopify's",
    ("shopify_webhooks", "event_id"): "Shopify's",
    ("shopify_webhooks", "webhook_id"): "Shopify's",
    ("shops", "traffic_account_id"): "the provider's",
    ("wallet_entries", "dispatch_id"): "messaging stands above the wallet, and the ledger outlives what it paid for",
}
"""Columns that name a thing by its id and that no foreign key holds."""


@dataclass(frozen=True)
class ForeignKey:
    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]

    @property
    def pairs(self) -> set[tuple[str, str]]:
        return set(zip(self.columns, self.target_columns, strict=True))


@dataclass(frozen=True)
class Schema:
    """What both the models and the database can be asked."""

    columns: dict[str, dict[str, bool]]  # table → column → may be NULL
    keys: frozenset[ForeignKey]

    @property
    def tenant_tables(self) -> set[str]:
        return {table for table, columns in self.columns.items() if "shop_id" in columns}


def schema_of_models(metadata: MetaData = tables.metadata) -> Schema:
    return Schema(
        {table.name: {column.name: bool(column.nullable) for column in table.columns} for table in _tables(metadata)},
        frozenset(
            ForeignKey(
                table.name,
                tuple(element.parent.name for element in constraint.elements),
                constraint.referred_table.name,
                tuple(element.column.name for element in constraint.elements),
            )
            for table in _tables(metadata)
            for constraint in table.foreign_key_constraints
        ),
    )


def _tables(metadata: MetaData) -> list[Table]:
    return list(metadata.tables.values())


_COLUMNS = text(
    "SELECT table_name, column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'public'"
)

_KEYS = text("""
    SELECT con.conrelid::regclass::text AS table_name, con.confrelid::regclass::text AS target,
           (SELECT array_agg(a.attname ORDER BY k.place) FROM unnest(con.conkey) WITH ORDINALITY k(number, place)
            JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.number) AS columns,
           (SELECT array_agg(a.attname ORDER BY k.place) FROM unnest(con.confkey) WITH ORDINALITY k(number, place)
            JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.number) AS target_columns
    FROM pg_constraint con WHERE con.contype = 'f' AND con.connamespace = 'public'::regnamespace
""")


def schema_of_database() -> Schema:
    columns: dict[str, dict[str, bool]] = {}
    for table, column, nullable in db.session.execute(_COLUMNS):
        columns.setdefault(table, {})[column] = nullable == "YES"
    keys = db.session.execute(_KEYS).mappings()
    return Schema(
        columns,
        frozenset(
            ForeignKey(key["table_name"], tuple(key["columns"]), key["target"], tuple(key["target_columns"]))
            for key in keys
        ),
    )


@pytest.fixture(params=["models", "database"])
def schema(request: pytest.FixtureRequest, app: Flask) -> Schema:
    return schema_of_models() if request.param == "models" else schema_of_database()


def crossings(schema: Schema) -> set[ForeignKey]:
    """Foreign keys by which a row of one shop could point at another's."""
    return {
        key
        for key in schema.keys
        if key.target in schema.tenant_tables
        and ("shop_id", "shop_id") not in key.pairs
        and (key.table, key.columns[0]) not in WITHOUT_SHOP_IN_KEY
    }


def held(schema: Schema) -> set[str]:
    """Tables whose shop_id is that of a shop, by a foreign key or by a chain of them.

    A key with an empty column holds nothing (MATCH SIMPLE), so keys that may be empty don't count.
    """
    found = {"shops"}
    while more := {
        key.table
        for key in schema.keys
        if key.target in found
        and key.table not in found
        and (("shop_id", "id" if key.target == "shops" else "shop_id") in key.pairs)
        and not any(schema.columns[key.table][column] for column in key.columns if column != "shop_id")
    }:
        found |= more
    return found


def test_every_table_has_its_shop(schema: Schema) -> None:
    assert set(schema.columns) - schema.tenant_tables <= set(WITHOUT_SHOP)
    assert not set(WITHOUT_SHOP) & schema.tenant_tables


def test_the_shop_is_never_unknown(schema: Schema) -> None:
    nullable = {table for table in schema.tenant_tables if schema.columns[table]["shop_id"]}
    assert nullable == set(SHOP_MAY_BE_UNKNOWN)


def test_no_foreign_key_crosses_from_one_shop_to_another(schema: Schema) -> None:
    assert crossings(schema) == set()


def test_every_shop_id_is_that_of_a_shop(schema: Schema) -> None:
    assert schema.tenant_tables - held(schema) == set(NOT_TIED_TO_A_SHOP)


def test_every_id_of_another_row_is_held_by_a_foreign_key(schema: Schema) -> None:
    in_keys = {(key.table, column) for key in schema.keys for column in key.columns}
    named = {
        (table, column)
        for table, columns in schema.columns.items()
        for column in columns
        if column.endswith("_id") and table != "alembic_version"
    }
    assert named - in_keys == set(NO_FOREIGN_KEY)


def test_models_and_database_have_the_same_foreign_keys(app: Flask) -> None:
    in_models, in_database = schema_of_models().keys, schema_of_database().keys
    assert in_database - in_models == set()
    assert in_models - in_database == set()


def test_a_planted_crossing_is_seen() -> None:
    metadata = MetaData()
    for statement in (
        "Table('ours', metadata, Column('id', Integer, primary_key=True), Column('shop_id', Integer))",
        "Table('bad', metadata, Column('shop_id', Integer), Column('ours_id', ForeignKey('ours.id')))",
    ):
        exec("from sqlalchemy import *\n" + statement, {"metadata": metadata})
    assert crossings(schema_of_models(metadata)) == {ForeignKey("bad", ("ours_id",), "ours", ("id",))}


# Queries

WITHOUT_SHOP_FIRST = {
    "campaigns": {
        "campaign_stats": "the campaign carries it",
        "count": "the campaign carries it",
        "due_campaigns": "the clock's: of all shops, told with each",
        "lost_yeses": "the clock's: of all shops, told with each",
        "needed_segments": "the clock's: of all shops, told with each",
        "standing": "reads what a query has brought",
        "unsettled_dispatches": "the clock's: of all shops, told with each",
        "unsubscribes": "the campaign carries it",
    },
    "consent": {
        "texted_requests": "the clock's: of all shops, told with each",
        "unsettled_requests": "the clock's: of all shops, told with each",
    },
    "customers": {
        "owed_imports": "the clock's: of all shops, told with each",
    },
    "home": {"figures": "takes the shop itself"},
    "inbound": {
        "acquaintances": "asks many shops at once which of them knows the sender; each answer names its shop",
        "addressees": "which shops a text may be for: before any is known",
        "backlog": "the operator's: of the whole installation",
        "all_shops": "which shops a text may be for: before any is known",
        "shop_id_of": "how the shop is found",
        "unhandled": "the clock's: of all shops, told with each",
        "waiting_webhooks": "the operator's: of the whole installation",
    },
    "messaging": {
        "due_moments": "by the hours of a shop that is given; reads nothing",
        "masked": "a number by its ends; reads nothing",
        "names_of": "the contact carries it",
        "of_census": "of the shop that is given, whose audience was counted",
        "queue_stats": "the operator's: of the whole installation",
        "reason_to_leave_out": "reads nothing",
        "row_of": "reads a row that a query has brought",
        "same_for_all": "of the shop that is given",
        "sample_of": "the contact carries it",
        "sized_names": "of a text; reads nothing",
        "sum_up": "reads the people of a statement that carries it",
        "summed": "of the shop that is given, whose audience was counted",
        "total": "sums what a query has counted",
        "values_for_all": "of the shop that is given",
    },
    "segments": {
        "is_in": "the segment carries it; who asks names the shop",
        "met_by": "a condition for a statement that carries it",
    },
    "uploads": {
        "expired": "the clock's: of all shops, told with each",
    },
    "shops": {
        "by_domain": "how the shop is found",
        "expiring_access": "the clock's: of all shops, told with each",
        "undescribed": "the clock's: of all shops, told with each",
    },
    "wallet": {
        "price_list": "a list may be the installation's own, without shop",
        "forget_price_lists": "empties a cache",
        "reservation_of": "reads a row that a query has brought",
    },
}
"""Public functions of queries whose first argument is not shop_id."""


def queries() -> Iterator[tuple[str, Source, ast.FunctionDef]]:
    """Each public function of a domain's queries."""
    for source in tree.sources():
        _, domain, *rest = source.path.split("/")
        if rest and rest[0].removesuffix(".py") == "queries":
            for node in source.tree.body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    yield domain, source, node


def takes_shop_first(function: ast.FunctionDef) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return (
        bool(arguments)
        and arguments[0].arg == "shop_id"
        and ast.unparse(arguments[0].annotation or arguments[0]) == "int"
    )


def uses_shop(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "shop_id" for node in ast.walk(function))


def test_every_query_takes_the_shop_first() -> None:
    odd = {(domain, function.name) for domain, _, function in queries() if not takes_shop_first(function)}
    assert odd == {(domain, name) for domain, names in WITHOUT_SHOP_FIRST.items() for name in names}


def test_every_query_that_takes_the_shop_asks_for_it() -> None:
    idle = [
        f"{source.path}:{function.lineno} {function.name}"
        for _, source, function in queries()
        if takes_shop_first(function) and not uses_shop(function)
    ]
    assert idle == []


def test_queries_are_found_in_modules_and_packages() -> None:
    found = {(domain, function.name) for domain, _, function in queries()}
    assert {("contacts", "contact"), ("messaging", "progress")} <= found
