"""The commands: what runs the processes, and what an operator types."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson
import psycopg
from flask_migrate import upgrade
from sqlalchemy import select
from sqlalchemy.exc import OperationalError, ProgrammingError

from blossom import doctor, material, schedule, supervisor, worker
from blossom.campaigns import queries as campaigns
from blossom.consent import service as consent
from blossom.contacts.rules import Attestation
from blossom.customers import queries as customer_queries
from blossom.customers import service as customers
from blossom.customers.rules import ImportState, Progress
from blossom.inbound import queries as inbound_queries
from blossom.inbound import service as inbound
from blossom.inbound.service import exporting
from blossom.platform import access, crypto, db, passes, periodic, queue, resealing, stopping
from blossom.platform.config import Config, ConfigError, current
from blossom.platform.embedded import EmbeddedError
from blossom.platform.errors import BlossomError
from blossom.shops import queries as shops
from blossom.shops import service as shop_service
from blossom.shops.models import Shop
from blossom.surroundings import application, data_folder, environment, new_master_key_text
from blossom.wallet import queries as wallet_queries
from blossom.wallet import service as wallet

ID = click.IntRange(1, 2**63 - 1)
"""Of a row."""


@click.group()
def main() -> None:
    """Blossom: SMS marketing inside the Shopify admin."""


main.add_command(doctor.command)
main.add_command(material.command)


@main.command("data-folder")
def show_data_folder() -> None:
    """Print where the embedded servers keep their data."""
    click.echo(data_folder(Config.from_environment()))


@main.command("new-master-key")
@click.option(
    "--id", "key_id", type=click.IntRange(min=0), default=1, show_default=True, help="Larger than every id in use."
)
def new_master_key(key_id: int) -> None:
    """Make a master key for BLOSSOM_MASTER_KEYS."""
    click.echo(new_master_key_text(key_id))


@main.command()
def release() -> None:
    """Bring the schema to the newest migration. Safe when two run."""
    with application():
        upgrade(directory=str(_migrations()))


@main.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=5000, show_default=True)
def web(port: int) -> None:
    """Serve the app (what a host's Procfile does with gunicorn itself)."""
    supervisor.check_port(port)
    with environment():
        root = _migrations().parent
        command = [
            *(sys.executable, "-m", "gunicorn", "--config", str(root / "ops/gunicorn_conf.py"), "--chdir", str(root)),
            *("--bind", f"127.0.0.1:{port}", "--env", f"BLOSSOM_SUPERVISOR={os.getpid()}", "wsgi:app"),
        ]
        supervisor.supervise([supervisor.Program("web", command)], give_up=True)


@main.command("worker")
@click.option(
    "--queue",
    "names",
    type=click.Choice(queue.QUEUES),
    multiple=True,
    help="Work on this queue alone, in this process. Given several times: a process for each.",
)
@click.option("--burst", is_flag=True, help="Stop when the queue is empty; with one --queue.")
def work(names: tuple[str, ...], burst: bool) -> None:
    """Run the workers: one process a queue, BLOSSOM_LANES for sending and two that prepare."""
    if burst and len(names) != 1:
        raise click.UsageError("--burst goes with one --queue")
    with environment() as settings:
        if len(names) == 1:
            worker.work(names[0], burst=burst)
            return
        if names.count("send") > settings.lanes:
            # The share of the rate that a process has to itself without Redis is counted by that setting.
            raise click.UsageError(f"more sending processes than BLOSSOM_LANES ({settings.lanes})")
        worker.get_ready()
        supervisor.supervise(
            [supervisor.Fork(f"worker:{name}", partial(worker.work, name)) for name in names or _all_queues(settings)]
        )


def _all_queues(settings: Config) -> list[str]:
    """A name for each process of a `worker` that was told nothing else."""
    several = {"send": settings.lanes, "prepare": worker.PREPARERS}
    return [name for name in queue.QUEUES for _ in range(several.get(name, 1))]


@main.command("clock")
def run_clock() -> None:
    """Enqueue the periodic jobs. Two may run."""
    with application():
        supervisor.stop_on_signals(stopping.request)
        periodic.run(schedule.JOBS)


@main.group()
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
        _print(told)


@shop.command("credit")
@click.argument("domain")
@click.argument("amount", type=click.IntRange(1, 10**12))
@click.option("--reference", required=True, help="What it is for. Given twice with one reference, it counts once.")
def credit_shop(domain: str, amount: int, reference: str) -> None:
    """Give a shop credits; prints its balance as JSON."""
    with application(), db.transaction():
        shop_id = _shop(domain).id
        given = wallet.top_up(shop_id, amount, reference=reference)
        if given.amount != amount:
            raise BlossomError(
                f"With the reference {reference} the shop was given {given.amount} credits before, not {amount}.",
                code="reference_reused",
                actionable="Nothing was added. Give what is new a reference of its own.",
            )
        _print({"balance": wallet_queries.balance(shop_id).balance})


@shop.command("api-key")
@click.argument("domain")
@click.option("--name", default="command line", show_default=True)
@click.option("--scope", "scopes", multiple=True, help="Default: all but the operator's.")
def create_api_key(domain: str, name: str, scopes: tuple[str, ...]) -> None:
    """Make an API key; prints it, once, as JSON."""
    wanted = scopes or tuple(sorted(access.SHOP_SCOPES))
    with application(), db.transaction():
        key, plain = shop_service.create_api_key(_shop(domain).id, name, wanted)
        _print({"id": key.id, "key": plain, "scopes": key.scopes})


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
            shop_id = _shop(domain).id
        attestation = Attestation(attested_by, attest) if attest else None
        report = consent.import_customers(
            shop_id, file, filename=Path(file.name).name, attestation=attestation, encoding=encoding
        )
        _print({"imported": report.imported, **dataclasses.asdict(report)})


@shop.command("sync")
@click.argument("domain")
@click.option(
    "--wait", is_flag=True, help="Ask for none: wait for the end of the one that the shop's install asks for."
)
def sync_customers(domain: str, wait: bool) -> None:
    """Import all customers from Shopify, or go on with an import that stopped; prints its counts as JSON."""
    with application():
        with db.transaction():
            shop_id = _shop(domain).id
        progress = _import_of(shop_id) if wait else customers.import_now(shop_id)
        _print(dataclasses.asdict(progress))
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
        campaign = campaigns.get_campaign(_shop(domain).id, campaign_id)
        _print({"url": passes.link(current(), campaign.shop_id, f"campaigns/{campaign.id}")})


@shop.command("data-requests")
@click.argument("domain")
def list_data_requests(domain: str) -> None:
    """List what customers asked to see, as JSON: until when it can be fetched, and whether it was."""
    with application(), db.transaction():
        _print({"requests": [dataclasses.asdict(each) for each in exporting.exports(_shop(domain).id)]})


@shop.command("data-request")
@click.argument("domain")
@click.argument("export_id", type=ID)
def fetch_data_request(domain: str, export_id: int) -> None:
    """Print all that was held on a customer who asked, as JSON, to hand on to them. That it was fetched is noted."""
    with application(), db.transaction():
        click.echo(exporting.fetch(_shop(domain).id, export_id, actor="command line"))


@main.group()
def keys() -> None:
    """Encryption keys."""


@keys.command("rewrap")
def rewrap() -> None:
    """Wrap every shop's keys under the first of BLOSSOM_MASTER_KEYS; after it, the older ones may go."""
    with application(), db.transaction() as session:
        done = sum(crypto.rewrap(shop_id) for shop_id in session.scalars(select(Shop.id)))
        _print({"rewrapped": done})


@keys.command("rotate")
@click.argument("domain")
def rotate(domain: str) -> None:
    """Seal a shop's personal data under a new key. The old key stays until `blossom keys prune`."""
    with application():
        with db.transaction():
            shop_id = _shop(domain).id
        _print({"resealed": resealing.rotate(shop_id)})


@keys.command("prune")
@click.argument("domain")
def prune(domain: str) -> None:
    """Destroy a shop's old data keys, ten minutes or more after a rotation."""
    with application():
        with db.transaction():
            shop_id = _shop(domain).id
        _print({"destroyed": resealing.prune(shop_id)})


@main.group("webhooks")
def webhooks() -> None:
    """Shopify's webhooks that wait for an operator."""


@webhooks.command("dead")
@click.option(
    "--after", "after_id", type=click.IntRange(0, 2**63 - 1), default=0, help="The last id of the page before."
)
def list_webhooks(after_id: int) -> None:
    """List webhooks that were given up, the oldest first, as JSON."""
    with application(), db.transaction():
        waiting = inbound_queries.waiting_webhooks(after_id)
        _print({"webhooks": [dataclasses.asdict(each) for each in waiting]})


@webhooks.command("replay")
@click.argument("ids", type=ID, nargs=-1)
def replay_webhooks(ids: tuple[int, ...]) -> None:
    """Have given-up webhooks handled again: those of IDS, or the oldest hundred. Prints which, as JSON."""
    with application(), db.transaction():
        wanted = ids or [each.id for each in inbound_queries.waiting_webhooks()]
        _print({"replayed": inbound.replay(wanted)})


def _shop(domain: str) -> Shop:
    found = shops.by_domain(domain)
    if found is None:
        raise BlossomError(
            f"No shop is called {domain}.", code="not_found", actionable="`blossom shop create` makes one."
        )
    return found


def _migrations() -> Path:
    return Path(__file__).resolve().parent.parent / "migrations"


def _print(answer: Mapping[str, object]) -> None:
    click.echo(orjson.dumps(answer, default=str).decode())


def _run() -> None:
    """`main`, with errors in words."""
    try:
        main(standalone_mode=True)
    except BlossomError as error:
        fields = error.details.get("fields", {})
        _complain(error.message if fields or not error.actionable else f"{error.message} {error.actionable}")
        for name, fault in fields.items():
            _complain(f"  {name}: {fault}")
    except (ConfigError, EmbeddedError) as error:
        _complain(str(error))
    except crypto.SealedValueError as error:
        _complain(f"The personal data can't be opened: {error}.")
    except OperationalError as error:
        _complain(f"The database can't be reached, or is too busy: {error.orig}")
    except ProgrammingError as error:
        if not isinstance(error.orig, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)):
            raise
        _complain("The database does not have this version's tables. `blossom release` makes them.")
    sys.exit(1)  # without an error, click has ended the process itself


def _complain(sentence: str) -> None:
    click.echo(sentence, err=True)


if __name__ == "__main__":
    _run()
