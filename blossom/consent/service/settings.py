"""How a shop asks for consent."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy.dialects.postgresql import insert

from blossom.consent import queries, rules
from blossom.consent.models import ConsentSettings
from blossom.consent.rules import Settings
from blossom.platform.db import session
from blossom.platform.errors import InvalidInput
from blossom.shops import queries as shops


def update_settings(shop_id: int, **changes: Any) -> Settings:
    """Change fields of `rules.Settings`: all that are named, or none. Raises `InvalidInput` naming each fault."""
    settings = replace(queries.settings(shop_id), **changes)
    if faults := rules.settings_faults(settings, shops.get_shop(shop_id).stop_keywords):
        raise InvalidInput(faults)
    values = asdict(settings) | {"join_keywords": [word.strip() for word in settings.join_keywords]}
    session.execute(
        insert(ConsentSettings)
        .values(shop_id=shop_id, **values)
        .on_conflict_do_update(index_elements=[ConsentSettings.shop_id], set_=values)
    )
    return settings
