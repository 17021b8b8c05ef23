from __future__ import annotations

from typing import Any

from blossom.message_templates import service
from blossom.message_templates.models import MessageTemplate
from blossom.message_templates.rules.catalogue import Trigger

written: dict[str, Any] = {
    "name": "Summer sale",
    "body": 'Hi {{ first_name | default: "there" }}. Reply STOP to opt out',
    "trigger": Trigger.CAMPAIGN,
    "language": "en",
}
"""A text that can be sent."""


def create_template(shop_id: int, **overrides: Any) -> MessageTemplate:
    return service.create_template(shop_id, **{**written, "actor": "test", **overrides})
