"""Posts webhooks to the app: a few keep-alive connections, each body tried again until it is answered with 2xx."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from blossom.sandbox.mitto.behaviour import Proof
from blossom.sandbox.mitto.receipt_shapes import Written

_ANSWER_SECONDS = 10.0
_LONGEST_PAUSE = 5.0
_EXCERPT = 500


@dataclass(frozen=True, slots=True)
class Reply:
    """The app's answer; status 0 when there was none."""

    status: int
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


@dataclass(slots=True)
class Post:
    """One body on its way. `forged`: with a wrong proof, and tried only once."""

    url: str
    written: Written
    proof: Proof
    tries: int = 1
    retry_seconds: float = 0.2
    forged: bool = False
    finished: Callable[[Post, Reply], None] | None = None
    attempts: int = field(default=0, init=False)


def proof_headers(proof: Proof, body: bytes, *, forged: bool) -> str:
    """The header lines that prove `body`; a forged one has the right form and the wrong secret."""
    lines = ""
    if proof.hmac_secret or (forged and not proof.token):
        secret = secrets.token_bytes(16) if forged else proof.hmac_secret.encode()
        signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
        lines += f"{proof.signature_header}: sha256={signature}\r\n"
    if proof.token:
        lines += f"{proof.token_header}: {secrets.token_hex(8) if forged else proof.token}\r\n"
    return lines


class Poster:
    """A queue of posts and the connections that work it off. `unfinished` counts what is queued or being tried."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.unfinished = 0
        self._queue: deque[Post] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wanted = self._working = 0
        self._pauses: set[asyncio.TimerHandle] = set()

    def resize(self, connections: int) -> None:
        """Work with so many connections; one too many ends after the post that it is at."""
        self._wanted = connections
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        while self._working < connections:
            self._working += 1
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def add(self, post: Post) -> None:
        """Queue `post`; `post.finished` is called when it was answered with 2xx, or given up."""
        self.unfinished += 1
        self._put(post)

    def clear(self) -> None:
        """Forget what is queued or pausing; what is on the wire ends by itself."""
        self.unfinished -= len(self._queue) + len(self._pauses)
        self._queue.clear()
        for pause in self._pauses:
            pause.cancel()
        self._pauses.clear()
        self.counters.clear()

    def _put(self, post: Post) -> None:
        self._queue.append(post)
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _work(self) -> None:
        channel = _Channel()
        try:
            while self._working <= self._wanted:
                if self._queue:
                    await self._try(channel, self._queue.popleft())
                    continue
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                await waiter
        finally:
            self._working -= 1
            channel.close()

    async def _try(self, channel: _Channel, post: Post) -> None:
        post.attempts += 1
        reply = await channel.send(post)
        self.counters["posts"] += 1
        self.counters[f"answers_{reply.status}"] += 1
        if reply.ok or post.forged or post.attempts >= post.tries:
            if not reply.ok and not post.forged:
                self.counters["abandoned"] += 1
            self.unfinished -= 1
            if post.finished is not None:
                post.finished(post, reply)
            return
        self.counters["retries"] += 1
        self._again_in(min(_LONGEST_PAUSE, post.retry_seconds * 2 ** (post.attempts - 1)), post)

    def _again_in(self, seconds: float, post: Post) -> None:
        def again() -> None:
            self._pauses.discard(pause)
            self._put(post)

        pause = asyncio.get_running_loop().call_later(seconds, again)
        self._pauses.add(pause)


async def post_once(post: Post) -> Reply:
    """Post it on a connection of its own, once."""
    channel = _Channel()
    try:
        return await channel.send(post)
    finally:
        channel.close()


class _Channel:
    """One keep-alive connection to the app, opened when needed."""

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._peer: tuple[str, int] | None = None

    async def send(self, post: Post) -> Reply:
        """The app's reply. A connection that had gone stale is opened anew once: receipts may be repeated."""
        parts = urlsplit(post.url)
        peer = (parts.hostname or "", parts.port or 80)
        if peer != self._peer:
            self.close()
        self._peer = peer
        for fresh in (self._writer is None, True):
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if self._writer is None:
                        self._reader, self._writer = await asyncio.open_connection(*peer)
                    return await self._exchange(parts, post)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
                self.close()
                if fresh:
                    break
        return Reply(0)

    async def _exchange(self, parts: SplitResult, post: Post) -> Reply:
        assert self._writer is not None
        assert self._reader is not None
        written = post.written
        query = "&".join(each for each in (parts.query, written.query) if each)
        content = (
            f"Content-Type: {written.content_type}\r\nContent-Length: {len(written.body)}\r\n"
            if written.content_type
            else ""
        )
        head = (
            f"{written.method} {parts.path or '/'}{'?' + query if query else ''} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"User-Agent: mitto-stand-in\r\n{content}{proof_headers(post.proof, written.body, forged=post.forged)}\r\n"
        )
        self._writer.write(head.encode("latin-1") + written.body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body, reusable = await self._body(status, headers)
        if not reusable or headers.get("connection", "").lower() == "close":
            self.close()
        return Reply(status, body[:_EXCERPT])

    async def _body(self, status: int, headers: dict[str, str]) -> tuple[bytes, bool]:
        """The body, and whether the connection can be used again."""
        assert self._reader is not None
        if status in (204, 304):
            return b"", True
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int((await self._reader.readline()).split(b";")[0], 16):
                body += await self._reader.readexactly(size)
                await self._reader.readline()
            await self._reader.readuntil(b"\r\n")
            return body, True
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"])), True
        return await self._reader.read(), False

    def close(self) -> None:
        """Close; the next send opens anew."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None
