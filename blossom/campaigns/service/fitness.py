"""Whether a campaign can be sent as it stands, and how it goes to messaging."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from blossom.campaigns import errors
from blossom.campaigns.models import Campaign
from blossom.message_templates.rules import linter, opt_out
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging import queries as messaging
from blossom.platform import clock
from blossom.platform.errors import NotFound
from blossom.segments import queries as segments
from blossom.segments.rules import Audience
from blossom.shops.models import Shop
from blossom.wallet.errors import InsufficientCredit

NO_AUDIENCE = {
    "code": "no_audience",
    "message": "Nobody was chosen to get it.",
    "actionable": "Choose everybody, or one segment at least.",
}

SEGMENT_GONE = {
    "code": "segment_gone",
    "message": "A segment of its audience is no more.",
    "actionable": "Choose the audience again.",
}


def source_of(shop: Shop, body: str) -> str:
    """The text as it is sent: with the shop's opt-out line where it has no way out of its own."""
    line = shop.opt_out_text or opt_out.default_line("en")
    return opt_out.with_opt_out(body, line, keywords=shop.stop_keywords)


def audience_of(campaign: Campaign) -> Audience | None:
    return Audience.from_json(campaign.audience) if campaign.audience else None


def check_text(shop: Shop, campaign: Campaign) -> None:
    """Raise `CannotSend` for what is wrong at any hour: faults of the text, and nobody chosen."""
    if reasons := text_reasons(shop, campaign):
        raise errors.CannotSend(reasons)


def text_reasons(shop: Shop, campaign: Campaign) -> list[dict[str, Any]]:
    """What is wrong with the campaign at any hour."""
    reasons = faults_of_text(shop, campaign)
    audience = audience_of(campaign)
    if audience is None:
        reasons.append(NO_AUDIENCE)
    elif not names_known_segments(shop.id, audience):
        reasons.append(SEGMENT_GONE)
    return reasons


def faults_of_text(shop: Shop, campaign: Campaign) -> list[dict[str, Any]]:
    """What the linter calls an error, with line and column."""
    found = linter.lint(campaign.body, Trigger.CAMPAIGN, opt_out_line=shop.opt_out_text, keywords=shop.stop_keywords)
    return [
        {
            "code": finding.code,
            "message": finding.message,
            "actionable": finding.actionable,
            "line": finding.line,
            "column": finding.column,
        }
        for finding in found
        if finding.level is linter.Level.ERROR
    ]


def names_known_segments(shop_id: int, audience: Audience) -> bool:
    """Whether the shop has every segment that the audience speaks of."""
    try:
        segments.audience_select(shop_id, audience)
    except NotFound:
        return False
    return True


def preview(shop: Shop, campaign: Campaign) -> messaging.Preview:
    """What sending it now, or at its hour, would reach and cost. The campaign has an audience and a sound text."""
    audience = audience_of(campaign)
    assert audience is not None, "callers ask text_reasons() first"
    return messaging.preview(
        shop.id,
        audience,
        source_of(shop, campaign.body),
        shop.sender,
        not_before=campaign.scheduled_at,
        local_at=campaign.local_at,
        now=clock.now(),
    )


def check_sendable(shop: Shop, campaign: Campaign) -> None:
    """Raise `CannotSend`, or `InsufficientCredit` when only credits are missing."""
    check_text(shop, campaign)
    found = preview(shop, campaign)
    if found.can_send:
        return
    if [objection.code for objection in found.objections] == ["insufficient_credit"]:
        raise InsufficientCredit(found.estimate.credits, found.credit.available)
    raise errors.CannotSend([asdict(objection) for objection in found.objections])
