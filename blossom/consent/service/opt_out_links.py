"""Opting out by a link, and the codes of the links on our own pages. Links in campaigns' texts have shorter codes, of
the text that they stand in (`links.rules.codes`); here no row stands behind one at all, so that it outlives the text:
it is the phone's hash, encrypted and proven by a keyed derivation.

A synthetic IV (the construction of RFC 5297) by HMAC-SHA256 under the shop's lookup key: the tag is a MAC of the hash
and at once the nonce of the pad that hides it. So the code is the same each time, opens in its own shop alone, can't be
guessed (64 bits of tag), tells nothing, and is good for as long as the shop's keys live: an opt-out must work from the
oldest text. 24 bytes, 32 characters.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Any

from blossom.audit import service as audit
from blossom.consent.rules import Source
from blossom.consent.service import changes
from blossom.consent.service.changes import Change
from blossom.platform import crypto
from blossom.platform.crypto import HASH_BYTES, ShopCipher
from blossom.platform.db import session

_TAG_BYTES = 8
_LENGTH = (_TAG_BYTES + HASH_BYTES) * 4 // 3


def unsubscribe_code(shop_id: int, phone_hash: bytes) -> str:
    """What stands at the end of this phone's opt-out link."""
    cipher = crypto.for_shop(shop_id)
    tag = _tag(cipher, phone_hash)
    return base64.urlsafe_b64encode(tag + _pad(cipher, tag, phone_hash)).decode()


def opt_out_by_code(shop_id: int, code: str, **proof: Any) -> Change | None:
    """Opt out the phone that the link was made for; None if it is none of this shop's. Again: the same end."""
    phone_hash = phone_hash_of(shop_id, code)
    return None if phone_hash is None else opt_out_by_link(shop_id, phone_hash, **proof)


def opt_out_by_link(shop_id: int, phone_hash: bytes, **proof: Any) -> Change:
    """Opt out a phone whose link was opened and its button pressed. Again: the same end. `proof`: fields of `Step`."""
    change = changes.opt_out(shop_id, phone_hash, source=Source.STOREFRONT, **proof)
    if change.changed:
        audit.record(shop_id, "consent.opted_out", actor="shopper", details={"by": "link"})
        session.flush()
    return change


def phone_hash_of(shop_id: int, code: str) -> bytes | None:
    """Whose link it is, or None for what this shop never made."""
    if len(code) != _LENGTH:
        return None
    try:
        raw = base64.b64decode(code, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        return None
    cipher = crypto.for_shop(shop_id)
    tag = raw[:_TAG_BYTES]
    phone_hash = _pad(cipher, tag, raw[_TAG_BYTES:])
    return phone_hash if hmac.compare_digest(tag, _tag(cipher, phone_hash)) else None


def _tag(cipher: ShopCipher, phone_hash: bytes) -> bytes:
    return cipher.lookup(f"opt-out link\x1f{phone_hash.hex()}")[:_TAG_BYTES]


def _pad(cipher: ShopCipher, tag: bytes, value: bytes) -> bytes:
    """`value` under the pad of this tag; the same call takes it off."""
    pad = cipher.lookup(f"opt-out link pad\x1f{tag.hex()}")
    return bytes(a ^ b for a, b in zip(value, pad, strict=True))
