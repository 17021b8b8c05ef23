"""The contracts of `.importlinter` hold, leave no package out, and each breaks when it is violated."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from importlinter.api import read_configuration

from tests.architecture import tree

CONTRACTS = {
    options["name"]: options for options in read_configuration(str(tree.ROOT / ".importlinter"))["contracts_options"]
}


@dataclass(frozen=True)
class Plant:
    """A violation: `line` added to `file` (made if it isn't there), which must break `contract` and no other."""

    contract: str
    file: str
    line: str

    def __str__(self) -> str:
        return f"{self.file}: {self.line}" if self.line else self.file


ORDER = "Imports go down the list of packages"
INSIDE = "Inside a domain: only the known file names, each using those below it"
PURE = "Rules are pure"
FORMS = "Forms have no database"
FLASK = "Flask only in views, api and where the app is put together"
ENTRANCES = "Views, api and jobs are imported only by app and worker"
MITTO = "Only messaging calls Mitto"
SHOPIFY = "Only shops makes clients of Shopify"
SANDBOX_IN = "Nothing imports the sandbox"
SANDBOX_OUT = "The sandbox knows no domain"
CYCLES = "No cycles"

PLANTS = [
    Plant(ORDER, "audit/service.py", "from blossom.segments import rules as upward"),
    Plant(ORDER, "wallet/service.py", "from blossom.message_templates import rules as a_sibling"),
    Plant(ORDER, "mitto/signature.py", "from blossom.wallet import rules as a_domain"),
    Plant(ORDER, "coupons/__init__.py", ""),
    Plant(INSIDE, "audit/queries.py", "from blossom.audit import service as upward"),
    Plant(INSIDE, "wallet/helpers.py", ""),
    Plant(PURE, "shops/rules.py", "import sqlalchemy"),
    Plant(PURE, "messaging/rules/caps.py", "from blossom.platform import db as sqlalchemy_by_a_detour"),
    Plant(PURE, "customers/rules.py", "from blossom.platform import clock as time_of_its_own"),
    Plant(FORMS, "segments/forms.py", "from sqlalchemy import select"),
    Plant(FORMS, "message_templates/forms.py", "from blossom.message_templates import queries"),
    Plant(FLASK, "wallet/service.py", "from flask import request"),
    Plant(FLASK, "platform/clock.py", "from flask import g"),
    Plant(ENTRANCES, "commands/shop.py", "from blossom.messaging import jobs"),
    Plant(ENTRANCES, "schedule.py", "from blossom.campaigns import api"),
    Plant(MITTO, "campaigns/service/sending.py", "from blossom.mitto import client"),
    Plant(MITTO, "inbound/service/texts.py", "from blossom.mitto.client import MittoClient"),
    Plant(SHOPIFY, "contacts/service/importing.py", "from blossom.shopify.client import ShopifyClient"),
    Plant(SANDBOX_IN, "cli.py", "from blossom.sandbox import customers"),
    Plant(SANDBOX_OUT, "sandbox/mitto/ids.py", "from blossom.mitto import errors"),
    Plant(CYCLES, "mitto/payloads/fields.py", "from blossom.mitto.payloads import sending"),
    Plant(CYCLES, "platform/clock.py", "from blossom.platform import periodic"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and of the contracts."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(tree.ROOT / ".importlinter", folder)
    for source in tree.sources():
        target = folder / source.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.text)
    return folder


@contextmanager
def planted(copy: Path, plant: Plant) -> Iterator[None]:
    file = copy / "blossom" / plant.file
    before = file.read_text() if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"{before or ''}\n{plant.line}\n")
    try:
        yield
    finally:
        if before is not None:
            file.write_text(before)
        else:
            file.unlink()
            if not any(file.parent.iterdir()):
                file.parent.rmdir()


def lint(folder: Path) -> dict[str, bool]:
    """Contract → whether it is kept, as import-linter itself says of the tree in `folder`."""
    command = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=folder,
        env={"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    verdicts = {
        name: word == "KEPT"
        for name, word in re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?$", done.stdout, re.MULTILINE)
    }
    assert set(verdicts) == set(CONTRACTS), done.stdout + done.stderr
    assert done.returncode == (0 if all(verdicts.values()) else 1)
    return verdicts


def test_the_tree_keeps_every_contract(copy: Path) -> None:
    assert [name for name, kept in lint(copy).items() if not kept] == []


@pytest.mark.parametrize("plant", PLANTS, ids=str)
def test_a_planted_violation_breaks_its_contract_and_no_other(copy: Path, plant: Plant) -> None:
    with planted(copy, plant):
        verdicts = lint(copy)
    assert [name for name, kept in verdicts.items() if not kept] == [plant.contract]


def test_every_contract_has_a_planted_violation() -> None:
    assert {plant.contract for plant in PLANTS} == set(CONTRACTS)


def test_every_package_has_its_place_in_the_order() -> None:
    places = {name.strip(" ()") for line in CONTRACTS[ORDER]["layers"] for name in re.split("[|:]", line)}
    assert tree.packages() - places == {"sandbox"}
    assert CONTRACTS[ORDER]["exhaustive"] == "True"


def test_every_domain_is_ordered_inside() -> None:
    assert set(CONTRACTS[INSIDE]["containers"]) == {f"blossom.{name}" for name in tree.domains()}
    assert CONTRACTS[INSIDE]["exhaustive"] == "True"
