"""The main job with real processes, judged by the logs of the stand-ins; and what it prints, in a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from blossom.sandbox.demo.installation import Installation
from blossom.sandbox.demo.processes import DemoError
from blossom.sandbox.demo.store import DOMAIN
from blossom.sandbox.shopify.process import StandIn as Shopify
from tests.faults.processes import until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(400)]

PATIENCE_MS = 60_000  # for a machine that others use too
# Else a dozen processes would compile everything anew, below each session's own data folder.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
OPTED_IN, BOUGHT = "+306912345678", "+306912345679"


def demo(data_folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "blossom.sandbox.demo", "--data", str(data_folder), *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=170, check=False)


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


def test_a_shop_goes_from_install_to_report_and_nobody_is_texted_whom_shopify_has_as_unsubscribed(
    data_folder: Path,
) -> None:
    done = demo(data_folder, "--json", "--customers", "120", "--keep")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    texts = logged_texts(data_folder)
    asked = figures["shopify_log"]

    assert figures["sent"] == figures["recipients"] == len(texts) > 50
    assert figures["provider_log"] == {"texts": len(texts), "distinct_phones": len(texts), "doubled": 0}
    assert asked["customers"] == figures["imported"] + figures["refused"] == 120
    assert asked["bulk_operations"] == 1
    assert asked["token_exchanges"] >= 1
    assert asked["subscribed"] >= figures["recipients"]
    assert asked["texted_unsubscribed"] == 0
    assert figures["skipped"]["not_opted_in"] > 0


def logged_texts(data_folder: Path) -> list[dict[str, Any]]:
    """What the stand-in wrote down in the one folder that was kept, which goes now."""
    (log,) = data_folder.glob("*/mitto-texts.jsonl")
    texts = [json.loads(line) for line in log.read_text().splitlines()]
    shutil.rmtree(log.parent)
    return texts


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--csv", "/nowhere/customers.csv"], 1, "/nowhere/customers.csv is not a file."),
        (["--csv", __file__], 1, "No column of the file is known to hold phone numbers. Say which column"),
        (["--csv", "--message", "Hi {{ x }}"], 1, "There is no variable “x” here. (line 1, column 7)"),
        (["--customers", "0"], 2, "--customers is a number from 1 on"),
        (["--csv", "--customers", "5"], 2, "goes without --csv"),
        (["--port", "70000"], 2, "70000 is no port"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(data_folder: Path, arguments: list[str], status: int, said: str) -> None:
    done = demo(data_folder, *arguments)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "Starting" not in done.stdout, "it is told before anything is started"


def test_a_process_that_dies_is_named_and_nothing_is_left(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # as in ENVIRONMENT
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


class Demo:
    """`bin/demo` as a person started it: what it has printed, and how it ends."""

    def __init__(self, data_folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "blossom.sandbox.demo", "--data", str(data_folder), *arguments]
        self.process = subprocess.Popen(
            command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.printed: list[str] = []

    def read_until(self, words: str) -> None:
        """Read on until a line has these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line.rstrip())
            if words in line:
                return
        raise AssertionError(f"it ended before it said “{words}”:\n" + "\n".join(self.printed))

    def address(self, words: str) -> str:
        """The address in the line with these words."""
        (line,) = [each for each in self.printed if words in each and "http://" in each]
        return line.split()[0]

    def interrupt(self) -> int:
        """Ctrl-C; its exit status once it is gone."""
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def shown(data_folder: Path) -> Iterator[Demo]:
    """It sends slowly enough to be watched: for some fifteen seconds, in which a busy machine opens a page."""
    started = Demo(data_folder, "--customers", "800")
    yield started
    if started.process.poll() is None:
        started.interrupt()


def test_the_addresses_that_it_prints_open_all_of_it(shown: Demo, data_folder: Path, browser: Browser) -> None:
    shown.read_until("/campaigns/")
    follow_the_campaign(browser, shown.address("/campaigns/"))
    shown.read_until("Ctrl-C")
    assert "✓ Our report and the logs say the same." in shown.printed

    admin, complaints = opened(browser, shown.address("the admin"), width=1280)
    frame = admin.frame_locator("#app")
    expect(frame.get_by_role("heading", level=1)).to_have_text("Blossom Demo")
    (imported,) = [
        int(found[1].replace(",", "")) for line in shown.printed if (found := re.search(r"([\d,]+) imported", line))
    ]
    expect(frame.locator("[data-figure=contacts]")).to_have_text(str(imported))
    assert complaints == [], "framed across sites, the browser found nothing to complain of"

    shopper = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800}).new_page()
    shop = shown.address("the shop:")
    stand_in = Shopify(f"http://127.0.0.1:{urlsplit(shop).port}", shown.process)
    opt_in(shopper, shop, f"{shown.address('phones')}?number={quote(OPTED_IN)}")
    until(lambda: consent_of(stand_in, OPTED_IN) == "SUBSCRIBED", "Shopify has been told")
    shopper.get_by_role("link", name="End the texts again").click()
    shopper.get_by_role("button", name="End the texts").click()
    until(lambda: consent_of(stand_in, OPTED_IN) == "UNSUBSCRIBED", "Shopify has been told of that, too")
    buy(shopper, f"{shop}?utm_source=blossom", BOUGHT)
    assert consent_of(stand_in, BOUGHT) == "SUBSCRIBED"
    (order,) = stand_in.shop(DOMAIN)["orders"].values()
    assert (order["discount_codes"][0]["code"], order["landing_site"]) == ("SUMMER", "/?utm_source=blossom")

    phone = stop_by_the_link_in_a_text(shopper, shown.address("phones"))
    until(lambda: consent_of(stand_in, phone) == "UNSUBSCRIBED", "Shopify has been told of that one, too")

    until(lambda: contacts_after_reload(admin) == imported + 2, "both are contacts")
    told = {(webhook["topic"], webhook["state"]) for webhook in stand_in.webhooks()}
    assert {("bulk_operations/finish", "delivered"), ("orders/paid", "delivered")} < told
    assert {state for _, state in told} == {"delivered"}, "Blossom took every webhook"

    assert shown.interrupt() == 0
    assert list(data_folder.glob("*/logs")) == [], "its folder is gone"
    assert not [each for each in psutil.process_iter() if works_below(each, data_folder)], "and so are its processes"


