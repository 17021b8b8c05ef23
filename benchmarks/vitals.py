"""What a merchant's eyes and fingers wait for: LCP, CLS and INP of four pages with large data, in Chromium.

`python -m benchmarks.vitals --data FOLDER --json`, with the databases of `benchmarks.pages --data FOLDER`. The app
stands in the frame of the stand-in admin as it does at Shopify; one web process (gunicorn as in production), no
throttling, the browser on the same machine. Medians of the rounds, each in a new profile, so that nothing is cached.
Goals: LCP 1.0 s from the frame's own beginning, CLS 0.02, INP 100 ms over what each page is used for.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import orjson
from playwright.sync_api import Browser, Frame, sync_playwright

from benchmarks.knocking import HOST
from benchmarks.page_data import DOMAIN, LARGE, SCOPES, SMALL
from benchmarks.page_table import API_KEY, SECRET
from benchmarks.pages import Installation, installations
from blossom.sandbox.shopify.process import StandIn

GOALS = {"lcp_ms": 1000.0, "cls": 0.02, "inp_ms": 100.0}
HOSTS = "--host-resolver-rules=MAP *.test 127.0.0.1"
_OBSERVE = """
window.vitals = {lcp: 0, cls: 0, inp: 0};
const seen = (type, look, more) => new PerformanceObserver((list) => list.getEntries().forEach(look))
  .observe({type, buffered: true, ...more});
seen('largest-contentful-paint', (entry) => { vitals.lcp = entry.startTime; });
seen('layout-shift', (entry) => { if (!entry.hadRecentInput) vitals.cls += entry.value; });
seen('event', (entry) => { if (entry.interactionId) vitals.inp = Math.max(vitals.inp, entry.duration); },
     {durationThreshold: 16});
"""


def _use_home(frame: Frame) -> None:
    for _ in range(6):
        frame.page.keyboard.press("Tab")
    frame.locator("main h1").first.click()


def _use_list(frame: Frame) -> None:
    field = frame.locator("main input[type=search]").first
    field.click()
    field.press_sequentially("campaign 12", delay=40)


def _use_compose(frame: Frame) -> None:
    field = frame.locator("textarea[name=body]")
    field.click()
    field.press_sequentially("Hi there, 20% off until Sunday. Reply STOP", delay=30)


def _use_watching(frame: Frame) -> None:
    button = frame.get_by_role("button", name="Pause").or_(frame.get_by_role("link", name="Pause")).first
    button.click()
    frame.page.keyboard.press("Escape")


PAGES: dict[str, tuple[str, Callable[[Frame], None]]] = {
    "home": ("/", _use_home),
    "list": ("/campaigns", _use_list),
    "compose": ("/campaigns/new", _use_compose),
    "watching": ("/campaigns/{sending}", _use_watching),
}


def look(browser: Browser, address: str, use: Callable[[Frame], None]) -> dict[str, float]:
    """Open the page in the admin, wait, use it, and read what the browser has noted in our frame."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.add_init_script(_OBSERVE)
    tab = context.new_page()
    tab.goto(address)
    tab.frame_locator("#app").locator("main h1").first.wait_for()
    tab.wait_for_timeout(1500)
    frame = next(each for each in tab.frames if "app.test" in each.url)
    painted = frame.evaluate("vitals")
    use(frame)
    tab.wait_for_timeout(700)
    found = next(each for each in tab.frames if "app.test" in each.url).evaluate("vitals")
    context.close()
    return {"lcp_ms": painted["lcp"], "cls": found["cls"], "inp_ms": found["inp"]}


def run(large: Installation, rounds: int) -> dict[str, dict[str, float]]:
    with ExitStack() as stack:
        with socket.socket() as own:
            own.bind((HOST, 0))
            port = own.getsockname()[1]
        url = f"http://app.test:{port}"
        shopify = StandIn.start(
            app={"api_key": API_KEY, "secret": SECRET, "app_url": url, "scopes": list(SCOPES),
                 "redirect_urls": [f"{url}/auth/callback"]},
            shops=[{"domain": DOMAIN, "name": "Bench"}],
        )  # fmt: skip
        stack.callback(shopify.stop)
        admin = f"http://admin.shopify.test:{shopify.url.rpartition(':')[2]}"
        environment = large.environment | {
            "BLOSSOM_URL": url,
            "SHOPIFY_SHOP_URL": shopify.shop_url,
            "SHOPIFY_ADMIN_URL": admin,
            "SHOPIFY_APP_BRIDGE_URL": f"{admin}/app-bridge.js",
        }
        command = [sys.executable, "-m", "gunicorn", "--config", "ops/gunicorn_conf.py", "--workers", "1"]
        web = subprocess.Popen([*command, "--bind", f"{HOST}:{port}", "wsgi:app"], env=environment)
        stack.callback(web.wait)
        stack.callback(web.terminate)
        shopify.install(DOMAIN)
        playwright = stack.enter_context(sync_playwright())
        found = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=found, args=[HOSTS, "--disable-background-networking"])
        stack.callback(browser.close)
        base = f"{admin}/store/{DOMAIN.partition('.')[0]}/apps/{API_KEY}"
        seen = {}
        for name, (path, use) in PAGES.items():
            address = base + path.format_map(large.things)
            look(browser, address, use)  # templates are compiled, connections made
            each = [look(browser, address, use) for _ in range(rounds)]
            seen[name] = {figure: round(median(one[figure] for one in each), 4) for figure in GOALS}
        return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="Where the databases are, or are kept.")
    parser.add_argument("--json", action="store_true", help="Only the JSON object, as the last line.")
    options = parser.parse_args()
    with installations(options.data, {"small": SMALL, "large": LARGE}) as made:
        seen = run(made["large"], options.rounds)
    if not options.json:
        for name, figures in seen.items():
            over = " ".join(figure for figure, goal in GOALS.items() if figures[figure] > goal)
            print(f"{name:12} {figures['lcp_ms']:8.0f} {figures['cls']:8.4f} {figures['inp_ms']:8.0f}  {over}")
    print(orjson.dumps(seen).decode())


if __name__ == "__main__":
    main()
