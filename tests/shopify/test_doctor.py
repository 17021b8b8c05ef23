"""`blossom doctor`: an app that is set up passes; each thing that is not says what to do about it."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from blossom import cli, doctor
from blossom.platform.config import Config

SETTINGS = Config(
    environment="production",
    app_url="https://app.blossom.example",
    shopify_api_key="our-client-id",
    shopify_api_secrets=("hush",),
)


@pytest.fixture
def document() -> dict[str, Any]:
    """The repository's own file, with the example's values replaced as README has it."""
    text = doctor.DEFAULT_FILE.read_text().replace("https://blossom.example.com", SETTINGS.app_url)
    return tomllib.loads(text) | {"client_id": "our-client-id"}


def missing(settings: Config, document: dict[str, Any]) -> list[str]:
    return [finding.what for finding in doctor.examine(settings, document) if finding.remedy]


def test_an_app_that_is_set_up_lacks_nothing(document: dict[str, Any]) -> None:
    assert missing(SETTINGS, document) == []
    assert missing(SETTINGS, document | {"application_url": f"{SETTINGS.app_url}/"}) == []


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"shopify_api_key": "", "shopify_api_secrets": ()}, ["client id and secret"]),
        ({"shopify_api_key": "another"}, ["client_id"]),
        ({"environment": "development"}, ["settings of production"]),
        ({"shopify_api_version": "2027-01"}, ["webhooks.api_version"]),
        ({"shopify_scopes": ("read_orders",)}, ["access scopes"]),
        ({"app_url": "https://b.example"}, ["application_url", "auth.redirect_urls", "app_proxy.url"]),
        (
            {"app_url": "http://127.0.0.1:5000"},
            ["BLOSSOM_URL", "application_url", "auth.redirect_urls", "app_proxy.url"],
        ),
    ],
)
def test_a_setting_that_differs_is_named(document: dict[str, Any], settings: dict[str, Any], what: list[str]) -> None:
    assert missing(replace(SETTINGS, **settings), document) == what


CHANGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda file: file.update(client_id="0123456789abcdef0123456789abcdef"), "client_id"),
    (lambda file: file.pop("client_id"), "client_id"),
    (lambda file: file.update(embedded=False), "the app is embedded"),
    (lambda file: file["access_scopes"].update(use_legacy_install_flow=True), "Shopify itself installs the app"),
    (lambda file: file["auth"].update(redirect_urls=["https://app.blossom.example/other"]), "auth.redirect_urls"),
    (lambda file: file["auth"].update(redirect_urls=7), "auth.redirect_urls"),
    (lambda file: file["app_proxy"].pop("subpath"), "app_proxy.prefix and subpath"),
    (lambda file: file["access_scopes"].update(scopes="read_orders,read_all_orders"), "access scopes"),
    (
        lambda file: file["access_scopes"].update(scopes="read_customers,read_orders"),
        "scopes of the webhooks' topics",
    ),
    (lambda file: file["webhooks"]["subscriptions"][0]["topics"].remove("app/uninstalled"), "webhooks' topics"),
    (lambda file: file["webhooks"]["subscriptions"][0].update(uri="https://elsewhere.example"), "webhooks' topics"),
    (lambda file: file["webhooks"]["subscriptions"].pop(), "webhooks' compliance_topics"),
    (lambda file: file["webhooks"].update(subscriptions="all"), "webhooks' compliance_topics"),
]


@pytest.mark.parametrize(("change", "what"), CHANGES)
def test_a_file_that_differs_is_named(
    document: dict[str, Any], change: Callable[[dict[str, Any]], object], what: str
) -> None:
    changed = copy.deepcopy(document)
    change(changed)
    assert what in missing(SETTINGS, changed)


ENVIRONMENT = {
    "BLOSSOM_ENV": "development",
    "BLOSSOM_URL": SETTINGS.app_url,
    "SHOPIFY_API_KEY": "our-client-id",
    "SHOPIFY_API_SECRET": "hush-hush",
}


def test_the_command_says_what_to_do_and_shows_no_secret() -> None:
    ended = CliRunner(env=ENVIRONMENT).invoke(cli.main, ["doctor"])
    assert ended.exit_code == 1
    assert "missing  client_id" in ended.output
    assert "BLOSSOM_ENV=production" in ended.output
    assert "ok       access scopes" in ended.output
    assert "hush" not in ended.output


def test_settings_that_cannot_be_read_are_all_named() -> None:
    ended = CliRunner(env={**ENVIRONMENT, "SHOPIFY_API_SECRET": "", "LOG_LEVEL": "loud"}).invoke(cli.main, ["doctor"])
    assert ended.exit_code == 1
    assert "setting LOG_LEVEL" in ended.output
    assert "SHOPIFY_API_SECRET" in ended.output


@pytest.mark.parametrize("content", [None, "= nonsense", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "shopify.app.toml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = CliRunner(env=ENVIRONMENT).invoke(cli.main, ["doctor", "--file", str(file)])
    assert ended.exit_code == 1
    assert "can't be read" in ended.output
