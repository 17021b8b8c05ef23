"""The main job with real processes, judged by the log of Mitto's stand-in; and its page in a real browser."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect

from blossom.sandbox.demo import job
from blossom.sandbox.demo.api import Api
from blossom.sandbox.demo.installation import Installation
from blossom.sandbox.demo.processes import DemoError
from blossom.sandbox.demo.screen import Screen

pytestmark = [pytest.mark.journey, pytest.mark.timeout(400)]

PATIENCE_MS = 60_000  # for a machine that others use too
TEXT = "Hi {{ first_name | default: 'there' }}, sale until Sunday!"


def demo(data_folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "blossom.sandbox.demo", "--data", str(data_folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)


def test_a_customer_file_goes_from_import_to_report_and_every_figure_is_the_providers(
    data_folder: Path, customers_file: Path
) -> None:
    done = demo(data_folder, "--csv", str(customers_file), "--json", "--keep")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    texts = logged_texts(data_folder)
    phones = {text["destination"] for text in texts}

    assert figures["sent"] > 50, "the file has enough people who agreed"
    assert figures["provider_log"] == {"texts": len(texts), "distinct_phones": len(phones), "doubled": 0}
    assert figures["sent"] == len(texts) == len(phones)
    assert figures["sent"] == figures["delivered"] + figures["failed"], "every text has its receipt"
    assert figures["unconfirmed"] == figures["scheduled"] == figures["not_taken"] == 0
    assert figures["recipients"] == figures["sent"]
    assert figures["imported"] + figures["refused"] == 120
    assert figures["imported"] == figures["recipients"] + sum(figures["skipped"].values())
    assert figures["skipped"]["not_opted_in"] > 0
    assert figures["credits"] > 0
    assert figures["segments"] >= figures["sent"]


def logged_texts(data_folder: Path) -> list[dict[str, Any]]:
    """What the stand-in wrote down."""
    (log,) = data_folder.glob("*/mitto-texts.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--csv", "/nowhere/customers.csv"], 1, "/nowhere/customers.csv is not a file."),
        (["--csv", __file__], 1, "No column of the file is known to hold phone numbers. Say which column"),
        (["--csv", "--message", "Hi {{ x }}"], 1, "There is no variable “x” here. (line 1, column 7)"),
        (["--json"], 2, "--json goes with --csv"),
        (["--port", "70000"], 2, "70000 is no port"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(data_folder: Path, arguments: list[str], status: int, said: str) -> None:
    done = demo(data_folder, *arguments)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Starting" not in done.stdout, "it is told before anything is started"


def test_a_process_that_dies_is_named_and_nothing_is_left(data_folder: Path) -> None:
    with Installation(parent=data_folder, settings={"GUNICORN_CMD_ARGS": "--no-such-option"}) as broken:
        assert processes_of(broken), "the others were started"
        with pytest.raises(DemoError, match=r"(?s)“web” ended with status .*--no-such-option"):
            broken.wait_until_ready()
    assert processes_of(broken) == []
    assert not broken.folder.exists()


def processes_of(installation: Installation) -> list[str]:
    """Command lines of the processes, whoever started them, that work in the installation's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("BLOSSOM_DATA") == str(installation.folder):
                found.append(" ".join(process.cmdline()))
    return found


@pytest.fixture
def slow(data_folder: Path) -> Iterator[Installation]:
    """An installation that sends slowly enough to be watched."""
    behaviour = {
        "outcomes": {"share": {"failed:DLR_003": 0.1, "invalid": 0.05}},
        "receipts": {"delay": [0.2, 0.8], "array_size": 10},
    }
    settings = {"MITTO_BATCH_SIZE": "10", "MITTO_TEXTS_PER_SECOND": "15"}
    with Installation(parent=data_folder, behaviour=behaviour, settings=settings) as installation:
        yield installation


def test_the_campaigns_page_follows_the_send_to_its_end(
    slow: Installation, customers_file: Path, browser: Browser
) -> None:
    screen = Screen(to_stderr=True)
    shop = job.open_shop(slow, customers_file, quiet_hours=False, screen=screen)
    job.import_file(slow, shop, customers_file, screen)
    slow.wait_until_ready()
    api = Api(slow.url, shop.key, slow.check)
    campaign_id, _ = job.write_campaign(api, TEXT, screen)
    address = slow.blossom("shop", "link", shop.domain, str(campaign_id))["url"]

    page, complaints = opened(browser, address)
    without_stream, _ = opened(browser, address, streams=False)
    expect(page.get_by_text("This campaign has not been sent")).to_be_visible()

    api.post(f"/campaigns/{campaign_id}/enqueue")
    expect(page.locator(".badge")).to_have_text("Sending", timeout=PATIENCE_MS)
    assert seen_on_its_way(page), "the figures moved while it was being sent"

    for watched in (page, without_stream):
        watched.wait_for_selector("[data-settled]", state="attached", timeout=PATIENCE_MS)
        expect(watched.locator(".badge")).to_have_text("Completed")
        assert watched.evaluate("loadedOnce"), "the page was never loaded again"
        figures = watched.evaluate("counts()")
        log = slow.mitto.summary()
        refused = sum(
            row["status"] == "failed" and row["mittoMessageId"] is None for row in api.recipients(campaign_id)
        )
        assert figures["delivered"] + figures["failed"] - refused == log["texts"] == log["distinct_destinations"]
        assert figures["total"] == figures["delivered"] + figures["failed"]
        assert log["doubled"] == 0
        assert refused > 0
    assert page.evaluate("streamed") > 2, "the news came by the stream"
    assert without_stream.evaluate("streamed") == 0, "the news came by asking"
    assert complaints == [], "the browser found nothing to complain of, the content security policy included"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out at 320 pixels"


def seen_on_its_way(page: Page) -> bool:
    """Whether the page shows some texts sent and others still to go, at some moment before the end."""
    # Not by wait_for_function: that needs an eval in the page, which the content security policy forbids.
    for _ in range(PATIENCE_MS // 100):
        figures = page.evaluate("counts()")
        if 0 < figures.get("pending", 0) < figures.get("total", 0):
            return True
        page.wait_for_timeout(100)
    return False


def opened(browser: Browser, address: str, *, streams: bool = True) -> tuple[Page, list[str]]:
    """A narrow tab on `address` with `counts()` in it; and what the browser complains of there."""
    context = browser.new_context(viewport={"width": 320, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    if not streams:
        page.route(re.compile("/events"), lambda route: route.abort())
    page.add_init_script(
        "window.streamed = 0; document.addEventListener('htmx:sse:after:message', () => { window.streamed += 1 })"
    )
    page.goto(address)
    page.evaluate(
        """() => {
            window.loadedOnce = true;
            window.counts = () => Object.fromEntries([...document.querySelectorAll('[data-count]')].map(
                cell => [cell.dataset.count, Number(cell.textContent.replaceAll(',', ''))]));
        }"""
    )
    return page, complaints
