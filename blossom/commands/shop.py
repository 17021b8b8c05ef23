"""`blossom shop …`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, BinaryIO

import click

from blossom.campaigns import queries as campaigns
from blossom.commands.installation import ID, answer, application, shop_called
from blossom.consent import service as consent
from blossom.contacts.rules import Attestation
from blossom.customers import queries as customer_queries
from blossom.customers import service as customers
from blossom.customers.rules import ImportState, Progress
from blossom.inbound.service import exporting
from blossom.platform import access, db, passes, stopping
from blossom.platform.config import current
from blossom.platform.errors import BlossomError
from blossom.shops import service as shop_service
from blossom.wallet import queries as wallet_queries
from blossom.wallet import service as wallet


@click.group("shop")
def shop() -> None:
    """Shops (until they install themselves through Shopify)."""


@shop.command("create")
@click.argument("domain")
@click.option("--name", required=True)
@click.option("--sender", required=True)
@click.option("--timezone", default="UTC", show_default=True)
@click.option("--country", default="US", show_default=True, help="Reads phone numbers without a country code.")
@click.option(
    "--credits", "amount", type=click.IntRange(0, 10**12), default=0, show_default=True, help="Credits to begin with."
)
@click.option("--no-quiet-hours", is_flag=True)
@click.option("--no-caps", is_flag=True)
@click.option("--api-key", "key_name", help="Make it an API key of this name, as `shop api-key` does.")
def create_shop(
    *, domain: str, amount: int, no_quiet_hours: bool, no_caps: bool, key_name: str | None, country: str, **given: str
) -> None:
    """Make a shop with its keys and wallet; prints its id as JSON."""
    settings: dict[str, Any] = {**given, "quiet_hours_on": not no_quiet_hours}
    if no_caps:
        settings |= {"daily_cap": None, "weekly_cap": None}
    with application(), db.transaction():
        made = shop_service.create_shop(domain=domain, default_country=country, **settings)
        wallet.open_wallet(made.id)
        if amount:
            wallet.top_up(made.id, amount, reference="opening")
        told = {"id": made.id, "domain": made.domain}
        if key_name:
            told["key"] = shop_service.create_api_key(made.id, key_name, tuple(sorted(access.SHOP_SCOPES)))[1]
        answer(told)


@shop.command("credit")
@click.argument("domain")
@click.argument("amount", type=click.IntRange(1, 10**12))
@click.option("--reference", required=True, help="What it is for. Given twice with one reference, it counts once.")
def credit_shop(domain: str, amount: int, reference: str) -> None:
    """Give a shop credits; prints its balance as JSON."""
    with application(), db.transaction():
        shop_id = shop_called(domain).id
        given = wallet.top_up(shop_id, amount, reference=reference)
        if given.amount != amount:
            raise BlossomError(
                f"With the reference {reference} the shop was given {given.amount} credits before, not {amount}.",
                code="reference_reused",
                actionable="Nothing was added. Give what is new a reference of its own.",
            )
        answer({"balance": wallet_queries.balance(shop_id).balance})


@shop.command("api-key")
@click.argument("domain")
@click.option("--name", default="command line", show_default=True)
@click.option("--scope", "scopes", multiple=True, help="Default: all but the operator's.")
def create_api_key(domain: str, name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key; prints it, once, as JSON."""
    wanted = scopes or tuple(sorted(access.SHOP_SCOPES))
    with application(), db.transaction():
        key, plain = shop_service.create_api_key(shop_called(domain).id, name, wanted)
        answer({"id": key.id, "key": plain, "scopes": key.scopes})


@shop.command("import")
@click.argument("domain")
@click.argument("file", type=click.File("rb"))
@click.option("--attest", help="The words by which you attest that the people listed agreed to marketing texts.")
@click.option("--by", "attested_by", default="command line", show_default=True)
@click.option("--encoding")
def import_customers(domain: str, file: BinaryIO, attest: str | None, attested_by: str, encoding: str | None) -> None:
    """Import a customer export (CSV); prints the report as JSON. Run again after an interruption, it goes on."""
    with application():
        with db.transaction():
            shop_id = shop_called(domain).id
        attestation = Attestation(attested_by, attest) if attest else None
        report = consent.import_customers(
            shop_id, file, filename=Path(file.name).name, attestation=attestation, encoding=encoding
        )
        answer({"imported": report.imported, **dataclasses.asdict(report)})


@shop.command("sync")
@click.argument("domain")
@click.option(
    "--wait", is_flag=True, help="Ask for none: wait for the end of the one that the shop's install asks for."
)
def sync_customers(domain: str, wait: bool) -> None:
    """Import all customers from Shopify, or go on with an import that stopped; prints its counts as JSON."""
    with application():
        with db.transaction():
            shop_id = shop_called(domain).id
        progress = _import_of(shop_id) if wait else customers.import_now(shop_id)
        answer(dataclasses.asdict(progress))
        if progress.state is ImportState.FAILED:
            raise SystemExit(1)


def _import_of(shop_id: int) -> Progress:
    """The shop's import, once a worker has brought it to its end."""
    progress = None
    while progress is None or progress.is_open:
        stopping.wait(0.1)
        with db.transaction():
            progress = customer_queries.latest_import(shop_id)
    return progress


@shop.command("link")
@click.argument("domain")
@click.argument("campaign_id", type=ID)
def link_campaign(domain: str, campaign_id: int) -> None:
    """Make a link that opens one campaign's page for a day, outside production; prints it as JSON."""
    with application(), db.transaction():
        campaign = campaigns.get_campaign(shop_called(domain).id, campaign_id)
        answer({"url": passes.link(current(), campaign.shop_id, f"campaigns/{campaign.id}")})


@shop.command("data-requests")
@click.argument("domain")
def list_data_requests(domain: str) -> None:
    """List what customers asked to see, as JSON: until when it can be fetched, and whether it was."""
    with application(), db.transaction():
        answer({"requests": [dataclasses.asdict(each) for each in exporting.exports(shop_called(domain).id)]})


@shop.command("data-request")
@click.argument("domain")
@click.argument("export_id", type=ID)
def fetch_data_request(domain: str, export_id: int) -> None:
    """Print all that was held on a customer who asked, as JSON, to hand on to them. That it was fetched is noted."""
    with application(), db.transaction():
        click.echo(exporting.fetch(shop_called(domain).id, export_id, actor="command line"))
