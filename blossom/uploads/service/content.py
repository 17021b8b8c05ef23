"""The bytes of a file at rest: part by part, compressed and sealed; and read again as one file."""

from __future__ import annotations

import base64
import io
import zlib
from typing import TYPE_CHECKING

from sqlalchemy import select

from blossom.platform import crypto
from blossom.platform.db import session, transaction
from blossom.uploads import rules
from blossom.uploads.models import UploadPart

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PURPOSE = "upload"


def sealed(shop_id: int, part: bytes) -> bytes:
    """A part as it is kept. Seals are of text, and so is base64; compressed it is still smaller than the part was."""
    packed = base64.b64encode(zlib.compress(part, 1)).decode()
    kept = crypto.for_shop(shop_id).seal(packed, PURPOSE)
    assert kept is not None, "only nothing is sealed as nothing"
    return kept


def opened(shop_id: int, kept: bytes) -> bytes:
    """The part again."""
    return zlib.decompress(base64.b64decode(crypto.for_shop(shop_id).open(kept, PURPOSE) or ""))


class StoredFile(io.RawIOBase):
    """A file that is here in parts, as a stream that can be read from any place; one part is in memory at a time.

    Each part is read in a transaction of its own, so none may be open while it is read.
    """

    def __init__(self, shop_id: int, upload_id: int, size: int) -> None:
        self._shop_id, self._upload_id, self._size = shop_id, upload_id, size
        self._at = 0
        self._number, self._part = -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, begin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._at >= self._size:
            return 0
        number, begin = divmod(self._at, rules.PART_BYTES)
        if number != self._number:
            self._number, self._part = number, self._read(number)
        view = memoryview(buffer).cast("B")
        piece = self._part[begin : begin + len(view)]
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def _read(self, number: int) -> bytes:
        query = select(UploadPart.content_sealed).where(
            UploadPart.shop_id == self._shop_id, UploadPart.upload_id == self._upload_id, UploadPart.number == number
        )
        with transaction():
            return opened(self._shop_id, session.scalars(query).one())


def open_file(shop_id: int, upload_id: int, size: int) -> io.BufferedReader:
    """The whole file, to be read as any other. See `StoredFile`."""
    return io.BufferedReader(StoredFile(shop_id, upload_id, size), 256 * 1024)
