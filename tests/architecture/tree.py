"""The source tree as the architecture tests read it: files, syntax trees, domains."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOSSOM = ROOT / "blossom"

NOT_DOMAINS = {"commands", "platform", "sandbox", "mitto", "shopify"}
"""Packages that are no domain: the commands, what all stand on, the stand-ins, and one folder an outside service."""


@dataclass(frozen=True)
class Source:
    """A Python file. `path` is relative to the repository."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path, self.text)

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def is_in(self, *places: str) -> bool:
        """Whether it is one of these files, or stands in one of these folders (`blossom/sandbox/`)."""
        return any(self.path == place or (place.endswith("/") and self.path.startswith(place)) for place in places)

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def dotted_names(self) -> Iterator[tuple[int, str]]:
        """Each attribute chain with its line, as written: `os.environ`, `session.commit`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Attribute):
                yield node.lineno, ast.unparse(node)


@functools.cache
def _parsed(path: str, text: str) -> ast.Module:
    return ast.parse(text, path)


def sources(*folders: str) -> list[Source]:
    """The Python files of these folders (default: all of blossom), in order."""
    found = [path for folder in folders or ("blossom",) for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found, f"nothing in {folders}"
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text()) for path in found]


def packages() -> set[str]:
    """What stands directly in blossom/: packages and modules."""
    return {path.parent.name for path in BLOSSOM.glob("*/__init__.py")} | {
        path.stem for path in BLOSSOM.glob("*.py") if path.stem != "__init__"
    }


def domains() -> set[str]:
    return {path.parent.name for path in BLOSSOM.glob("*/__init__.py")} - NOT_DOMAINS
