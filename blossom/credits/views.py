"""`/wallet`: what a shop has, what texts cost, and where its credits went. `/wallet/cost`: what a text would cost."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from blossom.credits import forms, queries, rules
from blossom.credits.forms import Question
from blossom.credits.rules import Cost, Month
from blossom.platform import htmx, languages, localised, pages
from blossom.platform.access import Principal
from blossom.platform.errors import NotFound
from blossom.platform.languages import t
from blossom.shops import queries as shops
from blossom.wallet import queries as wallets
from blossom.wallet.rules import ANY_COUNTRY

views = Blueprint("credits", __name__)


@views.get("/wallet")
def wallet() -> Response:
    """The page, with the statement of one month: of this one, if none is named. `before`: after that line of it."""
    caller = pages.caller_with("wallet:read")
    asked = request.args.get("month")
    month = Month.read(asked) if asked is not None else None
    if asked is not None and month is None:
        raise NotFound("month")
    question = Question({"text": "", "people": "1000", "country": ""})
    return _page(caller, month, question, None, before=pages.row_asked("before"))


@views.post("/wallet/cost")
def cost() -> Response:
    """The calculator with its answer; or (422) with what is wrong in it. Changes nothing."""
    caller = pages.caller_with("wallet:read")
    prices = queries.prices(caller.shop_id)
    if prices is None:
        raise NotFound("price list")
    question = forms.read_question(request.form, prices.prices)
    answer = None
    if not question.faults:
        answer = rules.cost_of(question.text, question.people, question.country, prices)
    response = _page(caller, None, question, answer)
    response.status_code = 422 if question.faults else 200
    return response


def _page(
    caller: Principal, month: Month | None, question: Question, answer: Cost | None, *, before: int | None = None
) -> Response:
    asked_only = request.method == "POST" and htmx.wants_partial()
    found = None if asked_only else queries.wallet_of(caller.shop_id, month, before)
    prices = found.prices if found else queries.prices(caller.shop_id)
    return htmx.page_or_partial(
        "credits/wallet.html",
        "credits/_cost.html" if asked_only else "credits/_wallet.html",
        shop=shops.get_shop(caller.shop_id),
        wallet=found,
        month_title=localised.month(found.statement.month.first_day(), languages.reader()) if found else None,
        balance=found.balance if found else wallets.balance_if_any(caller.shop_id),
        countries=_countries(prices.prices) if prices else [],
        question=question,
        answer=answer,
    )


def _countries(prices: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """Each price: the country's letters, its name to the reader, credits a part; all others at the end."""
    named = [(code, languages.country(code), price) for code, price in prices.items() if code != ANY_COUNTRY]
    others = (ANY_COUNTRY, t("All other countries"), prices[ANY_COUNTRY])
    return [*sorted(named, key=lambda each: each[1].casefold()), others]
