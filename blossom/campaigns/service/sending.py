"""A campaign's way from the click to its end: enqueued, paused, resumed, cancelled, retried, settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import select, update

from blossom.audit import service as audit
from blossom.campaigns import errors, queries
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules import trials
from blossom.campaigns.rules.ab_test import LETTERS
from blossom.campaigns.rules.states import REPEATED, Action, CampaignState, allowed_from
from blossom.campaigns.service import fitness
from blossom.campaigns.service.locking import fold, lock, require
from blossom.messaging import service as messaging
from blossom.messaging.errors import InvalidDispatchState
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchKind
from blossom.platform import clock
from blossom.platform.db import lock_for_transaction, session
from blossom.platform.errors import BlossomError
from blossom.shops import queries as shops
from blossom.shops import service as shop_service
from blossom.shops.errors import ShopLeft

log = structlog.get_logger()

ON_CHANGE = "campaigns.settle"
"""The job that messaging calls when a dispatch of ours changes its state."""


def enqueue_campaign(shop_id: int, campaign_id: int, *, judged: bool = False, actor: str) -> Campaign:
    """Send a campaign now, whatever it was planned for; a paused one goes on where it stopped.

    `judged`: the caller, who holds the campaign's row, has just seen that it is fit to be sent (`confirming`).

    One of many concurrent calls claims it; the others, and later ones while it is being sent, get the same campaign
    with the same dispatch. Raises `NotFound`, `InvalidStatus`; `CannotSend`, `InsufficientCredit`, `ShopLeft` change
    nothing.
    """
    with session.begin_nested():  # a refusal undoes the claim, whoever catches it
        claimed = _claim(shop_id, campaign_id)
        if claimed is not None:
            claimed.schedule_kind = claimed.scheduled_at = claimed.local_at = claimed.due_at = None
            _start(claimed, actor, judged=judged)
            return claimed
    campaign = lock(shop_id, campaign_id)
    if campaign.state is CampaignState.PAUSED:
        return resume_campaign(shop_id, campaign_id, actor=actor)
    if campaign.state is REPEATED[Action.ENQUEUE]:
        return campaign
    raise errors.InvalidStatus(Action.ENQUEUE.value, campaign.state.value, allowed_from(Action.ENQUEUE))


def _claim(shop_id: int, campaign_id: int) -> Campaign | None:
    """Take a draft or planned campaign to `sending`: the row is ours, or somebody else's already (None).

    A concurrent claim is waited for; if it is undone, this one goes on.
    """
    claimed = session.execute(
        update(Campaign)
        .where(
            Campaign.shop_id == shop_id,
            Campaign.id == campaign_id,
            Campaign.stored_state.in_([CampaignState.DRAFT.value, CampaignState.SCHEDULED.value]),
        )
        .values(stored_state=CampaignState.SENDING.value, started_at=clock.now())
        .returning(Campaign.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return lock(shop_id, campaign_id) if claimed else None


def _start(campaign: Campaign, actor: str, *, judged: bool = False) -> Dispatch:
    """Hand a claimed campaign to messaging, if it is fit to be sent."""
    shop_service.require_installed(campaign.shop_id)
    shop = shops.get_shop(campaign.shop_id)
    if not judged:
        fitness.check_sendable(shop, campaign)
    audience = fitness.audience_of(campaign)
    assert audience is not None
    test = fitness.test_of(campaign)
    source, *others = fitness.sources_of(shop, campaign)
    dispatch = messaging.start_dispatch(
        messaging.DispatchPlan(
            shop_id=shop.id,
            kind=DispatchKind.CAMPAIGN,
            audience=audience,
            source=source,
            others=others,
            shares=test.shares if test else (),
            decide_after=test.after if test else None,
            sender=shop.sender,
            priority=campaign.priority,
            not_before=campaign.scheduled_at,
            local_at=campaign.local_at,
            on_change=ON_CHANGE,
        )
    )
    campaign.dispatch_id = dispatch.id
    session.flush()
    _note(campaign, "enqueued", actor, dispatch_id=dispatch.id)
    return dispatch


def enqueue_due_campaign(shop_id: int, campaign_id: int, now: datetime) -> Campaign | None:
    """Send a planned campaign whose hour has come; None when it is not (or no longer) due, or its shop has just left:
    then it is about to be a draft again.

    One that can't be sent fails, with the reason for its merchant to read.
    """
    campaign = lock(shop_id, campaign_id)
    if campaign.state is not CampaignState.SCHEDULED or campaign.due_at is None or campaign.due_at > now:
        return None
    try:
        with session.begin_nested():
            claimed = _claim(shop_id, campaign_id)
            assert claimed is not None, "it is locked, and planned"
            _start(claimed, "system")
            return claimed
    except ShopLeft:
        return None
    except BlossomError as error:
        campaign = lock(shop_id, campaign_id)
        require(campaign, Action.FAIL)
        campaign.stored_state = CampaignState.FAILED.value
        campaign.finished_at = now
        campaign.failure_code, campaign.failure_text = error.code, error.message
        session.flush()
        log.warning("campaigns.due_but_unfit", shop_id=shop_id, campaign_id=campaign_id, code=error.code)
        _note(campaign, "failed", "system", code=error.code)
        return campaign


def pause_campaign(shop_id: int, campaign_id: int, *, actor: str) -> Campaign:
    """Stop before the next batch; what is in a call ends by itself. A paused one stays as it is.

    Raises `NotFound`, `InvalidStatus`.
    """
    return _switch(shop_id, campaign_id, Action.PAUSE, messaging.pause_dispatch, actor)


def resume_campaign(shop_id: int, campaign_id: int, *, actor: str) -> Campaign:
    """Go on where it stopped; one that is being sent stays as it is. Raises `NotFound`, `InvalidStatus`."""
    return _switch(shop_id, campaign_id, Action.RESUME, messaging.resume_dispatch, actor)


def _switch(
    shop_id: int, campaign_id: int, action: Action, switch: Callable[[int, int], Dispatch], actor: str
) -> Campaign:
    campaign = lock(shop_id, campaign_id)
    if campaign.state is REPEATED[action]:
        return campaign
    require(campaign, action)
    switch(shop_id, _dispatch_of(campaign))
    campaign.stored_state = REPEATED[action].value
    campaign.failure_code = campaign.failure_text = None
    session.flush()
    _note(campaign, REPEATED[action].value, actor)
    return campaign


def cancel_campaign(shop_id: int, campaign_id: int, *, actor: str) -> tuple[Campaign, messaging.CancelOutcome]:
    """End a planned, running or paused campaign: what has not left never leaves, and its credits are free.

    Cancelling again changes nothing and tells the same numbers (`released_credits` then is 0).
    Raises `NotFound`, `InvalidStatus`.
    """
    campaign = lock(shop_id, campaign_id)
    repeated = campaign.state is REPEATED[Action.CANCEL]
    if not repeated:
        require(campaign, Action.CANCEL)
    if campaign.dispatch_id is None:
        outcome = messaging.CancelOutcome(left=0, cancelled=0, in_flight=0, released_credits=0)
    else:
        outcome = messaging.cancel_dispatch(shop_id, campaign.dispatch_id)
    if not repeated:
        campaign.stored_state = CampaignState.CANCELLED.value
        campaign.finished_at = clock.now()
        session.flush()
        _note(campaign, "cancelled", actor, left=outcome.left, cancelled=outcome.cancelled)
    return campaign, outcome


def choose_winner(shop_id: int, campaign_id: int, number: int, *, actor: str) -> Campaign:
    """Choose the text (0 is A) that the rest of the audience gets, at any time before a winner is known. The same
    choice again changes nothing.

    Raises `NotFound`, `InvalidStatus` once another was chosen or it is not on its way, messaging's `NothingToChoose`,
    wallet's `InsufficientCredit`.
    """
    campaign = lock(shop_id, campaign_id)
    if campaign.dispatch_id is None:
        require(campaign, Action.CHOOSE_WINNER)
    try:
        with session.begin_nested():
            chosen = messaging.choose_winner(shop_id, _dispatch_of(campaign), number, by=actor)
    except InvalidDispatchState as refused:
        allowed = allowed_from(Action.CHOOSE_WINNER)
        raise errors.InvalidStatus(Action.CHOOSE_WINNER.value, campaign.state.value, allowed) from refused
    if chosen:
        _note(campaign, "winner_chosen", actor, text=LETTERS[number])
    return campaign


def retry_failed(
    shop_id: int, campaign_id: int, message_ids: Sequence[int] | None = None, *, actor: str
) -> tuple[Campaign, messaging.RetryOutcome]:
    """Send again what failed for a passing reason, or of that what the merchant chose by `message_ids`.

    Never the delivered, never who opted out. Raises `NotFound`, `InvalidStatus`, `NothingSent`, messaging's
    `NothingToRetry`, wallet's `InsufficientCredit`.
    """
    chosen = None if message_ids is None else list(message_ids)
    return _retry(shop_id, campaign_id, lambda dispatch: messaging.retry_failed(shop_id, dispatch, chosen), actor)


def retry_unconfirmed(
    shop_id: int, campaign_id: int, *, even_asked_about: bool = False, actor: str
) -> tuple[Campaign, messaging.RetryOutcome]:
    """Send again what nobody knows the outcome of: some people may get the text twice. Not, unless `even_asked_about`,
    what Mitto is being asked about just now. Raises as `retry_failed`."""

    def retry(dispatch_id: int) -> messaging.RetryOutcome:
        return messaging.retry_unconfirmed(shop_id, dispatch_id, even_asked_about=even_asked_about)

    return _retry(shop_id, campaign_id, retry, actor)


def _retry(
    shop_id: int, campaign_id: int, retry: Callable[[int], messaging.RetryOutcome], actor: str
) -> tuple[Campaign, messaging.RetryOutcome]:
    campaign = lock(shop_id, campaign_id)
    require(campaign, Action.RETRY)
    outcome = retry(_dispatch_of(campaign))
    campaign.stored_state = CampaignState.SENDING.value
    campaign.finished_at = campaign.failure_code = campaign.failure_text = None
    session.flush()
    _note(campaign, "retried", actor, retried=outcome.retried)
    return campaign, outcome


def send_test(
    shop_id: int, campaign_id: int, phones: Sequence[str], *, body: str | None = None, number: int = 0, actor: str
) -> Dispatch:
    """Send the campaign's text, as it stands, to numbers of the merchant's own. The campaign stays as it is.

    `body`: another text for it, which is typed and not saved yet. `number`: which of several texts (0 is A).

    Raises `NotFound`, also for a text that it does not have; `CannotSend` for a faulty text, or without
    prices; `TooManyTests`; messaging's and wallet's refusals.
    """
    campaign = queries.get_campaign(shop_id, campaign_id)
    shop = shops.get_shop(shop_id)
    text = fitness.body_of(campaign, number) if body is None else body
    if reasons := fitness.faults_of_text(shop, text) + fitness.price_reasons(shop_id):
        raise errors.CannotSend(reasons)
    _check_tests_left(shop_id, len(phones))
    dispatch = messaging.send_test(
        messaging.Trial(shop_id=shop_id, source=fitness.source_of(shop, text), sender=shop.sender, phones=phones)
    )
    _note(campaign, "tested", actor, dispatch_id=dispatch.id, numbers=len(phones))
    return dispatch


def _check_tests_left(shop_id: int, numbers: int) -> None:
    """Test texts ask for nobody's consent, so that their number is bound. Raises `TooManyTests`."""
    lock_for_transaction("campaigns.test_sends", shop_id % 2**31)  # of two at once the second counts the first's
    now = clock.now()
    tested = queries.tested_since(shop_id, now - trials.A_DAY)
    left = trials.left([count for _, count in tested])
    if numbers > left:
        raise errors.TooManyTests(trials.MOST_TESTED_A_DAY, left, trials.seconds_until(numbers, tested, now))


def settle(shop_id: int, dispatch_id: int) -> bool:
    """Take over into its campaign what a dispatch came to. Whether that changed anything; any number of times."""
    campaign: Campaign | None = session.scalars(
        select(Campaign)
        .where(Campaign.shop_id == shop_id, Campaign.dispatch_id == dispatch_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if campaign is None or not fold(campaign):
        return False
    if campaign.finished_at is not None:
        _note(campaign, campaign.state.value, "system")
    return True


def _dispatch_of(campaign: Campaign) -> int:
    if campaign.dispatch_id is None:
        raise errors.NothingSent()
    return campaign.dispatch_id


def _note(campaign: Campaign, deed: str, actor: str, **details: Any) -> None:
    audit.record(
        campaign.shop_id,
        f"campaigns.{deed}",
        actor=actor,
        subject_type="campaign",
        subject_id=campaign.id,
        details=details,
    )
