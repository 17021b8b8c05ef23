"""`blossom doctor`: whether the environment and `shopify.app.toml` are of one app, and what a real store still lacks.

Both say the same things twice: Shopify reads the file, Blossom its environment. Nothing is asked over the network.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from blossom.inbound.rules import webhooks
from blossom.platform.config import Config, ConfigError

DEFAULT_FILE = Path(__file__).resolve().parent.parent / "shopify.app.toml"

_EXAMPLE_ID, _EXAMPLE_HOST = "0123456789abcdef0123456789abcdef", "blossom.example.com"


@dataclass(frozen=True)
class Finding:
    """Something that was looked at. `remedy`: what to do about it; empty if it is as it should be."""

    what: str
    remedy: str = ""


@click.command("doctor")
@click.option("--file", type=click.Path(path_type=Path), default=DEFAULT_FILE, help="Another shopify.app.toml.")
def command(file: Path) -> None:
    """Compare the environment with shopify.app.toml, and say what is missing for a real store."""
    findings = list(examine_all(file))
    for finding in findings:
        click.echo(
            f"missing  {finding.what}\n         {finding.remedy}" if finding.remedy else f"ok       {finding.what}"
        )
    missing = sum(bool(finding.remedy) for finding in findings)
    click.echo(f"\n{missing} to do." if missing else "\nAll is in place.")
    sys.exit(1 if missing else 0)


def examine_all(file: Path) -> Iterator[Finding]:
    """What there is to say; without settings or without the file, only why."""
    try:
        settings = Config.from_environment()
    except ConfigError as error:
        for fault in str(error).splitlines()[1:]:
            name, _, what_is_wrong = fault.removeprefix("- ").partition(": ")
            yield Finding(f"setting {name}", f"It {what_is_wrong}." if what_is_wrong else "Correct it.")
        return
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        yield Finding(file.name, f"It can't be read ({type(error).__name__}): put it back, or name it by --file.")
        return
    yield Finding("settings and shopify.app.toml can be read")
    yield from examine(settings, document)


def examine(settings: Config, document: Mapping[str, Any]) -> Iterator[Finding]:
    """Each thing that settings and the app's configuration must agree on, or that a real store needs."""
    yield from _identity(settings, document)
    yield from _addresses(settings, document)
    yield from _scopes(settings, document)
    yield from _webhooks(settings, document)


def _identity(settings: Config, document: Mapping[str, Any]) -> Iterator[Finding]:
    client_id = document.get("client_id")
    if not settings.shopify_api_key:
        yield Finding(
            "client id and secret", "Set SHOPIFY_API_KEY and SHOPIFY_API_SECRET from Shopify's Dev Dashboard."
        )
    elif client_id in ("", None, _EXAMPLE_ID):
        yield Finding(
            "client_id", "Put the app's own client id into shopify.app.toml: the file still has the example's."
        )
    else:
        yield _same("client_id", client_id, settings.shopify_api_key, "SHOPIFY_API_KEY")
    yield _told(
        "the app is embedded", document.get("embedded") is True, "Set embedded = true: Blossom lives in the admin."
    )
    yield _told(
        "Shopify itself installs the app",
        _table(document, "access_scopes").get("use_legacy_install_flow") is not True,
        "Set access_scopes.use_legacy_install_flow = false, or merchants are not asked for the scopes of the file.",
    )
    yield _told(
        "settings of production",
        settings.environment == "production",
        "Set BLOSSOM_ENV=production, which also demands whatever else such an installation needs.",
    )


def _addresses(settings: Config, document: Mapping[str, Any]) -> Iterator[Finding]:
    app_url = settings.app_url
    if not app_url.startswith("https://") or _EXAMPLE_HOST in app_url:
        yield Finding("BLOSSOM_URL", "Set it to the address at which Shopify and browsers reach `web`, by https.")
    given = document.get("application_url")
    yield _same("application_url", given.rstrip("/") if isinstance(given, str) else given, app_url, "BLOSSOM_URL")
    callback = f"{app_url}/auth/callback"
    yield _told(
        "auth.redirect_urls",
        callback in _listed(_table(document, "auth"), "redirect_urls"),
        f"Add {callback}: Shopify sends merchants back to no other address.",
    )
    proxy = _table(document, "app_proxy")
    yield _same("app_proxy.url", proxy.get("url"), f"{app_url}/proxy", "BLOSSOM_URL and /proxy")
    yield _told(
        "app_proxy.prefix and subpath",
        bool(proxy.get("prefix")) and bool(proxy.get("subpath")),
        "Set both: they are where shoppers' pages stand on a storefront.",
    )


def _scopes(settings: Config, document: Mapping[str, Any]) -> Iterator[Finding]:
    listed = _table(document, "access_scopes").get("scopes")
    in_file = {scope.strip() for scope in listed.split(",") if scope.strip()} if isinstance(listed, str) else set()
    wanted = set(settings.shopify_scopes)
    for scopes, remedy in (
        (wanted - in_file, "Add to access_scopes.scopes, or take out of SHOPIFY_SCOPES: {}."),
        (in_file - wanted, "Take out of access_scopes.scopes, or add to SHOPIFY_SCOPES: {}."),
    ):
        if scopes:
            yield Finding("access scopes", remedy.format(", ".join(sorted(scopes))))
    if wanted == in_file:
        yield Finding("access scopes")
    unheard = {scope for scope in webhooks.NEEDED_SCOPE.values() if scope is not None} - in_file
    yield _told(
        "scopes of the webhooks' topics",
        not unheard,
        f"Add to access_scopes.scopes, or Shopify refuses their topics: {', '.join(sorted(unheard))}.",
    )


def _webhooks(settings: Config, document: Mapping[str, Any]) -> Iterator[Finding]:
    found = _table(document, "webhooks")
    yield _same("webhooks.api_version", found.get("api_version"), settings.shopify_api_version, "SHOPIFY_API_VERSION")
    addresses = ("/webhooks/shopify", f"{settings.app_url}/webhooks/shopify")
    ours = [each for each in _listed(found, "subscriptions") if isinstance(each, dict) and each.get("uri") in addresses]
    for name, wanted, why in (
        ("topics", webhooks.SUBSCRIBED, "what happens there is not heard of otherwise"),
        ("compliance_topics", webhooks.COMPLIANCE, "no app is published without them"),
    ):
        missing = wanted - {topic for each in ours for topic in _listed(each, name)}
        remedy = f"Subscribe /webhooks/shopify to {', '.join(sorted(missing))}: {why}."
        yield _told(f"webhooks' {name}", not missing, remedy)


def _same(what: str, given: object, expected: str, source: str) -> Finding:
    """The client id and addresses are no secrets, so both may be shown."""
    return _told(what, given == expected, f"It is {given!r}, and must be {expected!r}, as {source} has it.")


def _told(what: str, is_well: bool, remedy: str) -> Finding:
    return Finding(what) if is_well else Finding(what, remedy)


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _listed(table: Mapping[str, Any], name: str) -> list[Any]:
    found = table.get(name)
    return found if isinstance(found, list) else []
