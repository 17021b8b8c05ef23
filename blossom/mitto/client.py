"""Calls to Mitto's messaging API (facts A1–A4, docs/mitto.md).

The rule above all: Mitto knows no idempotency key, so a call that may have been taken is never made again here.
Only what provably wasn't taken is repeated: no connection, 429, and 503 whose body names no accepted text.
A client belongs to one thread. Neither errors nor logs of it carry a number, a text or the key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, urlsplit

import requests
import tenacity

from blossom.mitto import answers, payloads
from blossom.mitto.errors import SendError, SendErrorKind
from blossom.mitto.payloads import Accepted, BulkAnswer, MessageStatus, OutgoingText, PayloadError, Refused
from blossom.platform.wire import Answer, CallFailed, Wire

_SINGLE_PATH = "/api/v1.1/Messages/send"
_BULK_PATH = "/api/v1.1/Messages/sendmessagesbulk"
_STATUS_PATH = "/api/v1.1/Messages/"
_NOBODYS_ID = "00000000000000000000000000"  # a ULID of the year 1970: no message has it
T = TypeVar("T")
_NAP = 0.25  # seconds; how often a wait asks whether to stop


@dataclass(frozen=True, slots=True)
class Health:
    """`code` is `ok`, or the key of `errors.FAULTS` that says what is wrong. `seconds`: how long the answer took."""

    ok: bool
    code: str
    seconds: float


class MittoClient:
    """One account at one base URL.

    `connect_timeout`, `timeout`: seconds; the latter bounds a call from start to end. `retry_delays`: the waits
    before the second, third, … try of a call that wasn't taken. `max_wait`: the most that these waits, with what
    `Retry-After` asks for, may sum up to in one call; past it the error is raised, and the batch can go back to
    the queue. `should_stop` ends waiting: the error is raised at once.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        connect_timeout: float = 3.0,
        timeout: float = 10.0,
        retry_delays: Sequence[float] = (0.1, 0.5, 2.0),
        max_wait: float = 30.0,
        batch_size: int = 500,
        max_bytes: int = 1_000_000,
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._base_url = _checked_url(base_url)
        self._headers = {
            "X-Mitto-API-Key": _checked_key(api_key),
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # answers are small, and one that can't unpack can't explode
            "User-Agent": "Blossom",
        }
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._retry_delays = tuple(retry_delays)
        self._max_wait = max_wait
        self._batch_size = batch_size
        self._max_bytes = max_bytes
        self._wire = Wire(session)
        self._sleep = sleep
        self._should_stop = should_stop

    @property
    def max_bytes(self) -> int:
        """The largest body of a call."""
        return self._max_bytes

    @property
    def longest_call_seconds(self) -> float:
        """The most that one `send_*` or `status` can last, tries and waits included."""
        return (len(self._retry_delays) + 1) * self._timeout + max(self._max_wait, sum(self._retry_delays))

    def plan(self, texts: Sequence[OutgoingText], traffic_account_id: str) -> list[Sequence[OutgoingText]]:
        """`texts` in order, in groups that `send_bulk` takes. `PayloadError` (a ValueError) if one is too large."""
        return list(
            payloads.split_by_size(texts, traffic_account_id, batch_size=self._batch_size, max_bytes=self._max_bytes)
        )

    def send_bulk(self, texts: Sequence[OutgoingText], traffic_account_id: str) -> BulkAnswer:
        """Send up to `batch_size` texts in one call; the answer is in their order.

        Raises `SendError`; `ValueError`, before anything leaves, for no texts or more than fit in a call.
        """
        if not 1 <= len(texts) <= self._batch_size:
            raise ValueError(f"a call takes 1 to {self._batch_size} texts, not {len(texts)}")
        body = self._sized(payloads.bulk_body(texts, traffic_account_id))
        answer = self._send(_BULK_PATH, body, texts=len(texts))
        return answers.read(answer, lambda raw: payloads.parse_bulk_answer(raw, len(texts)))

    def send_one(self, text: OutgoingText, traffic_account_id: str) -> Accepted | Refused:
        """Send one text. Raises as `send_bulk`."""
        body = self._sized(payloads.single_body(text, traffic_account_id))
        return answers.read(self._send(_SINGLE_PATH, body, texts=1), payloads.parse_single_answer)

    def status(self, message_id: str) -> MessageStatus | None:
        """What Mitto knows of a message; None if it doesn't know the id.

        A question changes nothing, so whatever fails without being refused is transient, and is asked again.
        Raises `SendError` (permanent or transient).
        """
        return self._retrying(lambda: self._ask(message_id))

    def health(self) -> Health:
        """Ask after a message that can't exist: that Mitto doesn't know it proves the way and the key. Never raises
        for what is wrong with Mitto; one call, no retries."""
        started = time.monotonic()
        try:
            self._ask(_NOBODYS_ID)
            code = "ok"
        except SendError as error:
            code = error.code
        return Health(ok=code == "ok", code=code, seconds=time.monotonic() - started)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _send(self, path: str, body: bytes, *, texts: int) -> Answer:
        def attempt() -> Answer:
            try:
                answer = self._call("POST", path, body)
            except CallFailed as failed:
                raise answers.send_error_without_answer(failed) from None
            if not 200 <= answer.status < 300:
                raise answers.send_error(answer, texts=texts)
            return answer

        return self._retrying(attempt)

    def _ask(self, message_id: str) -> MessageStatus | None:
        try:
            answer = self._call("GET", _STATUS_PATH + quote(message_id, safe=""), None)
        except CallFailed:
            raise SendError("could_not_connect") from None
        if answer.status == 404:
            return None
        if not 200 <= answer.status < 300:
            error = answers.send_error(answer, texts=1)
            if error.kind is SendErrorKind.UNKNOWN_OUTCOME:
                raise SendError("provider_busy", http_status=answer.status)
            raise error
        try:
            return payloads.parse_status(answer.body or b"")
        except PayloadError:
            raise SendError("provider_busy", http_status=answer.status) from None

    def _call(self, method: str, path: str, body: bytes | None) -> Answer:
        return self._wire.call(
            method,
            self._base_url + path,
            headers=self._headers,
            body=body,
            connect_timeout=self._connect_timeout,
            timeout=self._timeout,
        )

    def _retrying(self, attempt: Callable[[], T]) -> T:
        """`attempt` until it succeeds, while its errors are transient and the waits stay within bounds."""

        def unless_stopping() -> T:
            if failures and self._should_stop():
                raise failures[-1]
            try:
                return attempt()
            except SendError as error:
                failures.append(error)
                raise

        def pause(_: tenacity.RetryCallState) -> float:
            tried = len(failures)
            planned = self._retry_delays[tried - 1] if tried <= len(self._retry_delays) else 0.0
            return max(planned, failures[-1].retry_after or 0.0)

        def enough(state: tenacity.RetryCallState) -> bool:
            return (
                len(failures) > len(self._retry_delays)
                or state.idle_for + state.upcoming_sleep > self._max_wait
                or self._should_stop()
            )

        failures: list[SendError] = []
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            wait=pause,
            stop=enough,
            sleep=self._rest,
            reraise=True,
        )(unless_stopping)

    def _rest(self, seconds: float) -> None:
        """Sleep, but no longer than until `should_stop`."""
        while seconds > 0 and not self._should_stop():
            self._sleep(min(seconds, _NAP))
            seconds -= _NAP

    def _sized(self, body: bytes) -> bytes:
        if len(body) > self._max_bytes:
            raise ValueError(f"the call would have {len(body)} bytes, more than {self._max_bytes}; see plan()")
        return body


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, SendError) and error.kind is SendErrorKind.TRANSIENT


def _checked_url(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("Mitto's base URL must be http(s)://host[:port][/path]")
    return base_url.rstrip("/")


def _checked_key(api_key: str) -> str:
    """A key that no header can carry would otherwise look like a failing connection, call after call."""
    if not api_key or not api_key.isascii() or not api_key.isprintable() or api_key != api_key.strip():
        raise ValueError("Mitto's API key must be printable ASCII without spaces around it")
    return api_key
