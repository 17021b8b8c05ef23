"""What may be done in one place only (commits, environment, clock, waiting, printing); files' names and sizes."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import pytest

from tests.architecture import tree
from tests.architecture.tree import Source

MOST_LINES = 400

FILE_NAMES = {"views", "api", "jobs", "forms", "service", "queries", "models", "rules", "errors"}
"""Of a domain (design.md §2). Each is a module, or a package of that name."""

NOTHING_SAID = re.compile(r"(^|_)(util|helper|manager|common|misc|base)s?(_|$)")

_SQL_TIME = re.compile(r"\b(now\(\)|current_(timestamp|date|time)\b|clock_timestamp)", re.IGNORECASE)


def _commits(source: Source) -> Iterator[int]:
    """`session.commit()`, and `session.begin()` as a block, which commits at its end; a savepoint doesn't."""
    for call in source.calls():
        match call.func:
            case ast.Attribute(attr="commit"):
                yield call.lineno
            case ast.Attribute(attr="begin", value=ast.Name(id="session") | ast.Attribute(attr="session")):
                yield call.lineno


def _reads_environment(source: Source) -> Iterator[int]:
    for line, name in source.dotted_names():
        if name in ("os.environ", "os.environb", "os.getenv", "os.putenv"):
            yield line
    yield from _imports(source, "os", {"environ", "environb", "getenv", "putenv"})


def _reads_the_clock(source: Source) -> Iterator[int]:
    for line, name in source.dotted_names():
        if re.search(r"(^|\.)(datetime\.(now|utcnow|today)|date\.today)$", name) or name in (
            "time.time",
            "time.time_ns",
        ):
            yield line
    yield from _imports(source, "time", {"time", "time_ns"})


