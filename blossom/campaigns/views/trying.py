"""A text is tried on the merchant's own numbers, from the compose page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, make_response, render_template

from blossom.campaigns import service
from blossom.campaigns.forms import composing as forms
from blossom.campaigns.forms.composing import ComposeForm
from blossom.campaigns.rules.ab_test import LETTERS
from blossom.platform import clock
from blossom.platform.access import Principal
from blossom.platform.errors import BlossomError, InvalidInput
from blossom.platform.languages import noted
from blossom.shops.models import Shop


def send(caller: Principal, campaign_id: int, form: ComposeForm) -> dict[str, Any]:
    """Send what is typed to the merchant's own numbers: what came of it, in words."""
    if not form.numbers:
        return {"fault": noted("Give a number of your own to send it to.")}
    if len(form.numbers) > forms.MOST_PHONES:
        return {"fault": noted("Give %(most)s numbers at most.", most=forms.MOST_PHONES)}
    if form.trying >= form.several.number:
        return {"fault": noted("There is no text %(letter)s to try.", letter=LETTERS[form.trying])}
    body = form.several.bodies[form.trying]
    try:
        sent = service.send_test(caller.shop_id, campaign_id, form.numbers, body=body, actor=caller.actor)
    except InvalidInput as refused:
        (field, fault), *_ = refused.details["fields"].items()
        number = form.numbers[int(field.removeprefix("phones."))]
        return {"fault": noted("“%(number)s”: %(fault)s", number=number, fault=fault)}
    except BlossomError as refused:
        if refused.status >= 500:
            raise
        return {"fault": refused.message, "actionable": refused.actionable}
    return {"sent": sent.total, "at": clock.now()}


def answer(shop: Shop, tried: Mapping[str, Any]) -> Response:
    """What came of a test, and nothing else: what is typed over a planned campaign stays unsaved."""
    response = make_response(render_template("campaigns/_tried.html", shop=shop, tried=tried))
    response.headers["HX-Retarget"] = "#tried"
    response.headers["HX-Reswap"] = "outerHTML"
    response.headers["Cache-Control"] = "no-store"
    return response
