"""A client of the JSON API for tests: every answer, good or bad, is held against the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
from flask import Flask, has_app_context
from werkzeug.test import TestResponse

from blossom.platform import db
from blossom.platform.api import openapi
from blossom.shops import service as shops

ALL_OF_A_SHOP = (
    "campaigns:read",
    "campaigns:write",
    "campaigns:send",
    "templates:read",
    "templates:write",
    "contacts:read",
    "segments:read",
)


class ApiClient:
    """Calls the API with one key. `document` is what the app says that it answers."""

    def __init__(self, app: Flask, key: str | None) -> None:
        self.app = app
        self.http = app.test_client()
        self.key = key
        self.document: dict[str, Any] = app.extensions["blossom_openapi"]().root
        self.routes = {
            (openapi.openapi_path(prefix + route.path), route.method): route
            for route in app.extensions["blossom_api"]
            for prefix in ("/api", "/api/v1")
        }

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, json=json, **options)

    def put(self, path: str, json: Any = None, **options: Any) -> TestResponse:
        return self.call("PUT", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> TestResponse:
        return self.call("DELETE", path, **options)

    def call(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        if options.get("json") is None:
            options.pop("json", None)
        response = self._open(path, method=method, headers=headers, **options)
        self._check(method, path.partition("?")[0], response)
        return response

    def _open(self, path: str, **options: Any) -> TestResponse:
        """Call as from outside: what the test did is committed first, and the request has a session of its own."""
        within_a_test = has_app_context()
        if within_a_test:
            db.session.commit()
        with self.app.app_context():
            response = self.http.open(path, **options)
        if within_a_test:
            db.session.expire_all()
        return response

    def _check(self, method: str, path: str, response: TestResponse) -> None:
        template = self._template(method, path)
        if response.status_code >= 400:
            self._validate({"$ref": "#/components/schemas/ErrorAnswer"}, response.get_json())
            assert response.get_json()["request_id"] == response.headers["X-Request-Id"]
        if template is None:
            assert response.status_code in (404, 405), "only what is not there may be missing from the document"
            return
        operation = self.document["paths"][template][method.lower()]
        assert str(response.status_code) in operation["responses"], (
            f"{method} {path} answered {response.status_code}, which is not in the document: {response.get_data()!r}"
        )
        if response.status_code >= 400:
            code = response.get_json()["code"]
            documented = openapi.errors_of(self.routes[template, method])
            assert documented.get(code) == response.status_code, f"{code} is not in the document of {method} {template}"
            return
        answer = operation["responses"][str(response.status_code)]
        if "content" in answer:
            self._validate(answer["content"]["application/json"]["schema"], response.get_json())
        for name in answer.get("headers", {}):
            assert name in response.headers, f"{method} {path} lacks the header {name}"

    def _template(self, method: str, path: str) -> str | None:
        matching = [
            template
            for template, operations in self.document["paths"].items()
            if method.lower() in operations and re.fullmatch(re.sub(r"\{\w+\}", r"[1-9][0-9]{0,17}", template), path)
        ]
        assert len(matching) <= 1
        return matching[0] if matching else None

    def _validate(self, schema: dict[str, Any], answer: Any) -> None:
        validator = jsonschema.Draft202012Validator(
            {**schema, "components": self.document["components"]},
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )
        validator.validate(answer)


def client_for(app: Flask, shop_id: int, *scopes: str) -> ApiClient:
    """A client with a new key of the shop that holds `scopes` (all that a merchant can give, if none is named)."""
    _, plain = shops.create_api_key(shop_id, "test", scopes or ALL_OF_A_SHOP)
    return ApiClient(app, plain)
