"""The JSON API, as a program of a merchant's would call it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests

from blossom.sandbox.demo.processes import DemoError

_PAGE = 100
_TIMEOUT = 120.0
_UNREACHABLE_SECONDS = 10.0


class Api:
    """Calls `url`. `credential` gives an API key or a session token for each call. `check` is asked when one fails: it
    raises if a process has died."""

    def __init__(self, url: str, credential: Callable[[], str], check: Callable[[], None]) -> None:
        self.url = f"{url}/api"
        self._credential, self._check = credential, check
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._call("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A POST is made once: repeating one whose answer was lost may do it twice."""
        return self._call("POST", path, json=body, tries_for=0.0)

    def recipients(self, campaign_id: int, **query: Any) -> Iterator[dict[str, Any]]:
        """Every recipient that the query asks for, page by page."""
        while True:
            page = self.get(f"/campaigns/{campaign_id}/recipients", pageSize=_PAGE, **query)
            yield from page["items"]
            if page["nextCursor"] is None:
                return
            query["cursor"] = page["nextCursor"]

    def _call(
        self, method: str, path: str, *, tries_for: float = _UNREACHABLE_SECONDS, **options: Any
    ) -> dict[str, Any]:
        deadline = time.monotonic() + tries_for
        while True:
            try:
                headers = {"Authorization": f"Bearer {self._credential()}"}
                response = self._session.request(method, self.url + path, headers=headers, timeout=_TIMEOUT, **options)
            except requests.RequestException as error:
                self._check()
                if time.monotonic() >= deadline:
                    raise DemoError(f"{method} {path}: {error}") from error
                time.sleep(0.2)
                continue
            if response.status_code == 429:
                time.sleep(float(response.headers.get("Retry-After", "1")))
                continue
            if not response.ok:
                raise DemoError(_in_words(response))
            return dict(response.json())


def _in_words(response: requests.Response) -> str:
    """What the API says is wrong, and what to do about it."""
    try:
        fault = response.json()
    except ValueError:
        return f"The app answered {response.status_code}."
    details = fault.get("details") or {}
    told = [fault.get("message"), fault.get("actionable")]
    told += [f"{name}: {words}" for name, words in details.get("fields", {}).items()]
    told += [reason_in_words(reason) for reason in details.get("reasons", [])]
    return "\n".join(filter(None, told))


def reason_in_words(reason: dict[str, Any]) -> str:
    """One reason of a preview why the campaign can't be sent."""
    line, column = reason.get("line"), reason.get("column")
    place = f" (line {line}, column {column})" if line else ""
    return " ".join(filter(None, (f"{reason['message']}{place}", reason.get("actionable"))))
