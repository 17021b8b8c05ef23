"""Flask routes that check a signature, Mitto's or Shopify's, and do nothing: `gunicorn benchmarks.peers.noop:app`."""

from __future__ import annotations

from flask import Flask, Response, abort, request

from blossom.mitto import signature
from blossom.shopify import signature as shopify_signature

app = Flask(__name__)


@app.post("/noop")
def noop() -> Response:
    if not signature.is_authentic(
        request.get_data(cache=False), request.headers, None, hmac_secrets=("bench-secret",), tokens=()
    ):
        abort(401)
    return Response(b'{"ok":true,"accepted":1,"repeated":0,"refused":[]}', mimetype="application/json")


@app.post("/noop/shopify")
def noop_shopify() -> Response:
    given = request.headers.get("X-Shopify-Hmac-Sha256")
    if not shopify_signature.webhook_is_authentic(request.get_data(cache=False), given, ("bench-secret",)):
        abort(401)
    return Response(b'{"ok":true,"repeated":false}', mimetype="application/json")
