"""A database as Postgres itself describes it, so that two of them can be compared to the last constraint."""

from __future__ import annotations

from typing import TypeAlias

from sqlalchemy import Connection, text

Catalog: TypeAlias = dict[str, dict[str, str]]
"""Kind of thing → its name → its definition, as Postgres prints it."""

_QUESTIONS = {
    "columns": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
               || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    """,
    # NOT NULL is one of the columns' (and in Postgres 18 a constraint, too).
    "constraints": """
        SELECT conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    """,
    "indexes": """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE c.relnamespace = 'public'::regnamespace
    """,
    "defaults": """
        SELECT c.relname || '.' || a.attname,
               a.attidentity::text || a.attgenerated::text || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "functions": """
        SELECT oid::regprocedure::text, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """,
    "triggers": """
        SELECT tgrelid::regclass || ' ' || tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    """,
    "sequences and types": """
        SELECT relname::text, relkind::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('S', 'c', 'v', 'm')
        UNION ALL
        SELECT typname::text, typtype::text FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd', 'r')
    """,
}

SHAPE = ("columns", "constraints", "indexes")
"""What models describe, too. They leave defaults and triggers to the migrations."""


def read(connection: Connection) -> Catalog:
    """Everything in the schema `public` but Alembic's own table."""
    found = {
        kind: {str(name): str(definition) for name, definition in connection.execute(text(question))}
        for kind, question in _QUESTIONS.items()
    }
    return {
        kind: {name: definition for name, definition in things.items() if not name.startswith("alembic_version")}
        for kind, things in found.items()
    }


def differences(wanted: Catalog, found: Catalog, kinds: tuple[str, ...] = tuple(_QUESTIONS)) -> list[str]:
    """A line for each thing that is missing, too many, or different."""
    return [
        f"{kind}: {name}: {wanted[kind].get(name, 'nothing')} ≠ {found[kind].get(name, 'nothing')}"
        for kind in kinds
        for name in sorted(set(wanted[kind]) | set(found[kind]))
        if wanted[kind].get(name) != found[kind].get(name)
    ]
