"""Whether a campaign can be sent as it stands, and how it goes to messaging."""

from __future__ import annotations

from typing import Any

from blossom.campaigns import errors
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import AbTest
from blossom.campaigns.rules.schedule import Schedule
from blossom.campaigns.service import planning, shopify_segments
from blossom.links.rules.codes import LARGEST_NUMBER
from blossom.message_templates.rules import language, linter, opt_out
from blossom.message_templates.rules.catalogue import Trigger
from blossom.messaging import queries as messaging
from blossom.messaging.queries import estimate
from blossom.messaging.rules.caps import Caps
from blossom.platform import clock
from blossom.platform.errors import NotFound
from blossom.platform.languages import noted
from blossom.segments import queries as segments
from blossom.segments.rules import Audience
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.wallet import queries as wallet
from blossom.wallet.errors import InsufficientCredit

NO_AUDIENCE = {
    "code": "no_audience",
    "message": noted("Nobody was chosen to get it."),
    "actionable": noted("Choose everybody, or one segment at least."),
}

NO_RECIPIENTS = {
    "code": "no_recipients",
    "message": noted("Nobody in this audience has opted in and has a phone number."),
    "actionable": noted("Choose another audience, or gather consent first."),
}

SEGMENT_GONE = {
    "code": "segment_gone",
    "message": noted("A segment of its audience is no more."),
    "actionable": noted("Choose the audience again."),
}

NO_PRICES = {
    "code": "no_prices",
    "message": noted("No prices have been set yet, so nothing can be sent."),
    "actionable": noted("Tell whoever runs Blossom for you."),
}

TOO_MANY_LINKS = {
    "code": "too_many_links",
    "message": noted("All texts together shorten more than %(most)s links.", most=LARGEST_NUMBER),
    "actionable": noted("Take some links away; each text has links of its own, so that clicks tell which text it was."),
}


def source_of(shop: Shop, body: str) -> str:
    """The text as it is sent: with the shop's opt-out line where it has no way out of its own."""
    line = opt_out.line_of(shop.opt_out_text, shop.stop_keywords)
    return opt_out.with_opt_out(body, line, keywords=shop.stop_keywords)


def test_of(campaign: Campaign) -> AbTest | None:
    return AbTest.from_json(campaign.ab_test) if campaign.ab_test else None


def body_of(campaign: Campaign, number: int) -> str:
    """Its text of this number, 0 being its own (A). Raises `NotFound`."""
    test = test_of(campaign)
    bodies = test.bodies(campaign.body) if test else (campaign.body,)
    if number >= len(bodies):
        raise NotFound("text")
    return bodies[number]


def sources_of(shop: Shop, campaign: Campaign) -> list[str]:
    """All texts that it tests as they are sent, the campaign's own first; mostly there is no other."""
    test = test_of(campaign)
    return [source_of(shop, body) for body in (test.bodies(campaign.body) if test else (campaign.body,))]


def audience_of(campaign: Campaign) -> Audience | None:
    return Audience.from_json(campaign.audience) if campaign.audience else None


def check_text(shop: Shop, campaign: Campaign) -> None:
    """Raise `CannotSend` for what is wrong at any hour: faults of the text, nobody chosen, and no prices."""
    if reasons := text_reasons(shop, campaign):
        raise errors.CannotSend(reasons)


def text_reasons(shop: Shop, campaign: Campaign) -> list[dict[str, Any]]:
    """What is wrong with the campaign at any hour. Of several texts, `text` is the letter of the one at fault."""
    reasons = faults_of_texts(shop, campaign.body, test_of(campaign))
    audience = audience_of(campaign)
    if audience is None:
        reasons.append(NO_AUDIENCE)
    elif not names_known_segments(shop.id, audience):
        reasons.append(SEGMENT_GONE)
    else:
        reasons += shopify_segments.reasons_against(shopify_segments.readings_of(shop.id, audience))
    return reasons + price_reasons(shop.id)


def price_reasons(shop_id: int) -> list[dict[str, Any]]:
    """Without a price nothing can be paid for, so nothing is sent."""
    return [] if wallet.price_list_if_any(shop_id, clock.now()) else [NO_PRICES]


def faults_of_texts(shop: Shop, body: str, test: AbTest | None) -> list[dict[str, Any]]:
    """The same of all texts of a test, each fault with the letter of its text (`text`) and, in words, of which."""
    if test is None:
        return faults_of_text(shop, body)
    reasons = [
        {**fault, "text": letter, "message": noted("Text %(letter)s: %(fault)s", letter=letter, fault=fault["message"])}
        for letter, each in zip(test.letters, test.bodies(body), strict=True)
        for fault in faults_of_text(shop, each)
    ]
    links = 0 if reasons else sum(len(_compiled(shop, each).links) for each in test.bodies(body))
    return [*reasons, TOO_MANY_LINKS] if links > LARGEST_NUMBER else reasons


def _compiled(shop: Shop, body: str) -> language.CompiledText:
    return language.compile_text(source_of(shop, body), Trigger.CAMPAIGN)


def faults_of_text(shop: Shop, body: str) -> list[dict[str, Any]]:
    """What the linter calls an error, with line and column."""
    found = linter.lint(
        body,
        Trigger.CAMPAIGN,
        opt_out_line=shop.opt_out_text,
        keywords=shop.stop_keywords,
        site=shops.proxy_address(shop.id),
    )
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


def preview(shop: Shop, campaign: Campaign, schedule: Schedule | None = None) -> messaging.Preview:
    """What sending it now, or at its hour, would reach and cost. The campaign has an audience and a sound text.

    `schedule`: the hour that a draft is meant for (`planning.planned`).
    """
    audience = audience_of(campaign)
    hour = schedule or planning.schedule_of(campaign)
    assert audience is not None, "callers ask text_reasons() first"
    test = test_of(campaign)
    source, *others = sources_of(shop, campaign)
    return messaging.preview(
        shop.id,
        audience,
        source,
        shop.sender,
        others=others,
        shares=test.shares if test else (),
        not_before=hour.scheduled_at if hour else None,
        local_at=hour.local_at if hour else None,
        now=clock.now(),
    )


def check_sendable(shop: Shop, campaign: Campaign) -> None:
    """Raise `CannotSend`, or `InsufficientCredit` when only credits are missing.

    Counts the audience once, where the preview reads it four times: the click must be answered within a second,
    whatever its size. One that Shopify is to be asked about first is counted when its audience is fixed.
    """
    check_text(shop, campaign)
    audience = audience_of(campaign)
    assert audience is not None, "check_text() has seen to it"
    if shopify_segments.is_stale(shop.id, audience):
        return
    texts = [language.compile_text(source, Trigger.CAMPAIGN) for source in sources_of(shop, campaign)]
    values = estimate.same_for_all(shop, texts, shop.sender)
    prices = wallet.price_list_at(shop.id, clock.now())
    expected = estimate.estimate_costs(shop.id, audience, texts, values, prices)
    if expected.recipients == 0:
        raise errors.CannotSend([NO_RECIPIENTS])
    available = wallet.balance_if_any(shop.id).available
    if expected.credits > available:  # as the preview has it: people who reached a cap will cost nothing
        capped = estimate.capped(shop.id, Caps(shop.daily_cap, shop.weekly_cap), clock.now())
        expected = estimate.estimate_costs(shop.id, audience, texts, values, prices, capped)
    if expected.credits > available:
        raise InsufficientCredit(expected.credits, available)
