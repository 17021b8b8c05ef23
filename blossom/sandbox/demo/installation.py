"""A whole Blossom on this machine: database, Redis, web, worker, clock, and the stand-ins of Mitto and Shopify."""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
import shutil
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson
import requests

from blossom.platform.embedded import EmbeddedError, EmbeddedServices, default_folder
from blossom.sandbox.demo.processes import Child, DemoError, Family, blossom
from blossom.sandbox.mitto.process import StandIn
from blossom.sandbox.shopify.process import StandIn as Shopify

START_SECONDS = 120.0
"""For all to be up; a busy machine takes its time."""

API_KEY = "sandbox-key"
_TRAFFIC_ACCOUNT = "00000000-0000-0000-0000-00000000d3a0"
_OURS = (
    *("BLOSSOM_", "MITTO_", "SHOPIFY_", "DATABASE_", "REDIS_", "SHOP_", "GUNICORN_"),
    *("PORT", "WEB_CONCURRENCY", "LOG_LEVEL"),
)
"""What the caller's environment must not decide: the demo never touches a real database, Mitto or Shopify."""

_KEPT = "kept"
"""A file that says that its folder was kept on purpose."""


class Installation:
    """Everything is started, in a fresh folder below `parent`. A context manager: at its end all processes are gone,
    and the folder too, unless `keep`.

    `behaviour`: sections of Mitto's stand-in's behaviour; `settings`: environment variables of Blossom's processes.
    `configured`: gives, for the app's address, the configuration of Shopify's stand-in; without it there is none, and
    Blossom runs without Shopify.
    """

    def __init__(
        self,
        *,
        parent: Path | None = None,
        port: int = 0,
        keep: bool = False,
        behaviour: Mapping[str, Any] | None = None,
        settings: Mapping[str, str] | None = None,
        configured: Callable[[str], dict[str, Any]] | None = None,
    ) -> None:
        parent = parent or default_folder() / "demo"
        _sweep(parent)
        self.folder = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        self.url = f"http://127.0.0.1:{_free_port(port)}"
        self.keep = keep
        self._behaviour = dict(behaviour or {})
        self._settings = dict(settings or {})
        self._shopify = configured(self.url) if configured else None
        self._services: EmbeddedServices | None = None
        self._family: Family | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def blossom(self, *arguments: str) -> dict[str, Any]:
        """Run a command of `blossom` on this installation; the JSON object that it prints."""
        return blossom(arguments, self.environment)

    @property
    def has_shopify(self) -> bool:
        """Whether Shopify's stand-in is part of it: `shopify`."""
        return self._shopify is not None

    def check(self) -> None:
        """Raise `DemoError` if a process has ended."""
        assert self._family is not None
        self._family.check()

    def wait_until_ready(self) -> None:
        """Return when the app answers and all that it stands on is there. Commands can be run before."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the caller's is not for calls to ourselves

            def ready() -> bool:
                try:
                    return session.get(f"{self.url}/readyz", timeout=5).ok
                except requests.RequestException:
                    return False

            self._wait(ready, "the web process")

    def _start(self) -> None:
        try:
            self._services = EmbeddedServices.start(self.folder)
        except EmbeddedError as error:
            raise DemoError(str(error)) from error
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        self._family = Family(logs)
        secret = secrets.token_hex(16)
        mitto = self._launch("mitto", self._mitto_behaviour(secret), "--log", str(self.folder / "mitto-texts.jsonl"))
        if self._shopify is not None:  # both at once: each takes its time
            shopify = self._launch("shopify", self._shopify)
            self.shopify = Shopify(self._address_of("shopify"), shopify.process)
        self.mitto = StandIn(self._address_of("mitto"), mitto.process, API_KEY)
        self.environment = self._environment(secret)
        self.blossom("release")
        python = sys.executable
        address = self.url.removeprefix("http://")
        web = [python, "-m", "gunicorn", "--config", "ops/gunicorn_conf.py", "--bind", address, "wsgi:app"]
        self._family.start("web", web, self.environment)
        for name in ("worker", "clock"):
            self._family.start(name, [python, "-m", "blossom.cli", name], self.environment)

    def _environment(self, secret: str) -> dict[str, str]:
        assert self._services is not None
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        if kept.pop("PYTHONDONTWRITEBYTECODE", None):
            # A dozen processes would each compile everything; so it is done once, but not where it isn't wanted.
            kept["PYTHONPYCACHEPREFIX"] = str(self.folder.parent / "bytecode")
        return {
            **kept,
            "BLOSSOM_ENV": "development",
            "BLOSSOM_DATA": str(self.folder),
            "BLOSSOM_URL": self.url,
            "BLOSSOM_MASTER_KEYS": _master_key(self.folder),
            "DATABASE_URL": str(self._services.database_url),
            "REDIS_URL": str(self._services.redis_url),
            "MITTO_API_URL": self.mitto.url,
            "MITTO_API_KEY": API_KEY,
            "MITTO_TRAFFIC_ACCOUNT_ID": _TRAFFIC_ACCOUNT,
            "MITTO_HMAC_SECRET": secret,
            "MITTO_TEXTS_PER_SECOND": "0",
            **self._settings_of_shopify(),
            **self._settings,
        }

    def _settings_of_shopify(self) -> dict[str, str]:
        if self._shopify is None:
            return {}
        app = self._shopify["app"]
        admin = f"http://{self._shopify['hosts']['admin']}:{urlsplit(self.shopify.url).port}"
        return {
            "SHOPIFY_API_KEY": app["api_key"],
            "SHOPIFY_API_SECRET": app["secret"],
            "SHOPIFY_API_VERSION": app["api_version"],
            "SHOPIFY_SCOPES": ",".join(app["scopes"]),
            "SHOPIFY_SHOP_URL": self.shopify.shop_url,
            "SHOPIFY_ADMIN_URL": admin,
            "SHOPIFY_APP_BRIDGE_URL": f"{admin}/app-bridge.js",
        }

    def _mitto_behaviour(self, secret: str) -> dict[str, Any]:
        proof = {"hmac_secret": secret}
        told = {"url": f"{self.url}/webhooks/mitto/dlr", "proof": proof}
        return {
            "api_keys": [API_KEY],
            **self._behaviour,
            "receipts": {**self._behaviour.get("receipts", {}), **told},
            "inbound": {"url": f"{self.url}/webhooks/mitto/inbound", "proof": proof},
        }

    def _launch(self, name: str, config: Mapping[str, Any], *arguments: str) -> Child:
        """Start a stand-in; it says where it listens in a file of its own."""
        assert self._family is not None
        path = self.folder / f"{name}.json"
        path.write_bytes(orjson.dumps(config))
        command = [sys.executable, "-m", f"blossom.sandbox.{name}", "--config", str(path)]
        return self._family.start(name, [*command, "--ready-file", str(self._ready_file(name)), *arguments], os.environ)

    def _address_of(self, name: str) -> str:
        ready = self._ready_file(name)
        self._wait(ready.exists, f"the stand-in of {name.capitalize()}")
        return str(orjson.loads(ready.read_bytes())["url"])

    def _ready_file(self, name: str) -> Path:
        return self.folder / f"{name}-ready.json"

    def _wait(self, until: Any, what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not until():
            self.check()
            if time.monotonic() > deadline:
                assert self._family is not None
                raise DemoError(f"Waited {START_SECONDS:.0f} s for {what}.\n{self._family.tails()}")
            time.sleep(0.05)

    def _stop(self) -> None:
        """End everything; a second Ctrl-C meanwhile leaves nothing behind either."""
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._stop_all()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_all(self) -> None:
        if self._family is not None:
            self._family.stop()
        if self._services is not None:
            self._services.stop()
        if self.keep and self.folder.exists():
            (self.folder / _KEPT).touch()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def _master_key(folder: Path) -> str:
    """The installation's key, where `blossom` looks for it when the folder is kept and opened again."""
    key = f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}"
    with open(os.open(folder / "master-key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key)
    return key


def _free_port(wanted: int) -> int:
    """`wanted` if it can be had, or any free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise DemoError(f"Port {wanted} can't be used ({error.strerror}). Choose another one by --port.") from error
        return int(probe.getsockname()[1])


def _sweep(parent: Path) -> None:
    """Remove what demos left behind that were killed: folders whose servers nobody holds any more."""
    for lock in parent.glob("*/lock"):
        try:
            with lock.open("rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not (lock.parent / _KEPT).exists():
                    shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # in use, or somebody else's
            continue