def follow_the_campaign(browser: Browser, address: str) -> None:
    """Its page, in the admin's frame, with the stream of news and without, until each text has its end."""
    page, complaints = opened(browser, address)
    assert seen_on_its_way(page), "the figures moved while it was being sent"
    without_stream, _ = opened(browser, address, streams=False)
    for watched in (page, without_stream):
        frame = app_frame(watched)
        frame.wait_for_selector("[data-settled]", state="attached", timeout=PATIENCE_MS)
        expect(frame.locator(".badge").first).to_have_text("Completed")
        assert frame.evaluate("loadedOnce"), "the page was never loaded again"
        figures = frame.evaluate("counts()")
        assert figures["total"] == figures["delivered"] + figures["failed"] > 100
    assert app_frame(page).evaluate("streamed") > 2, "the news came by the stream"
    assert app_frame(without_stream).evaluate("streamed") == 0, "the news came by asking"
    assert complaints == [], "the browser found nothing to complain of, the content security policy included"
    assert app_frame(page).evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out at 320"


def opt_in(shopper: Page, shop: str, phone: str) -> None:
    """By the block on the shop's home page, the form behind it, and the link in the text that comes to the phone."""
    shopper.goto(shop)
    shopper.get_by_label("Mobile number").fill("691 234 5678")
    shopper.get_by_role("button", name="Continue").click()
    shopper.get_by_role("checkbox").check()
    shopper.get_by_role("button", name="Send me texts").click()
    expect(shopper.get_by_role("heading", name="Thank you")).to_be_visible()
    link = shopper.get_by_role("link", name="/confirm/")
    until(lambda: shopper.goto(phone) and link.count(), "the text has come")
    link.click()
    shopper.get_by_role("button", name="Yes, send me texts").click()
    expect(shopper.get_by_role("heading", name="It's done")).to_be_visible()


def buy(shopper: Page, shop: str, phone: str) -> None:
    """With a discount code, and a yes to texts."""
    shopper.goto(shop)
    shopper.get_by_role("button", name="Buy Linen towel").click()
    shopper.get_by_label("E-mail").fill("eleni@example.com")
    shopper.get_by_label("Phone").fill(phone)
    shopper.get_by_label("Last name").fill("Papadaki")
    shopper.get_by_label("Discount code").fill("summer")
    shopper.get_by_role("checkbox").check()
    shopper.get_by_role("button", name="Pay").click()
    expect(shopper.get_by_text("Your order #1001 is paid")).to_be_visible()


def stop_by_the_link_in_a_text(shopper: Page, phones: str) -> str:
    """The number of whoever got the campaign's text last."""
    shopper.goto(phones)
    text = shopper.locator("li", has_text="No more texts:").first
    phone = text.get_by_role("link", name="+").inner_text()
    text.get_by_role("link", name="/unsubscribe/").click()
    shopper.get_by_role("button", name="End the texts").click()
    expect(shopper.get_by_text("won't send you texts any more")).to_be_visible()
    return phone


def consent_of(stand_in: Shopify, phone: str) -> str | None:
    """As Shopify has it."""
    people = stand_in.shop(DOMAIN)["customers"].values()
    return next((each["consent"]["state"] for each in people if each["phone"] == phone), None)


def contacts_after_reload(admin: Page) -> int:
    admin.reload()
    return int(admin.frame_locator("#app").locator("[data-figure=contacts]").inner_text().replace(",", ""))


def works_below(process: psutil.Process, folder: Path) -> bool:
    """Whether the process, whoever started it, works in an installation below `folder`."""
    with contextlib.suppress(psutil.Error):
        return str(folder) in process.environ().get("BLOSSOM_DATA", "")
    return False


def app_frame(page: Page) -> Frame:
    (frame,) = [each for each in page.frames if each.name == "app-iframe"]
    return frame


def seen_on_its_way(page: Page) -> bool:
    """Whether the page shows some texts sent and others still to go, at some moment before the end."""
    # Not by wait_for_function: that needs an eval in the page, which the content security policy forbids.
    for _ in range(PATIENCE_MS // 100):
        figures = app_frame(page).evaluate("counts()")
        if 0 < figures.get("pending", 0) < figures.get("total", 0):
            return True
        page.wait_for_timeout(100)
    return False


def opened(browser: Browser, address: str, *, streams: bool = True, width: int = 320) -> tuple[Page, list[str]]:
    """A tab on `address` with `counts()` in the app's frame; and what the browser complains of there."""
    page = browser.new_context(viewport={"width": width, "height": 800}).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    if not streams:
        page.route(re.compile("/events"), lambda route: route.abort())
    page.add_init_script(
        "window.streamed = 0; document.addEventListener('htmx:sse:after:message', () => { window.streamed += 1 })"
    )
    page.goto(address)
    page.frame_locator("#app").locator("h1").wait_for()
    app_frame(page).evaluate(
        """() => {
            window.loadedOnce = true;
            window.counts = () => Object.fromEntries([...document.querySelectorAll('[data-count]')].map(
                cell => [cell.dataset.count, Number(cell.textContent.replaceAll(',', ''))]));
        }"""
    )
    return page, complaints
