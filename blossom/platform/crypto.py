"""Personal data at rest: AES-256-GCM under one data key a shop, wrapped by the master key.

A sealed value is `version (1 byte) | key id (4) | nonce (12) | ciphertext and tag`. The purpose ("phone",
"first_name", …) and the shop are authenticated with it, so a value moved to another column or shop does not open.
The same purpose may stand in several tables ("phone" of a contact and of a message): it is copied by SQL as it is.
Lookups go by a keyed hash: HMAC-SHA256 under the shop's lookup key, cut to 16 bytes. The lookup key is not the
data key and outlives its rotations.
Destroying a shop's key rows makes all its sealed values unreadable (`shop/redact`).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, event, select, text
from sqlalchemy.orm import Mapped, Session, SessionTransaction, mapped_column

from blossom.platform import clock
from blossom.platform.db import Base, session

_HEAD = struct.Struct(">BI")
_VERSION = 1
_CACHE_SECONDS = 60.0
"""A key destroyed elsewhere is forgotten here within this time."""

HASH_BYTES = 16


class SealedValueError(Exception):
    """A sealed value does not open: altered, moved, or its key is gone. Never carries the value."""


class Sealed(LargeBinary):
    """Column type of a sealed value. `purpose` names what is in it; the rotation command finds columns by this type."""

    cache_ok = True

    def __init__(self, purpose: str) -> None:
        super().__init__()
        self.purpose = purpose


class ShopKey(Base):
    """A shop's key, wrapped by a master key. `use` is "data" (the newest seals, all open) or "lookup" (one)."""

    __tablename__ = "shop_keys"
    __table_args__ = (
        Index(None, "shop_id"),
        Index("uq_shop_keys_lookup", "shop_id", unique=True, postgresql_where=text("use = 'lookup'")),
        CheckConstraint("use IN ('data', 'lookup')", "use"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shops.id"))
    use: Mapped[str] = mapped_column(Text)
    master_key_id: Mapped[int]
    wrapped: Mapped[bytes]
    created_at: Mapped[datetime]


class ShopCipher:
    """Seals and opens the values of one shop. Made by `for_shop`."""

    def __init__(self, shop_id: int, data_keys: Mapping[int, bytes], lookup_key: bytes) -> None:
        self.shop_id = shop_id
        self._lookup = hmac.new(lookup_key, digestmod=hashlib.sha256)
        self._keys = {key_id: AESGCM(key) for key_id, key in data_keys.items()}
        self._current = max(data_keys)
        self._aads: dict[str, bytes] = {}

    def seal(self, value: str | None, purpose: str) -> bytes | None:
        """The sealed form of `value` (None stays None)."""
        if value is None:
            return None
        nonce = os.urandom(12)
        sealed = self._keys[self._current].encrypt(nonce, value.encode(), self._aad(purpose))
        return _HEAD.pack(_VERSION, self._current) + nonce + sealed

    def open(self, sealed: bytes | None, purpose: str) -> str | None:
        """The value again. Raises `SealedValueError` if it was altered, moved, or its key is gone."""
        if sealed is None:
            return None
        try:
            version, key_id = _HEAD.unpack_from(sealed)
            if version != _VERSION:
                raise SealedValueError(f"unknown version {version}")
            if key_id not in self._keys:
                self._look_again()
            return self._keys[key_id].decrypt(sealed[5:17], sealed[17:], self._aad(purpose)).decode()
        except (InvalidTag, KeyError, ValueError, struct.error) as error:
            raise SealedValueError(f"a {purpose} of shop {self.shop_id} does not open") from error

    def lookup(self, value: str) -> bytes:
        """The keyed hash by which an exact value is found: 16 bytes, the same each time, useless without the key."""
        digest = self._lookup.copy()
        digest.update(value.encode())
        return digest.digest()[:HASH_BYTES]

    def key_id(self, sealed: bytes) -> int:
        """Which data key sealed this value."""
        return int(_HEAD.unpack_from(sealed)[1])

    @property
    def current_key_id(self) -> int:
        return self._current

    def _look_again(self) -> None:
        """Another process may have rotated the shop's key since this cipher was made, and sealed with the new one."""
        forget(self.shop_id)
        newest = for_shop(self.shop_id)
        self._keys, self._current = newest._keys, newest._current

    def _aad(self, purpose: str) -> bytes:
        aad = self._aads.get(purpose)
        if aad is None:
            aad = self._aads[purpose] = f"{self.shop_id}:{purpose}".encode()
        return aad


_master: dict[int, bytes] = {}
_ciphers: dict[int, tuple[float, ShopCipher]] = {}
"""Of keys that are committed: a value sealed under a key that is rolled back could never be opened again."""

_UNCOMMITTED = "ciphers of shops whose keys this transaction changed"


def init(master_keys: Mapping[int, bytes]) -> None:
    """Give the master keys (the first is current). Forgets every cached shop key."""
    _master.clear()
    _master.update(master_keys)
    _ciphers.clear()


def create_shop_keys(shop_id: int) -> None:
    """Make the data and the lookup key of a new shop."""
    for use in ("data", "lookup"):
        _add_key(shop_id, use)
    _changed(shop_id)


def rotate_data_key(shop_id: int) -> None:
    """Add a new data key; from now on it seals. Old values open still; `resealing` seals them anew."""
    _add_key(shop_id, "data")
    _changed(shop_id)


def rewrap(shop_id: int) -> int:
    """Wrap a shop's keys under the current master key. How many were not yet."""
    master_id = _current_master()
    keys = session.scalars(select(ShopKey).where(ShopKey.shop_id == shop_id, ShopKey.master_key_id != master_id)).all()
    for key in keys:
        key.wrapped = _wrap(_unwrap(key), shop_id, key.use, master_id)
        key.master_key_id = master_id
    session.flush()
    return len(keys)


def destroy_shop_keys(shop_id: int) -> None:
    """Make every sealed value of the shop unreadable, for good."""
    session.execute(text("DELETE FROM shop_keys WHERE shop_id = :shop_id"), {"shop_id": shop_id})
    _changed(shop_id)


def for_shop(shop_id: int) -> ShopCipher:
    """The shop's cipher, cached for a minute. Raises `SealedValueError` when the shop has no keys."""
    own: dict[int, ShopCipher | None] = session.info.get(_UNCOMMITTED, {})
    if shop_id in own:
        cipher = own[shop_id] = own[shop_id] or _read_cipher(shop_id)
        return cipher
    cached = _ciphers.get(shop_id)
    if cached and cached[0] > time.monotonic():
        return cached[1]
    cipher = _read_cipher(shop_id)
    _ciphers[shop_id] = (time.monotonic() + _CACHE_SECONDS, cipher)
    return cipher


def forget(shop_id: int) -> None:
    """Read the shop's keys anew when they are next asked for."""
    _ciphers.pop(shop_id, None)


def _read_cipher(shop_id: int) -> ShopCipher:
    with session.no_autoflush:
        rows = session.scalars(select(ShopKey).where(ShopKey.shop_id == shop_id)).all()
    data = {row.id: _unwrap(row) for row in rows if row.use == "data"}
    lookup = next((_unwrap(row) for row in rows if row.use == "lookup"), None)
    if not data or lookup is None:
        raise SealedValueError(f"shop {shop_id} has no keys: they were destroyed, or never made")
    return ShopCipher(shop_id, data, lookup)


def _changed(shop_id: int) -> None:
    """Keep the shop's cipher to this session until its transaction ends."""
    forget(shop_id)
    session.info.setdefault(_UNCOMMITTED, {})[shop_id] = None


@event.listens_for(Session, "after_soft_rollback")
def _distrust(of: Session, _: SessionTransaction) -> None:
    """A rollback, be it of a savepoint only, may have taken keys away."""
    for shop_id in of.info.get(_UNCOMMITTED, {}):
        of.info[_UNCOMMITTED][shop_id] = None


@event.listens_for(Session, "after_transaction_end")
def _settle(of: Session, ended: SessionTransaction) -> None:
    """Committed or undone, but not the mere end of a savepoint: from here on the keys are as everybody sees them."""
    if ended.parent is None:
        for shop_id in of.info.pop(_UNCOMMITTED, {}):
            forget(shop_id)


class SealedText:
    """Descriptor: `phone = SealedText("phone_sealed")` reads and writes the plain text of that sealed column.

    The instance must have its `shop_id` before a value is set.
    """

    def __init__(self, column: str) -> None:
        self.column = column

    def __set_name__(self, owner: type[Base], name: str) -> None:
        column_type = owner.__dict__[self.column].column.type
        assert isinstance(column_type, Sealed), f"{owner.__name__}.{self.column} is not a Sealed column"
        self.purpose = column_type.purpose

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return for_shop(instance.shop_id).open(getattr(instance, self.column), self.purpose)

    def __set__(self, instance: Any, value: str | None) -> None:
        setattr(instance, self.column, for_shop(instance.shop_id).seal(value, self.purpose))


def _add_key(shop_id: int, use: str) -> None:
    master_id = _current_master()
    wrapped = _wrap(os.urandom(32), shop_id, use, master_id)
    session.add(ShopKey(shop_id=shop_id, use=use, master_key_id=master_id, wrapped=wrapped, created_at=clock.now()))
    session.flush()


def _current_master() -> int:
    if not _master:
        raise RuntimeError("no master key: set BLOSSOM_MASTER_KEYS (`blossom new-master-key` makes one)")
    return next(iter(_master))


def _wrap(key: bytes, shop_id: int, use: str, master_id: int) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(_master[master_id]).encrypt(nonce, key, f"shop-key:{shop_id}:{use}".encode())


def _unwrap(row: ShopKey) -> bytes:
    master = _master.get(row.master_key_id)
    if master is None:
        raise SealedValueError(f"master key {row.master_key_id} is not among BLOSSOM_MASTER_KEYS")
    try:
        return AESGCM(master).decrypt(row.wrapped[:12], row.wrapped[12:], f"shop-key:{row.shop_id}:{row.use}".encode())
    except InvalidTag as error:
        raise SealedValueError(f"the keys of shop {row.shop_id} were wrapped by another master key") from error
