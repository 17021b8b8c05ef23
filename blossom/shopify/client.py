"""Calls to a shop's GraphQL Admin API, and the files of its bulk operations.

Never called with a transaction held. What may be repeated is repeated here, within bounds: a question; a mutation that
is marked idempotent, or of which no byte had left; whatever Shopify refused before doing it (429, THROTTLED, 401).
A mutation whose answer got lost otherwise is `outcome_unknown`, and the caller looks before doing it again.
A client belongs to one thread. Neither errors nor logs of it carry a token, a variable or an answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import structlog

from blossom.platform import config, stopping
from blossom.platform.wire import Answer, CallFailed, Wire
from blossom.shopify import answers, documents, downloads, oauth
from blossom.shopify.documents import Document
from blossom.shopify.errors import ShopifyError, ShopifyErrorKind

log = structlog.get_logger()

MAX_WAIT_SECONDS = 30.0

_CONNECT_SECONDS = 3.0
_told_versions: set[tuple[str, str]] = set()


class ShopifyClient:
    """One shop. `renew(used_up)` gives another access token than the one that Shopify no longer takes, once a call.
    `before` is called before each operation and may raise.

    `retry_delays`: seconds before the second, third, … try after a failure. `max_wait`: the most that all waits of one
    call may sum up to, those that Shopify asks for too; past it the error is raised. `wait(seconds)` returns True when
    the process is to stop: then the error is raised at once.
    """

    def __init__(
        self,
        shop: str,
        access_token: str,
        *,
        renew: Callable[[str], str] | None = None,
        before: Callable[[], None] = lambda: None,
        retry_delays: Sequence[float] = (0.2, 1.0, 3.0),
        max_wait: float = MAX_WAIT_SECONDS,
        wait: Callable[[float], bool] = stopping.wait,
    ) -> None:
        settings = config.current()
        self.shop = shop
        self._version = settings.shopify_api_version
        self._url = f"{oauth.shop_url(shop)}/admin/api/{self._version}/graphql.json"
        self._timeout = settings.shopify_timeout_seconds
        self._token = access_token
        self._renew = renew
        self._before = before
        self._retry_delays = tuple(retry_delays)
        self._max_wait = max_wait
        self._wait = wait
        self._wire = Wire()

    def run(self, operation: str, **variables: Any) -> dict[str, Any]:
        """The `data` of `operations/<operation>.graphql`.

        Raises `ShopifyError`. One with `data` brought part of the answer (`access_denied` leaves holes where Shopify
        wouldn't let us see); `refused` says why in `user_errors`: an answer that is returned has none.
        """
        self._before()
        document = documents.read(operation)
        body = json.dumps({"query": document.text, "variables": variables}).encode()
        failures, waited, renewed = 0, 0.0, False
        while True:
            try:
                return self._once(document, body)
            except ShopifyError as error:
                if error.http_status == 401 and self._renew is not None and not renewed:
                    renewed = True
                    self._token = self._renew(self._token)
                    continue
                if error.kind is not ShopifyErrorKind.TRANSIENT:
                    raise
                pause = error.retry_after or 0.0
                if error.code != "throttled":  # that one may come as often as the time allows
                    if failures == len(self._retry_delays):
                        raise
                    pause = max(pause, self._retry_delays[failures])
                    failures += 1
                waited += pause
                if waited > self._max_wait or self._wait(pause):
                    raise

    def download(self, url: str) -> Iterator[bytes]:
        """The lines of a bulk operation's file, streamed. Raises `ShopifyError` (`export_gone` after a week)."""
        return downloads.lines(url, wait=self._wait)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _once(self, document: Document, body: bytes) -> dict[str, Any]:
        headers = {
            "X-Shopify-Access-Token": self._token,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # an answer that can't unpack can't explode
            "User-Agent": "Blossom",
        }
        try:
            answer = self._wire.call(
                "POST", self._url, headers=headers, body=body, connect_timeout=_CONNECT_SECONDS, timeout=self._timeout
            )
        except CallFailed as failed:
            raise answers.without_answer(failed, document) from None
        self._note_version(answer)
        return answers.data(answer, document)

    def _note_version(self, answer: Answer) -> None:
        """Shopify answers a version that is no more by its oldest one: said once, since all still seems to work."""
        used = answer.headers.get("X-Shopify-API-Version")
        if used and used != self._version and (self._version, used) not in _told_versions:
            _told_versions.add((self._version, used))
            log.warning("shopify.other_version", asked=self._version, used=used[:20])
