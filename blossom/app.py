"""The composition root: configuration, extensions, blueprints, request handling and error pages."""

from __future__ import annotations

import time
from typing import Any

import structlog
from flask import Blueprint, Flask, Response, g, make_response, request
from htmx_flask import Htmx
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoFreeConnection
from werkzeug.exceptions import HTTPException

from blossom.admin import errors as admin_errors
from blossom.admin import service as admin
from blossom.admin import views as admin_views
from blossom.campaigns import api as campaigns_api
from blossom.campaigns import views as campaigns_views
from blossom.credits import views as credits_views
from blossom.dashboard import views as dashboard_views
from blossom.home import views as home_views
from blossom.inbound import api as inbound_api
from blossom.inbound import views as inbound_views
from blossom.message_templates import api as templates_api
from blossom.message_templates import views as templates_views
from blossom.people import views as people_views
from blossom.platform import api, assets, crypto, db, health, logs, pages, queue, typed
from blossom.platform import config as config_module
from blossom.platform.config import Config
from blossom.platform.errors import BlossomError
from blossom.platform.languages import noted
from blossom.segments import api as segments_api
from blossom.shops import service as shops
from blossom.storefront import views as storefront_views
from blossom.uploads import views as uploads_views

log = structlog.get_logger()

MAX_BODY_BYTES = 8 * 1024 * 1024

APIS: tuple[api.Api, ...] = (campaigns_api.api, segments_api.api, templates_api.api)
"""The JSON routes, by domain."""

VIEWS: tuple[Blueprint, ...] = (
    home_views.views,
    dashboard_views.views,
    people_views.views,
    uploads_views.views,
    campaigns_views.views,
    templates_views.views,
    credits_views.views,
    inbound_views.views,
)
"""The merchant's pages, by domain: each needs a session of the admin's, or a pass."""


def create_app(config: Config | None = None) -> Flask:
    """The WSGI application. Without `config`, settings come from the environment.

    `config.database_url` and `config.redis_url` must be filled in: who starts a process without them
    (`blossom.surroundings`) starts the embedded servers first.
    """
    config = config or Config.from_environment()
    config_module.use(config)
    logs.configure(config.log_level)
    app = Flask("blossom", root_path=None, template_folder="../templates", static_folder="../static")
    app.config.update(
        BLOSSOM=config,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=db.engine_options(config),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
    )
    assets.init(app)
    db.db.init_app(app)
    Htmx(app)
    app.request_class = typed.Request  # Htmx sets one of its own
    crypto.init(config.master_keys)
    queue.init(str(config.redis_url))
    _handle_requests(app)
    pages.init(app)
    health.init(app)
    api.init(app, APIS, authenticate)
    inbound_api.init(app)
    app.register_blueprint(admin_views.views)
    app.register_blueprint(storefront_views.views)
    for views in VIEWS:
        app.register_blueprint(views)
    admin_views.init(app, frozenset(views.name for views in VIEWS))
    return app


def authenticate(credential: str) -> api.Principal | None:
    """Who stands behind a bearer credential of the JSON API: an API key, or a session token of the admin's frame."""
    return admin.authenticate(config_module.current(), credential) or shops.authenticate_api_key(credential)


def _handle_requests(app: Flask) -> None:
    @app.before_request
    def _begin() -> None:
        g.request_id = logs.begin(request.headers.get("X-Request-Id"))
        g.began_at = time.perf_counter()
        pages.begin()

    @app.after_request
    def _end(response: Response) -> Response:
        db.end_request(response.status_code)
        response.headers["X-Request-Id"] = g.get("request_id") or ""
        _note_request(response)
        return response

    app.register_error_handler(BlossomError, _render_error)
    app.register_error_handler(HTTPException, _render_http_error)
    app.register_error_handler(OperationalError, _render_outage)
    app.register_error_handler(NoFreeConnection, _render_outage)
    app.register_error_handler(Exception, _render_fault)


def _note_request(response: Response) -> None:
    """A line a request: the route, not the address, which may name a person; probes say nothing."""
    if request.endpoint in ("healthz", "readyz"):
        return
    log.info(
        "request",
        method=request.method,
        route=request.url_rule.rule if request.url_rule else None,
        status=response.status_code,
        milliseconds=round((time.perf_counter() - g.get("began_at", time.perf_counter())) * 1000, 1),
    )


def _render_error(error: BlossomError) -> Any:
    headers = {"Cache-Control": "no-store", **error.headers}
    if pages.wanted():
        return pages.error(error, headers)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
        if config_module.current().shopify_api_key:
            headers[admin_errors.RETRY] = "1"  # a script in the frame: App Bridge calls again with a new token
    if "retry_after_seconds" in error.details:
        headers["Retry-After"] = str(error.details["retry_after_seconds"])
    return error.as_json(g.get("request_id")), error.status, headers


_HTTP_ERRORS = {
    404: (
        noted("There is nothing at this address."),
        noted("Check the address; the API's are listed at /api/openapi.json."),
    ),
    405: (noted("This address does not take that method."), noted("Use one of those that the header Allow names.")),
    413: (
        noted(
            "The request is too large: it may have %(most)s MB at most, and less on some routes.",
            most=MAX_BODY_BYTES // 1024 // 1024,
        ),
        noted("Send less at once."),
    ),
}


def _render_http_error(error: HTTPException) -> Any:
    message, actionable = _HTTP_ERRORS.get(error.code or 500, (error.description or error.name, None))
    fault = BlossomError(
        message, code=error.name.lower().replace(" ", "_"), status=error.code or 500, actionable=actionable
    )
    response = make_response(_render_error(fault))
    response.headers.update({name: value for name, value in error.get_headers() if name == "Allow"})
    return response


def _render_outage(error: OperationalError | NoFreeConnection) -> Any:
    """The database is away or gave up waiting, or the pool was empty for long: nothing was kept, so try again."""
    cause = error.orig if isinstance(error, OperationalError) else error
    log.warning("request.no_database", error=type(cause).__name__)
    return _render_error(
        BlossomError(
            noted("We can't reach our database at the moment."),
            code="unavailable",
            status=503,
            details={"retry_after_seconds": RETRY_AFTER_SECONDS},
            actionable=noted("Nothing was changed. Try again in a few seconds."),
        )
    )


RETRY_AFTER_SECONDS = 5


def _render_fault(error: Exception) -> Any:
    log.exception("request.failed", error=type(error).__name__)
    return _render_error(
        BlossomError(
            noted("Something broke on our side."),
            code="internal_error",
            status=500,
            actionable=noted("Try again; if it stays, tell us the request id."),
        )
    )
