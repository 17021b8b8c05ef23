"""A Flask route that checks a signature and does nothing: `gunicorn benchmarks.peers.noop:app`."""

from __future__ import annotations

from flask import Flask, Response, abort, request

from blossom.mitto import signature

app = Flask(__name__)


@app.post("/noop")
def noop() -> Response:
    if not signature.is_authentic(
        request.get_data(cache=False), request.headers, None, hmac_secrets=("bench-secret",), tokens=()
    ):
        abort(401)
    return Response(b'{"ok":true,"accepted":1,"repeated":0,"refused":[]}', mimetype="application/json")
