"""What people text to shops."""

from __future__ import annotations

import secrets
from typing import Any

from blossom.contacts.models import Contact
from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.replies.models import InboundText
from blossom.shops.models import Shop
from tests.factories.contacts import a_phone


def create_reply(shop: Shop, text: str, contact: Contact | None = None, **overrides: Any) -> InboundText:
    """A text from this contact, or from somebody who is none; that calls for no answer."""
    now, cipher = clock.now(), crypto.for_shop(shop.id)
    phone = overrides.pop("phone", None) or (contact and contact.phone) or a_phone()
    values: dict[str, Any] = {
        "shop_id": shop.id,
        "phone_hash": cipher.lookup(phone),
        "identity_hash": secrets.token_bytes(16),
        "contact_id": contact.id if contact else None,
        "received_at": now,
        "handled_at": now,
        **overrides,
    }
    said = InboundText(**values)
    said.phone, said.text = phone, text
    session.add(said)
    session.flush()
    return said
