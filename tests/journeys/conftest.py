"""What journeys need: a folder that the embedded servers can live in, customers of our own making, and a browser."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from blossom.platform import queue
from blossom.sandbox import customers
from tests.conftest import Services
from tests.journeys import town as towns
from tests.journeys.town import Town

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    # A browser in a test has nobody to call.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    # Hosts of stand-ins: `admin.shopify.test` frames `app.test`, as different sites do.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)
expect.set_options(timeout=20_000)  # ms; beside another test process a page may take its time


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    """Below which demos keep their data; not pytest's own, which the servers' account can't enter when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="blossom-journeys-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def customers_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A customer export of 120 people."""
    path = tmp_path_factory.mktemp("customers") / "customers.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        customers.write(120, seed=3, out=file)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium where there is one, else Playwright's own."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture(scope="package")
def built_town(services: Services, template_database: str) -> Iterator[Town]:
    with towns.start(services, template_database) as started:
        yield started


@pytest.fixture
def town(built_town: Town) -> Town:
    """One for all journeys that need one, with no job of another test's waiting."""
    with built_town.inside():
        queue.connection().flushdb()
    return built_town
