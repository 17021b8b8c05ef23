"""Shopify's webhooks, all topics at one address: form and signature judged, stored, acknowledged.

`ShopifyIngress` stands before the app and takes what most of them are; the route takes all, and is the one place that
refuses. Neither reads what the body says: that is a job's, after the 200.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from flask import Blueprint, Flask, Response, request
from sqlalchemy import exc

from blossom.inbound import errors
from blossom.inbound import service as inbound
from blossom.inbound.api import ingress, routes
from blossom.inbound.rules import webhooks as rules
from blossom.inbound.rules.webhooks import Envelope
from blossom.messaging.errors import NotStored
from blossom.platform import config
from blossom.platform.api import read_whole
from blossom.shopify import signature

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

blueprint = Blueprint("shopify_webhooks", __name__)

PATH = "/webhooks/shopify"

MAX_BODY_BYTES = 5_000_000
"""A product with two thousand variants is the largest that Shopify sends."""

_ANSWERS = {False: b'{"ok":true,"repeated":true}', True: b'{"ok":true,"repeated":false}'}


@blueprint.post(PATH)
def receive_webhook() -> Response:
    """One webhook. 200 once it is stored, whatever is to be done about it."""
    settings = config.current()
    if not settings.shopify_api_secrets:
        raise errors.NoShopify
    envelope = rules.envelope(request.headers)
    body = read_whole(request, MAX_BODY_BYTES)
    if not signature.webhook_is_authentic(body, request.headers.get(rules.HMAC_HEADER), settings.shopify_api_secrets):
        raise errors.NotFromShopify
    try:
        was_new = _accepted(envelope, body)
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, NotStored) as error:
        log.warning("webhook.not_stored", error=type(error.__cause__ or error).__name__)
        raise errors.TryAgain from None
    return Response(_ANSWERS[was_new], mimetype="application/json")


def _accepted(envelope: Envelope, body: bytes) -> bool:
    fault: Exception | None = request.environ.get(routes.FAULT)
    if fault is not None:
        raise fault
    return inbound.accept_webhook(envelope, body)


class ShopifyIngress:
    """To be put before `app.wsgi_app`; needs the database and the settings of `app`."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._next: WSGIApplication = app.wsgi_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST":
            return self._next(environ, start_response)
        began_at = time.perf_counter()
        webhook = _authentic(environ)
        if webhook is None:
            return self._next(environ, start_response)
        try:
            with self._app.app_context():
                was_new = inbound.accept_webhook(*webhook)
        except Exception as fault:
            environ[routes.FAULT] = fault
            return self._next(environ, start_response)
        headers, body = ingress.answer(environ, PATH, _ANSWERS[was_new], began_at)
        start_response("200 OK", headers)
        return [body]


def _authentic(environ: WSGIEnvironment) -> tuple[Envelope, bytes] | None:
    """What a whole and well-formed request of Shopify's brings; None for anything else."""
    secrets = config.current().shopify_api_secrets
    if not secrets:
        return None
    headers = ingress.Headers(environ)
    try:
        envelope = rules.envelope(headers)
    except errors.OddHeader:
        return None
    body = ingress.whole_body(environ, MAX_BODY_BYTES)
    if body is None:
        return None
    is_authentic = signature.webhook_is_authentic(body, headers.get(rules.HMAC_HEADER), secrets)
    return (envelope, body) if is_authentic else None
