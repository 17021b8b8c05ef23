"""shopify.app.toml says what the code expects of Shopify."""

from __future__ import annotations

import tomllib
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask

from blossom.inbound.rules import webhooks as rules
from blossom.platform.config import Config
from tests.architecture.tree import ROOT


@pytest.fixture(scope="module")
def configuration() -> dict[str, Any]:
    return tomllib.loads((ROOT / "shopify.app.toml").read_text())


def subscribed(configuration: dict[str, Any], kind: str) -> list[str]:
    return [topic for each in configuration["webhooks"]["subscriptions"] for topic in each.get(kind, [])]


def test_every_topic_of_ours_is_subscribed_to_once(configuration: dict[str, Any]) -> None:
    assert sorted(subscribed(configuration, "topics")) == sorted(rules.SUBSCRIBED)
    assert sorted(subscribed(configuration, "compliance_topics")) == sorted(rules.COMPLIANCE)


def test_scopes_and_version_are_those_of_the_settings(configuration: dict[str, Any]) -> None:
    assert tuple(configuration["access_scopes"]["scopes"].split(",")) == Config().shopify_scopes
    assert configuration["webhooks"]["api_version"] == Config().shopify_api_version
    assert configuration["access_scopes"]["use_legacy_install_flow"] is False
    assert configuration["embedded"] is True


def test_each_topic_may_be_heard_with_the_scopes_that_are_asked_for(configuration: dict[str, Any]) -> None:
    """Shopify refuses to deploy a subscription to a topic whose scope the app doesn't ask for."""
    asked_for = set(configuration["access_scopes"]["scopes"].split(","))
    unheard = {topic: scope for topic, scope in rules.NEEDED_SCOPE.items() if scope and scope not in asked_for}
    assert unheard == {}
    assert rules.NEEDED_SCOPE["customers/merge"] == "read_customer_merge"


def test_every_address_is_one_of_the_app_s_own(configuration: dict[str, Any], app: Flask) -> None:
    base = configuration["application_url"]
    (redirect,) = configuration["auth"]["redirect_urls"]
    proxy = configuration["app_proxy"]["url"]
    assert redirect.startswith(f"{base}/")
    assert proxy.startswith(f"{base}/")
    routes = app.url_map.bind("")
    paths = {each["uri"] for each in configuration["webhooks"]["subscriptions"]}
    assert [routes.match(path, method="POST")[0] for path in paths] == ["shopify_webhooks.receive_webhook"]
    assert routes.match("/", method="GET")
    assert routes.match(urlsplit(redirect).path, method="GET")
    assert routes.match(f"{urlsplit(proxy).path}/consent", method="GET")
