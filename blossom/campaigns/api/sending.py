"""Campaigns on their way: sent, paused, resumed, cancelled, retried, tried out."""

from __future__ import annotations

from blossom.campaigns import service as campaigns
from blossom.campaigns.api.examples import STATUS
from blossom.campaigns.api.rendering import status_answer
from blossom.campaigns.api.routes import api
from blossom.campaigns.forms.answers import CancelAnswer, RetryAnswer, StatusAnswer, TestSendAnswer
from blossom.campaigns.forms.inputs import RetryInput, RetryUnconfirmedInput, TestSendInput, WinnerInput
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import LETTERS
from blossom.campaigns.rules.trials import MOST_TESTED_A_DAY
from blossom.messaging.service import RetryOutcome
from blossom.platform.api import Principal

_INVALID = {"invalid_status": 409}
_UNPAID = {"insufficient_credit": 402}
_UNFIT = {"cannot_send": 422}
_RETRY = _INVALID | _UNPAID | {"nothing_sent": 409, "nothing_to_retry": 409}


@api.post(
    "/campaigns/<int:campaign_id>/enqueue",
    scope="campaigns:send",
    answer=StatusAnswer,
    summary="Send a campaign now",
    description=(
        "A draft or a planned campaign is sent, a paused one goes on. Of many calls one sends; the others, and later"
        " ones while it is being sent, get the same answer. Too little credit, nobody to send to, or a faulty text:"
        " refused with the reasons, and nothing is changed."
    ),
    errors=_INVALID | _UNPAID | _UNFIT,
    answer_example=STATUS,
)
def enqueue_campaign(caller: Principal, campaign_id: int) -> StatusAnswer:
    return status_answer(campaigns.enqueue_campaign(caller.shop_id, campaign_id, actor=caller.actor))


@api.post(
    "/campaigns/<int:campaign_id>/pause",
    scope="campaigns:send",
    answer=StatusAnswer,
    summary="Stop before the next batch",
    errors=_INVALID,
)
def pause_campaign(caller: Principal, campaign_id: int) -> StatusAnswer:
    return status_answer(campaigns.pause_campaign(caller.shop_id, campaign_id, actor=caller.actor))


@api.post(
    "/campaigns/<int:campaign_id>/resume",
    scope="campaigns:send",
    answer=StatusAnswer,
    summary="Go on where it stopped",
    errors=_INVALID,
)
def resume_campaign(caller: Principal, campaign_id: int) -> StatusAnswer:
    return status_answer(campaigns.resume_campaign(caller.shop_id, campaign_id, actor=caller.actor))


@api.post(
    "/campaigns/<int:campaign_id>/cancel",
    scope="campaigns:send",
    answer=CancelAnswer,
    summary="End a campaign",
    description="What has not left never leaves, and its credits are free. What has left has left.",
    errors=_INVALID,
)
def cancel_campaign(caller: Principal, campaign_id: int) -> CancelAnswer:
    campaign, outcome = campaigns.cancel_campaign(caller.shop_id, campaign_id, actor=caller.actor)
    return CancelAnswer(
        **dict(status_answer(campaign)),
        left=outcome.left,
        cancelled=outcome.cancelled,
        in_flight=outcome.in_flight,
        released_credits=outcome.released_credits,
    )


@api.post(
    "/campaigns/<int:campaign_id>/winner",
    scope="campaigns:send",
    body=WinnerInput,
    answer=StatusAnswer,
    summary="Choose the text that the rest gets",
    description=(
        "Of a campaign that tests texts, at any time before a winner is known; who waited is texted at once. The first"
        " choice holds: the same again changes nothing, another is refused. While it is paused, nobody is texted before"
        " it goes on."
    ),
    errors=_INVALID | _UNPAID | {"nothing_to_choose": 409},
    body_example={"text": "B"},
    answer_example=STATUS,
)
def choose_winner(caller: Principal, campaign_id: int, body: WinnerInput) -> StatusAnswer:
    number = LETTERS.index(body.text)
    return status_answer(campaigns.choose_winner(caller.shop_id, campaign_id, number, actor=caller.actor))


@api.post(
    "/campaigns/<int:campaign_id>/retry-failed",
    scope="campaigns:send",
    body=RetryInput,
    answer=RetryAnswer,
    summary="Send failed messages again",
    description="Never the delivered, never who opted out.",
    errors=_RETRY,
)
def retry_failed(caller: Principal, campaign_id: int, body: RetryInput) -> RetryAnswer:
    return _retried(*campaigns.retry_failed(caller.shop_id, campaign_id, body.message_ids, actor=caller.actor))


@api.post(
    "/campaigns/<int:campaign_id>/retry-unconfirmed",
    scope="campaigns:send",
    body=RetryUnconfirmedInput,
    answer=RetryAnswer,
    summary="Send again what nobody knows the outcome of",
    description=(
        "The provider's answer was lost: **some of these people may get the text twice.** Who may have had it by a"
        " receipt that Mitto is being asked about just now is left out (`being_asked_about`): that shows within a"
        " minute, and then the rest can be sent again."
    ),
    errors=_RETRY,
)
def retry_unconfirmed(caller: Principal, campaign_id: int, body: RetryUnconfirmedInput) -> RetryAnswer:
    return _retried(
        *campaigns.retry_unconfirmed(
            caller.shop_id, campaign_id, even_asked_about=body.even_asked_about, actor=caller.actor
        )
    )


@api.post(
    "/campaigns/<int:campaign_id>/test-send",
    scope="campaigns:send",
    body=TestSendInput,
    answer=TestSendAnswer,
    summary="Send the text to numbers of your own",
    description=(
        "Without consent, caps and quiet hours, but never to a number that said STOP. It is paid for."
        f" To {MOST_TESTED_A_DAY} numbers in 24 hours."
    ),
    errors=_UNFIT | _UNPAID | {"invalid_text": 422, "too_many_tests": 429},
    body_example={"phones": ["+306912345678"]},
)
def send_test(caller: Principal, campaign_id: int, body: TestSendInput) -> TestSendAnswer:
    number = LETTERS.index(body.text)
    dispatch = campaigns.send_test(caller.shop_id, campaign_id, body.phones, number=number, actor=caller.actor)
    return TestSendAnswer(dispatch_id=dispatch.id, recipients=dispatch.total)


def _retried(campaign: Campaign, outcome: RetryOutcome) -> RetryAnswer:
    return RetryAnswer(
        **dict(status_answer(campaign)),
        retried=outcome.retried,
        left_out=outcome.left_out,
        credits=outcome.credits,
    )
