"""`bin/demo`: what a person types."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import orjson
from rich.markup import escape

from blossom.sandbox.demo import job, store
from blossom.sandbox.demo.api import Api
from blossom.sandbox.demo.figures import Figures
from blossom.sandbox.demo.installation import Installation
from blossom.sandbox.demo.merchant import Merchant
from blossom.sandbox.demo.processes import CHECKOUT, DemoError
from blossom.sandbox.demo.screen import Screen
from blossom.sandbox.mitto.process import StandInError
from blossom.sandbox.shopify.process import StandInError as ShopifyError

SAMPLE = CHECKOUT / "blossom" / "sandbox" / "data" / "customers-1000.csv"
MESSAGE = 'Hi {{ first_name | default: "there" }}, 20% off everything until Sunday: https://demo.example/sale'
_INTERRUPTED = 130

# Phones that are off, numbers that are gone: a report without a failure would show little. The share that the provider
# refuses outright is for the demo to look at only; where it ends by itself every text is taken: all sums are plain.
FATES = {"expired": 0.01, "failed:DLR_003": 0.015, "undelivered:DLR_007": 0.01}
REFUSED = {"invalid": 0.01}
RECEIPTS = {"delay": [0.1, 1.0], "array_size": 50, "order": "shuffled"}

_FIGURES = """
figures of --json, the last line of standard output:
  imported + refused = lines of the file, or customers of the shop; skipped{reason} holds who got no text, before and at
  sending
  imported = recipients + repeated_in_file + no_phone + not_opted_in + opted_out
  recipients = sent + unconfirmed + scheduled (quiet hours) + those skipped at sending
  sent = delivered + failed + those without a receipt yet, as in the API's stats
  provider_log.texts = sent - not_taken (refused by the provider; 0 with --json), and unconfirmed ones if it took them
  shopify_log: what Shopify's stand-in has and was asked for; texted_unsubscribed is 0. Without --csv only
  seconds: from the click until the last text was handed over; credits: what the wallet paid, failed texts given back
docs/demo.md tells more. Exit status: 0 done; 1 it failed, or our report and the others' logs disagree; 2 usage."""


def main() -> int:
    given = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # INT too: a script's background jobs begin with it ignored
        signal.signal(number, _as_interrupt)
    screen = Screen(to_stderr=given.json)
    try:
        job.check(given.csv or SAMPLE, given.message or MESSAGE)
        return _send_and_end(given, screen) if given.csv or given.json else _show(given, screen)
    except (DemoError, StandInError, ShopifyError) as error:
        screen.say(f"[red]✗ {escape(str(error))}[/]")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _send_and_end(given: argparse.Namespace, screen: Screen) -> int:
    """The whole main job, on one file or in the shop at Shopify's stand-in; ends by itself."""
    behaviour = {"outcomes": {"share": FATES}, "receipts": RECEIPTS}
    with _started(given, screen, behaviour=behaviour) as installation:
        run = _of_file(installation, given, screen) if given.csv else _at_shopify(installation, given, screen)[0]
        found, faults = run.send()
    if given.json:
        print(orjson.dumps(found.as_json()).decode(), flush=True)
    return 1 if faults else 0


def _show(given: argparse.Namespace, screen: Screen) -> int:
    """The campaign of a shop at Shopify's stand-in, and then everything stays up until Ctrl-C."""
    behaviour = {"outcomes": {"share": {**FATES, **REFUSED}}, "receipts": RECEIPTS, "latency": 0.15}
    # Small calls at a pace of about twenty seconds for the sample, to have something to watch.
    settings = {"MITTO_BATCH_SIZE": "20", "MITTO_TEXTS_PER_SECOND": "40"}
    with _started(given, screen, behaviour=behaviour, settings=settings) as installation:
        run, merchant = _at_shopify(installation, given, screen)
        page = f"{merchant.admin}/campaigns/{run.campaign_id}"
        screen.say("\n[b]Watch it live:[/]")
        screen.plain(f"  {page}\n")
        with ThreadPoolExecutor() as meanwhile:
            made = meanwhile.submit(installation.blossom, "shop", "api-key", run.shop.domain, "--name", "demo")
            run.send()
        # Not before: who opts in meanwhile gets a text that is not the campaign's, and its report is laid beside all.
        _tell_what_to_try(screen, installation, merchant, run.campaign_id, made.result()["key"])
        try:
            while True:
                installation.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            screen.say("\nStopping…")
    return 0


@dataclass(frozen=True)
class _Run:
    """The main job up to the campaign that is ready to be sent; `send` does the rest."""

    installation: Installation
    screen: Screen
    shop: job.DemoShop
    api: Api
    imported: Mapping[str, Any]
    campaign_id: int
    preview: dict[str, Any]

    def send(self) -> tuple[Figures, list[str]]:
        """The figures, shown already, and where they disagree with the others' logs."""
        sent = job.send(self.installation, self.api, self.campaign_id, self.preview, self.screen)
        found, faults = job.report(self.installation, self.api, self.imported, sent, self.screen)
        self.screen.show_report(found, faults)
        return found, faults


