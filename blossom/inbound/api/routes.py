"""Mitto's webhooks: who knocks is proven on the raw bytes, what they bring is stored, and then it is acknowledged.

These routes are not of the JSON API: they have no caller and no scope, and what they take is written by Mitto. What
they do, for whoever registers or debugs one, is told in docs/webhooks.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
import structlog
from flask import Blueprint, Request, Response, request
from sqlalchemy import exc

from blossom.inbound import errors, queries
from blossom.inbound import service as inbound
from blossom.messaging import service as messaging
from blossom.messaging.errors import NotStored
from blossom.mitto import payloads, signature
from blossom.mitto.payloads import ParsedInbound, ParsedReceipts, PayloadError, Unusable
from blossom.platform import config, db
from blossom.platform.api import read_whole

log = structlog.get_logger()

blueprint = Blueprint("mitto_webhooks", __name__, url_prefix="/webhooks/mitto")

MAX_BODY_BYTES = 1_000_000

FAULT = "blossom.fault"
"""In a request's WSGI environment: why the ingress could not store its receipts. The route goes on from there."""

_REFUSED_SHOWN = 20
_NOT_A_PHONE = "the sender is not a phone's number"

T = TypeVar("T")
P = TypeVar("P", ParsedReceipts, ParsedInbound)


@blueprint.route("/dlr", methods=["GET", "POST"])
@blueprint.route("/dlr/<shop_domain>", methods=["GET", "POST"])
def receive_receipts(shop_domain: str | None = None) -> Response:
    """Delivery receipts, one or many; a GET brings one in its query (the classic API)."""
    body = _proven_body(request)
    by_query = request.method != "POST"
    parsed = _parsed(
        lambda: (
            payloads.parse_receipt_query(request.query_string.decode("latin-1"))
            if by_query
            else payloads.parse_receipts(body, request.content_type)
        )
    )
    accepted = _stored(lambda: _accepted(parsed.receipts, _named_shop(shop_domain)))
    return _acknowledged(parsed.refused, accepted=accepted, repeated=len(parsed.receipts) - accepted)


def _accepted(received: Sequence[payloads.Receipt], shop_id: int | None) -> int:
    fault: Exception | None = request.environ.get(FAULT)
    if fault is not None:
        raise fault
    return messaging.accept_receipts(received, shop_id)


@blueprint.post("/inbound")
@blueprint.post("/inbound/<shop_domain>")
def receive_texts(shop_domain: str | None = None) -> Response:
    """Texts that people sent, one or many."""
    body = _proven_body(request)
    parsed = _parsed(lambda: payloads.parse_inbound(body, request.content_type))
    received = _stored(lambda: inbound.receive_texts(parsed.texts, _named_shop(shop_domain)))
    refused = parsed.refused + _no_phones(parsed, received.refused)
    if refused and len(received.refused) == len(parsed.texts):
        raise _unusable(refused)
    return _acknowledged(refused, accepted=received.accepted, repeated=received.repeated, unplaced=received.unplaced)


def _proven_body(request: Request) -> bytes:
    """The raw body, once it is proven. Raises 413 and `Unproven`.

    A GET has no body, so its signature would be the same for every receipt: only a token proves one.
    """
    body = read_whole(request, MAX_BODY_BYTES)
    settings = config.current()
    secrets, tokens = settings.mitto_hmac_secrets, settings.mitto_webhook_tokens
    proven = signature.is_authentic(
        body,
        request.headers,
        request.args.get("token") if request.query_string else None,
        hmac_secrets=secrets if request.method == "POST" else (),
        tokens=tokens,
    )
    if not proven:
        raise errors.Unproven(configured=bool(secrets or tokens))
    return body


def _parsed(parse: Callable[[], P]) -> P:
    """What was sent, if anything of it can be used. Raises `Unreadable`."""
    try:
        parsed = parse()
    except PayloadError as error:
        raise errors.Unreadable(f"Nothing here can be used: {error}.") from None
    usable = parsed.receipts if isinstance(parsed, ParsedReceipts) else parsed.texts
    if parsed.refused and not usable:
        raise _unusable(parsed.refused)
    return parsed


def _unusable(refused: Sequence[Unusable]) -> errors.Unreadable:
    first = refused[0]
    return errors.Unreadable(
        f"Nothing here can be used: at position {first.position}, {first.reason}.", _shown(refused)
    )


def _named_shop(domain: str | None) -> int | None:
    """The id of the shop that the address names, if it names one. Raises `UnknownShop`."""
    domain = domain or (request.args.get("shop") if request.query_string else None)
    if domain is None:
        return None
    shop_id = None if "\0" in domain else queries.shop_id_of(domain.lower())
    if shop_id is None:
        raise errors.UnknownShop
    return shop_id


def _stored(store: Callable[[], T]) -> T:
    """What `store` says, once it is committed: only then may the webhook be acknowledged.

    Raises `TryAgain` when the database is away, so that Mitto repeats.
    """
    try:
        stored = store()
        db.end_request(200)
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, NotStored) as error:
        log.warning("webhook.not_stored", error=type(error.__cause__ or error).__name__)
        raise errors.TryAgain from None
    return stored


def _acknowledged(refused: Sequence[Unusable], **counts: int) -> Response:
    answer: dict[str, Any] = {"ok": True, **counts, "refused": []}
    if refused:
        answer["refused"] = _shown(refused)
        log.warning("webhook.partly_refused", endpoint=request.endpoint, count=len(refused), refused=answer["refused"])
    return Response(orjson.dumps(answer), mimetype="application/json")


def _shown(refused: Sequence[Unusable]) -> list[dict[str, Any]]:
    """The first refused elements, by place and reason; a reason never quotes what was sent."""
    return [{"position": each.position, "reason": each.reason} for each in refused[:_REFUSED_SHOWN]]


def _no_phones(parsed: ParsedInbound, places: Sequence[int]) -> list[Unusable]:
    """Those of the usable texts that came from no phone, at their positions in the body."""
    if not places:
        return []
    unusable = {each.position for each in parsed.refused}
    positions = [place for place in range(len(parsed.texts) + len(unusable)) if place not in unusable]
    return [Unusable(positions[place], _NOT_A_PHONE) for place in places]
