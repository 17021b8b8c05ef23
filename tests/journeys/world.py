"""Shopify's stand-in, and a real `blossom web` that it frames: `admin.shopify.test` around `app.test`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Locator, Page, expect

from blossom.app import create_app
from blossom.platform import db
from blossom.sandbox.shopify.process import StandIn
from tests.bad_input.commands import environment
from tests.conftest import Services, config_for

ROOT = Path(__file__).resolve().parents[2]
SHOP = "blue-shop.myshopify.com"
API_KEY = "stand-in-api-key"
SECRET = "stand-in-secret"
SCOPES = ("read_customers", "write_customers", "read_orders")


@dataclass(frozen=True)
class World:
    """`app`: on the same database as the web process, in this one. `admin`: where the admin is, for the browser. `web`:
    the process id of `blossom web`."""

    app: Flask
    shopify: StandIn
    admin: str
    url: str
    web: int

    def page_in_admin(self, path: str = "/", shop: str = SHOP) -> str:
        """The admin's address of a page of the app."""
        return f"{self.admin}/store/{shop.partition('.')[0]}/apps/{API_KEY}{path}"

    def cut_off(self) -> None:
        """Kill whoever serves, with all connections, as a crash would. Gunicorn puts another in their place."""
        below = psutil.Process(self.web).children(recursive=True)
        for each in below:
            if not each.children():
                each.kill()

    def make_tokens_stale(self, count: int) -> None:
        """The next so many session tokens that the admin gives are five minutes old."""
        answer = requests.post(
            f"{self.shopify.url}/tokens/stale",
            json={"count": count},
            headers={"Host": "admin.shopify.test"},
            timeout=10,
        )
        assert answer.json() == {"count": count}


@dataclass
class Seen:
    """What the browser met on the way: complaints in its console, and the statuses of the app's answers."""

    complaints: list[str]
    answers: list[tuple[str, str, int]]


@contextmanager
def start(services: Services, template: str, **settings: str) -> Iterator[World]:
    """Start both, wait until they answer; at the end both are gone, and the database too."""
    name = f"blossom_world_{uuid.uuid4().hex[:8]}"
    services.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    port = _free_port()
    url = f"http://app.test:{port}"
    shop = {"domain": SHOP, "name": "Blue Shop"}
    try:
        configured = {"app_url": url, "scopes": list(SCOPES), "redirect_urls": [f"{url}/auth/callback"]}
        with StandIn.start(app=configured, shops=[shop]) as shopify:
            admin = f"http://admin.shopify.test:{shopify.url.rpartition(':')[2]}"
            given = {
                "BLOSSOM_URL": url,
                "LOG_LEVEL": "WARNING",
                "SHOPIFY_API_KEY": API_KEY,
                "SHOPIFY_API_SECRET": SECRET,
                "SHOPIFY_SCOPES": ",".join(SCOPES),
                "SHOPIFY_SHOP_URL": shopify.shop_url,
                "SHOPIFY_ADMIN_URL": admin,
                "SHOPIFY_APP_BRIDGE_URL": f"{admin}/app-bridge.js",
                **settings,
            }
            app = create_app(config_for(services, name))
            with _web(port, environment(config_for(services, name), given)) as web:
                yield World(app, shopify, admin, url, web)
            with app.app_context():
                db.engine().dispose()
    finally:
        services.run(f"DROP DATABASE {name} WITH (FORCE)")


def open_admin(
    browser: Browser, world: World, path: str = "/", shop: str = SHOP, staff: int | None = None, **context: Any
) -> tuple[Page, FrameLocator, Seen]:
    """A tab at the admin's address of the app; the app's frame in it; and what the browser meets there. `staff`: the id
    of who works there, else it is the shop's owner."""
    opened = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
    if staff is not None:
        opened.add_cookies([{"name": "staff", "value": str(staff), "url": world.admin}])
    tab = opened.new_page()
    seen = Seen([], [])
    tab.on("console", lambda message: seen.complaints.append(message.text) if message.type != "log" else None)
    tab.on("pageerror", lambda error: seen.complaints.append(str(error)))
    tab.on(
        "response",
        lambda answer: (
            seen.answers.append((answer.request.method, answer.url, answer.status))
            if answer.url.startswith(f"{world.url}/")
            else None
        ),
    )
    tab.goto(world.page_in_admin(path, shop))
    return tab, tab.frame_locator("#app"), seen


def pass_time(tab: Page, seconds: int, shown: Locator) -> None:
    """Move the tab's clock on by up to so many seconds, until this is shown. What the page asks for meanwhile takes its
    real time, which a single long step leaves no room for."""
    for _ in range(seconds):
        if shown.is_visible():
            break
        tab.clock.run_for(1_000)
        tab.wait_for_timeout(50)
    expect(shown).to_be_visible()


def cookies(context: BrowserContext) -> list[str]:
    return [str(cookie.get("name")) for cookie in context.cookies()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _web(port: int, variables: dict[str, str]) -> Iterator[int]:
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "blossom.cli", "web", "--port", str(port)],
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env={**os.environ, **variables},
        )
        try:
            _wait_for(port, process)
            yield process.pid
        finally:
            process.terminate()
            process.wait(40)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended by itself"
        try:
            if requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok:
                return
        except requests.RequestException:  # it listens before it can answer
            time.sleep(0.05)
    raise AssertionError("it never answered")