def _of_file(installation: Installation, given: argparse.Namespace, screen: Screen) -> _Run:
    shop = job.open_shop(installation, given.csv, quiet_hours=given.quiet_hours, screen=screen)
    with screen.step("Waiting for the app to be ready"):
        installation.wait_until_ready()
    imported = job.import_file(installation, shop, given.csv, screen)
    return _written(installation, given.message or MESSAGE, screen, shop, imported)


def _at_shopify(installation: Installation, given: argparse.Namespace, screen: Screen) -> tuple[_Run, Merchant]:
    merchant = job.install(installation, store.customers(SAMPLE)[: given.customers], screen)
    shop, imported = job.import_from_shopify(installation, merchant, screen)
    if not given.quiet_hours:
        merchant.allow_texts_at_any_time()
    merchant.ask_shoppers_to_confirm()
    text = given.message or store.message(merchant.storefront)
    return _written(installation, text, screen, shop, imported), merchant


def _written(
    installation: Installation, text: str, screen: Screen, shop: job.DemoShop, imported: Mapping[str, Any]
) -> _Run:
    api = Api(installation.url, shop.credential, installation.check)
    campaign_id, preview = job.write_campaign(api, text, screen)
    return _Run(installation, screen, shop, api, imported, campaign_id, preview)


def _started(given: argparse.Namespace, screen: Screen, **options: Any) -> Installation:
    stand_ins = "the stand-in of Mitto" if given.csv else "the stand-ins of Mitto and Shopify"
    screen.say(f"[dim]Starting Postgres, Valkey, {stand_ins}, web, worker and clock…[/]")
    configured = None if given.csv else store.configuration
    return Installation(parent=given.data, port=given.port, keep=given.keep, configured=configured, **options)


def _tell_what_to_try(
    screen: Screen, installation: Installation, merchant: Merchant, campaign_id: int, key: str
) -> None:
    screen.say("\n[b]Open[/]")
    for what, address in (
        ("the admin, with Blossom in it", f"{merchant.admin}/"),
        (f"the shop: opt in, buy (code {store.CODE}), unsubscribe", merchant.storefront),
        ("the shoppers' phones: what “Mitto” brought them", f"{installation.mitto.url}/phones"),
    ):
        screen.plain(f"  {address}   {what}")
    url = f"{installation.url}/api/campaigns"
    auth = f'-H "Authorization: Bearer {key}"'
    example = '{"name": "Hello", "body": "Hello {{ first_name | default: \\"you\\" }}!", "audience": {"all": true}}'
    screen.say("\n[b]Call[/]")
    for call in (
        f"curl {auth} '{url}?withStats=true'",
        f"curl {auth} {url}/{campaign_id}/progress",
        f"curl {auth} -H 'Content-Type: application/json' -d '{example}' {url}",
        f"curl {auth} -X POST {url}/{campaign_id + 1}/enqueue",
    ):
        screen.plain(f"  {call}")
    screen.say("\n[b]Look behind it[/]")
    screen.plain(f"  {installation.url}/api/openapi.json   the API")
    screen.plain(f"  {installation.mitto.url}/_sandbox/log?offset=0&limit=10   what “Mitto” took")
    screen.plain(f"  {installation.shopify.url}/control/webhooks   what “Shopify” told the app")
    screen.plain(f"  {installation.folder / 'logs'}   the processes' logs")
    screen.say("\nAll of it stays up until [b]Ctrl-C[/].")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/demo",
        description="Run a whole Blossom on this machine, with stand-ins for Shopify and Mitto: a shop installs it, "
        "its customers are imported, and a campaign is sent.",
        epilog=_FIGURES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--csv",
        type=Path,
        nargs="?",
        const=SAMPLE,
        metavar="FILE",
        help="without Shopify: send to the customers of this file (without FILE: the sample's 1,000), and end",
    )
    parser.add_argument(
        "--customers", type=int, metavar="N", help="how many of the sample are the shop's customers (default: all)"
    )
    parser.add_argument("--message", metavar="TEXT", help="the text, in Liquid (default: a short offer with a link)")
    parser.add_argument(
        "--json", action="store_true", help="end after the report, with the figures as the last line of stdout"
    )
    parser.add_argument("--quiet-hours", action="store_true", help="nobody is texted in their night")
    parser.add_argument("--port", type=_port, default=0, help="of the web process (default: a free one)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="below which the demo keeps its data while it runs")
    parser.add_argument("--keep", action="store_true", help="leave the data where it is at the end")
    given = parser.parse_args()
    if given.customers is not None and (given.csv or given.customers < 1):
        parser.error("--customers is a number from 1 on, and goes without --csv")
    return given


def _port(given: str) -> int:
    if not given.isdecimal() or int(given) > 65_535:
        raise argparse.ArgumentTypeError(f"{given} is no port")
    return int(given)


def _as_interrupt(_: int, __: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
