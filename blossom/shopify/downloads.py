"""The file of a bulk operation, line by line: memory stays flat, and a connection that breaks is taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import requests
import urllib3

from blossom.shopify.errors import ShopifyError

_CHUNK = 262_144
_LONGEST_LINE = 10_000_000  # bytes; a customer has less than 2,000
_TIMES = (3.0, 30.0)  # seconds to connect, and between two bytes
_PAUSES = (0.2, 1.0, 3.0, 10.0)  # seconds; counted anew after each byte that came
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


def lines(url: str, *, wait: Callable[[float], bool]) -> Iterator[bytes]:
    """Each line without its end, empty ones left out.

    A break is mended by asking for the rest (`Range`). Raises `ShopifyError`: `export_gone`, `answer_unreadable` for
    what is no such file, `no_answer` when nothing more comes or the process is to stop.
    """
    rest = b""
    for chunk in _bytes(url, wait):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from filter(None, whole)
        if len(rest) > _LONGEST_LINE:
            raise ShopifyError("answer_unreadable")
    if rest:
        yield rest


def _bytes(url: str, wait: Callable[[float], bool]) -> Iterator[bytes]:
    position, failures = 0, 0
    with requests.Session() as session:
        session.trust_env = False
        while True:
            try:
                for chunk in _from(session, url, position):
                    position += len(chunk)
                    failures = 0
                    yield chunk
            except _BROKEN:
                # The exceptions quote the URL, which is a key to the file: they go no further.
                if failures == len(_PAUSES) or wait(_PAUSES[failures]):
                    raise ShopifyError("no_answer") from None
                failures += 1
            else:
                return


def _from(session: requests.Session, url: str, position: int) -> Iterator[bytes]:
    """The file's bytes from `position` on."""
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={position}-"} if position else {})}
    with session.get(url, headers=headers, stream=True, timeout=_TIMES) as response:
        if response.status_code == 416:  # it broke behind the last byte
            return
        if response.status_code in (400, 401, 403, 404, 410):
            raise ShopifyError("export_gone", http_status=response.status_code)
        response.raise_for_status()
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise ShopifyError("answer_unreadable", http_status=response.status_code)
        begins_at = f"bytes {position}-"
        if response.status_code == 206 and not response.headers.get("Content-Range", begins_at).startswith(begins_at):
            raise ShopifyError("answer_unreadable", http_status=206)
        skip = 0 if response.status_code == 206 else position
        for chunk in response.iter_content(_CHUNK):
            if skip >= len(chunk):
                skip -= len(chunk)
            else:
                yield chunk[skip:]
                skip = 0
