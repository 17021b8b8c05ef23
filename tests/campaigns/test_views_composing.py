"""A merchant writes a campaign: nothing typed is lost or overwritten unseen, and what is shown is what will be sent."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from blossom.audit.models import AuditEntry
from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.states import CampaignState
from blossom.platform.db import session
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, ours, shopify, statements, stranger, theirs, token, visitor
from tests.factories.campaigns import create_campaign, make_ready

__all__ = ["ours", "shopify", "stranger", "theirs", "visitor"]

PARTIAL = {"HX-Request-Type": "partial"}
TEXT = "Hi {{ first_name | default: 'there' }}, 20% off until Sunday. Reply STOP to opt out"


def words(response: TestResponse | str) -> str:
    html = response if isinstance(response, str) else response.get_data(as_text=True)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def typed(**fields: Any) -> dict[str, Any]:
    """The form, as a page that was just loaded sends it."""
    return {"page": str(uuid4()), "turn": "1", "name": "Summer", "body": TEXT, "who": "everybody", **fields}


def send(visitor: Visitor, path: str, form: dict[str, Any], **options: Any) -> TestResponse:
    return visitor.fetch(path, method="POST", data=form, headers=PARTIAL, **options)


def edit(campaign: Campaign) -> str:
    return f"/campaigns/{campaign.id}/edit"


def campaigns() -> list[Campaign]:
    return list(session.query(Campaign).order_by(Campaign.id))


class TestThePage:
    def test_is_empty_at_first_and_chooses_nobody(self, visitor: Visitor) -> None:
        html = visitor.document("/campaigns/new").get_data(as_text=True)
        assert "Saved as you type" in html
        assert 'value="everybody" checked' not in html
        assert campaigns() == [], "who only looks leaves no draft behind"

    def test_shows_a_draft_as_it_was_typed(self, visitor: Visitor, ours: Shop) -> None:
        send(visitor, "/campaigns/new", typed(when="local", day="2027-03-01", time="10:00", priority="low"))
        (campaign,) = campaigns()
        html = visitor.document(edit(campaign)).get_data(as_text=True)
        for shown in (
            'value="Summer"',
            'name="who" value="everybody" checked',
            'name="when" value="local" checked',
            'value="2027-03-01"',
            'value="10:00"',
            '<option value="low" selected>',
            'name="version" value="1"',
        ):
            assert shown in html
        assert "&#39;there&#39;" in html