def _asks_the_database_for_the_time(source: Source) -> Iterator[int]:
    """A frozen clock, and the one a sandbox moves, would not be obeyed."""
    said = _docstrings(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said:
            yield from [node.lineno] if _SQL_TIME.search(node.value) else []
    for line, name in source.dotted_names():
        if name in ("func.now", "func.current_timestamp"):
            yield line


def _sleeps(source: Source) -> Iterator[int]:
    for line, name in source.dotted_names():
        if name in ("time.sleep", "asyncio.sleep"):
            yield line
    yield from _imports(source, "time", {"sleep"})


def _prints(source: Source) -> Iterator[int]:
    for call in source.calls():
        if isinstance(call.func, ast.Name) and call.func.id == "print":
            yield call.lineno


def _imports(source: Source, module: str, names: set[str]) -> Iterator[int]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == module and {alias.name for alias in node.names} & names:
            yield node.lineno


def _docstrings(source: Source) -> set[ast.AST]:
    return {
        node.body[0].value
        for node in ast.walk(source.tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


ONE_PLACE: dict[str, tuple[Callable[[Source], Iterator[int]], dict[str, str]]] = {
    "commits": (_commits, {"blossom/platform/db.py": "the one place"}),
    "reads the environment": (
        _reads_environment,
        {
            "blossom/platform/config.py": "the one place",
            "blossom/surroundings.py": "writes the addresses of the embedded servers for the processes that it starts",
            "blossom/sandbox/demo/": "hands its own on to the processes that it starts",
        },
    ),
    "reads the clock": (
        _reads_the_clock,
        {
            "blossom/platform/clock.py": "the one place",
            "blossom/platform/api/limiting.py": "compares with the end of a window, which the library counts so",
            "blossom/sandbox/": "a provider has a clock of its own",
        },
    ),
    "asks the database for the time": (
        _asks_the_database_for_the_time,
        {"blossom/platform/clock.py": "measures how far the host is from it; all else asks the clock"},
    ),
    "sleeps": (
        _sleeps,
        {
            "blossom/mitto/client.py": "between the tries of one call (spec §3), where nothing is held",
            "blossom/platform/embedded/": "for a server of ours to start or stop, before there is anything else to do",
            "blossom/sandbox/": "a provider takes its time",
        },
    ),
    "prints": (_prints, {"blossom/sandbox/": "programs of their own, read by who started them"}),
}
"""Deed → how it is seen, and where it may be done, and why there."""


@pytest.mark.parametrize("deed", ONE_PLACE)
def test_is_done_only_where_it_may_be(deed: str) -> None:
    seen_in, places = ONE_PLACE[deed]
    elsewhere = [
        f"{source.path}:{line}" for source in tree.sources() if not source.is_in(*places) for line in seen_in(source)
    ]
    assert elsewhere == []


@pytest.mark.parametrize("deed", ONE_PLACE)
def test_no_exception_outlives_its_reason(deed: str) -> None:
    seen_in, places = ONE_PLACE[deed]
    needed = {place for source in tree.sources() for place in places if source.is_in(place) and any(seen_in(source))}
    assert set(places) == needed


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        ("commits", "db.session.commit()"),
        ("commits", "def f(x):\n    x.connection().commit()"),
        ("commits", "with session.begin():\n    pass"),
        ("reads the environment", "import os\nos.environ['A']"),
        ("reads the environment", "import os\nos.getenv('A')"),
        ("reads the environment", "from os import environ"),
        ("reads the clock", "datetime.now(UTC)"),
        ("reads the clock", "datetime.datetime.utcnow()"),
        ("reads the clock", "date.today()"),
        ("reads the clock", "time.time()"),
        ("reads the clock", "from time import time"),
        ("asks the database for the time", "Q = text('UPDATE t SET at = now()')"),
        ("asks the database for the time", "select(func.now())"),
        ("sleeps", "def nap():\n    time.sleep(1)"),
        ("sleeps", "from time import sleep"),
        ("prints", "print('here')"),
    ],
)  # fmt: skip
def test_a_planted_one_is_seen(deed: str, text: str) -> None:
    assert list(ONE_PLACE[deed][0](Source("blossom/planted.py", text)))


@pytest.mark.parametrize(
    ("deed", "text"),
    [
        ("commits", "with session.begin_nested():\n    pass"),
        ("reads the clock", "clock.now()"),
        ("reads the clock", "time.monotonic()"),
        ("asks the database for the time", '"""Until now() moves."""'),
        ("prints", "log.info('print(1)')"),
    ],
)
def test_the_like_of_it_is_not_taken_for_it(deed: str, text: str) -> None:
    assert not list(ONE_PLACE[deed][0](Source("blossom/planted.py", text)))


def test_a_domain_has_only_the_known_file_names() -> None:
    odd = []
    for domain in tree.domains():
        for path in sorted((tree.BLOSSOM / domain).iterdir()):
            if path.name not in ("__init__.py", "__pycache__") and (
                path.stem not in FILE_NAMES or (path.is_file() and path.suffix != ".py")
            ):
                odd.append(f"{domain}/{path.name}")
            if path.is_dir() and path.with_suffix(".py").exists():
                odd.append(f"{domain}/{path.name} beside {path.name}.py")
    assert odd == []


def test_a_domains_own_init_only_says_what_it_is() -> None:
    """So that importing one module of a domain imports no other."""
    for domain in tree.domains():
        (source,) = [source for source in tree.sources() if source.path == f"blossom/{domain}/__init__.py"]
        assert ast.get_docstring(source.tree), source.path
        assert len(source.tree.body) == 1, source.path


def test_blossoms_own_init_is_empty() -> None:
    assert (tree.BLOSSOM / "__init__.py").read_text() == ""


def test_no_file_is_named_for_nothing() -> None:
    assert [source.path for source in tree.sources() if NOTHING_SAID.search(source.module.rpartition(".")[2])] == []


def test_files_are_of_a_size_that_can_be_read() -> None:
    long = {
        source.path: lines
        for source in tree.sources("blossom", "migrations", "benchmarks", "ops")
        if (lines := len(source.text.splitlines())) > MOST_LINES
    }
    assert long == {}
