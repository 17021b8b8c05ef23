"""What a page is loaded with: static files, named by what is in them, so that a browser asks for none twice; and pages
and files packed for the way, which no host's router does for us (decision 0040)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from flask import Flask, Response, abort, request
from flask_compress import Compress
from werkzeug.security import safe_join

TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".md": "text/plain",
    ".txt": "text/plain",
}
"""By a file's ending; Python's own table is not the same on every machine."""

PACKED = ("text/html", "text/css", "text/javascript", "image/svg+xml")
"""Media types that are packed: event streams, files to download and the API's JSON are not."""

PACKINGS = ("br", "zstd", "gzip")

PROXIED = "/proxy/"
"""Where Shopify's app proxy asks. It isn't known whether it passes a packed answer on as what it is."""

FOREVER = "public, max-age=31536000, immutable"

_HEX_DIGITS = 16  # of SHA-256: a version is told from the one before it, not from a forgery


@dataclass(frozen=True)
class File:
    """A static file as it was read. `version`: of its content, and of nothing else."""

    content: bytes
    version: str


def init(app: Flask) -> None:
    """To be called before all else that looks at an answer: what is called first sees it last, as it leaves."""
    app.config.update(
        COMPRESS_REGISTER=False,
        COMPRESS_MIMETYPES=list(PACKED),
        COMPRESS_ALGORITHM=list(PACKINGS),
        COMPRESS_BR_LEVEL=5,  # a twelfth less than its default of 4, in the same time
        COMPRESS_STREAMS=False,
    )
    packing = Compress(app)
    folder = str(app.static_folder)

    @app.url_defaults
    def _name_version(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and (file := _file(folder, values.get("filename", ""))):
            values["v"] = file.version

    def give(filename: str) -> Response:
        file = _file(folder, filename)
        if file is None:
            abort(404)
        answer = app.response_class(
            file.content, mimetype=TYPES.get(PurePath(filename).suffix, "application/octet-stream")
        )
        # The version is the ETag, too: two releases that answer side by side never take one's content for the other's.
        answer.set_etag(file.version)
        # What was asked for under another version, while a release rolls out, is asked for again the next time.
        answer.headers["Cache-Control"] = FOREVER if request.args.get("v") == file.version else "no-cache"
        answer.make_conditional(request, accept_ranges=True, complete_length=len(file.content))
        return answer

    app.view_functions["static"] = give

    @app.after_request
    def _pack(response: Response) -> Response:
        # What is never packed doesn't vary with what the client unpacks: the library would say so of every answer, and
        # a provider's webhook is answered the short way, without it.
        if response.mimetype not in PACKED or request.path.startswith(PROXIED):
            return response
        response.vary.add("Accept-Encoding")
        # A part (206) is of the bytes as they are.
        return response if response.status_code == 206 or _refuses_packings() else packing.after_request(response)


def _refuses_packings() -> bool:
    """`br;q=0`: not that one. The library would take it all the same where nothing else is named."""
    return any(not quality and name in (*PACKINGS, "*") for name, quality in request.accept_encodings)


def _file(folder: str, filename: str) -> File | None:
    """The file as it is now; None where there is none."""
    path = None if "/." in f"/{filename}" else safe_join(folder, filename)  # bin/setup's stamp is no file of a page's
    try:
        there = Path(path or "").stat()
        return _read(str(path), there.st_mtime_ns, there.st_size)
    except (OSError, ValueError):  # nothing there, a folder, or no name that a file could have
        return None


@lru_cache(maxsize=256)
def _read(path: str, mtime_ns: int, size: int) -> File:
    """Read once, and hashed as read: a file that is replaced meanwhile can't get another's version."""
    content = Path(path).read_bytes()
    return File(content, hashlib.sha256(content).hexdigest()[:_HEX_DIGITS])
