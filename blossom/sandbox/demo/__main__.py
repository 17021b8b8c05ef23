"""`bin/demo`: what a person types."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import orjson
from rich.markup import escape

from blossom.sandbox.demo import job
from blossom.sandbox.demo.api import Api
from blossom.sandbox.demo.figures import Figures
from blossom.sandbox.demo.installation import Installation
from blossom.sandbox.demo.processes import CHECKOUT, DemoError
from blossom.sandbox.demo.screen import Screen
from blossom.sandbox.mitto.process import StandInError

SAMPLE = CHECKOUT / "blossom" / "sandbox" / "data" / "customers-1000.csv"
MESSAGE = 'Hi {{ first_name | default: "there" }}, 20% off everything until Sunday: https://demo.example/sale'
_INTERRUPTED = 130

# Phones that are off, numbers that are gone: a report without a failure would show little. The share that the provider
# refuses outright is for the demo to look at only; with --csv every text is taken, so that all sums are plain.
FATES = {"expired": 0.01, "failed:DLR_003": 0.015, "undelivered:DLR_007": 0.01}
REFUSED = {"invalid": 0.01}
RECEIPTS = {"delay": [0.1, 1.0], "array_size": 50, "order": "shuffled"}

_FIGURES = """
figures of --json, the last line of standard output:
  imported + refused = lines of the file; skipped{reason} holds who got no text, before and at sending
  imported = recipients + repeated_in_file + no_phone + not_opted_in + opted_out
  recipients = sent + unconfirmed + scheduled (quiet hours) + those skipped at sending
  sent = delivered + failed + those without a receipt yet, as in the API's stats
  provider_log.texts = sent - not_taken (refused by the provider; 0 with --csv), and unconfirmed ones if it took them
  seconds: from the click until the last text was handed over; credits: what the wallet paid, failed texts given back
docs/demo.md tells more. Exit status: 0 done; 1 it failed, or our report and the provider's log disagree; 2 usage."""


def main() -> int:
    given = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # INT too: a script's background jobs begin with it ignored
        signal.signal(number, _as_interrupt)
    screen = Screen(to_stderr=given.json)
    try:
        job.check(given.csv or SAMPLE, given.message)
        return _send_file(given, screen) if given.csv else _show(given, screen)
    except (DemoError, StandInError) as error:
        screen.say(f"[red]✗ {escape(str(error))}[/]")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED


def _send_file(given: argparse.Namespace, screen: Screen) -> int:
    """The whole main job on one file; ends by itself."""
    behaviour = {"outcomes": {"share": FATES}, "receipts": RECEIPTS}
    with _started(given, screen, behaviour=behaviour) as installation:
        run = _Run(installation, given, screen, given.csv)
        found, faults = run.send()
    if given.json:
        print(orjson.dumps(found.as_json()).decode(), flush=True)
    return 1 if faults else 0


def _show(given: argparse.Namespace, screen: Screen) -> int:
    """The sample shop's campaign, and then everything stays up until Ctrl-C."""
    behaviour = {"outcomes": {"share": {**FATES, **REFUSED}}, "receipts": RECEIPTS, "latency": 0.15}
    # Small calls at a pace of about twenty seconds for the sample, to have something to watch.
    settings = {"MITTO_BATCH_SIZE": "20", "MITTO_TEXTS_PER_SECOND": "40"}
    with _started(given, screen, behaviour=behaviour, settings=settings) as installation:
        run = _Run(installation, given, screen, SAMPLE)
        page = installation.blossom("shop", "link", run.shop.domain, str(run.campaign_id))["url"]
        screen.say("\n[b]Watch it live:[/]")
        screen.plain(f"  {page}\n")
        run.send()
        _tell_what_to_try(screen, installation, run, page)
        try:
            while True:
                installation.check()
                time.sleep(0.5)
        except KeyboardInterrupt:
            screen.say("\nStopping…")
    return 0


class _Run:
    """The main job on one file, up to the campaign that is ready to be sent; `send` does the rest."""

    def __init__(self, installation: Installation, given: argparse.Namespace, screen: Screen, file: Path) -> None:
        self._installation, self._screen = installation, screen
        self.shop = job.open_shop(installation, file, quiet_hours=given.quiet_hours, screen=screen)
        with screen.step("Waiting for the app to be ready"):
            installation.wait_until_ready()
        self._api = Api(installation.url, self.shop.key, installation.check)
        self._imported = job.import_file(installation, self.shop, file, screen)
        self.campaign_id, self._preview = job.write_campaign(self._api, given.message, screen)

    def send(self) -> tuple[Figures, list[str]]:
        """The figures, shown already, and where they disagree with the provider's log."""
        sent = job.send(self._installation, self._api, self.campaign_id, self._preview, self._screen)
        found, faults = job.report(self._installation, self._api, self._imported, sent, self._screen)
        self._screen.show_report(found, faults)
        return found, faults


def _started(given: argparse.Namespace, screen: Screen, **options: Any) -> Installation:
    screen.say("[dim]Starting Postgres, Valkey, the stand-in of Mitto, web, worker and clock…[/]")
    return Installation(parent=given.data, port=given.port, keep=given.keep, **options)


def _tell_what_to_try(screen: Screen, installation: Installation, run: _Run, page: str) -> None:
    url = f"{installation.url}/api/campaigns"
    auth = f'-H "Authorization: Bearer {run.shop.key}"'
    example = '{"name": "Hello", "body": "Hello {{ first_name | default: \\"you\\" }}!", "audience": {"all": true}}'
    screen.say("\n[b]Open[/]")
    for address in (page, f"{installation.url}/api/openapi.json", f"{installation.url}/readyz"):
        screen.plain(f"  {address}")
    screen.say("\n[b]Call[/]")
    for call in (
        f"curl {auth} '{url}?withStats=true'",
        f"curl {auth} {url}/{run.campaign_id}/progress",
        f"curl {auth} -H 'Content-Type: application/json' -d '{example}' {url}",
        f"curl {auth} -X POST {url}/2/enqueue",
    ):
        screen.plain(f"  {call}")
    screen.say("\n[b]Look behind it[/]")
    screen.plain(f"  {installation.mitto.url}/_sandbox/log?offset=0&limit=10   what “Mitto” took")
    screen.plain(f"  {installation.folder / 'logs'}   the processes' logs")
    mine = f"BLOSSOM_DATA={installation.folder} BLOSSOM_URL={installation.url}"
    screen.plain(f"  {mine} bin/blossom shop link {run.shop.domain} 2   opens another campaign's page")
    screen.say("\nAll of it stays up until [b]Ctrl-C[/].")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/demo",
        description="Run a whole Blossom on this machine, with a stand-in for Mitto, and send a campaign through it.",
        epilog=_FIGURES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--csv",
        type=Path,
        nargs="?",
        const=SAMPLE,
        metavar="FILE",
        help="send to the customers of this file (without FILE: the sample's 1,000), and end",
    )
    parser.add_argument("--message", default=MESSAGE, metavar="TEXT", help="the text, in Liquid (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="with --csv: the figures as the last line of stdout")
    parser.add_argument("--quiet-hours", action="store_true", help="nobody is texted in their night")
    parser.add_argument("--port", type=_port, default=0, help="of the web process (default: a free one)")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="below which the demo keeps its data while it runs")
    parser.add_argument("--keep", action="store_true", help="leave the data where it is at the end")
    given = parser.parse_args()
    if given.json and not given.csv:
        parser.error("--json goes with --csv")
    return given


def _port(given: str) -> int:
    if not given.isdecimal() or int(given) > 65_535:
        raise argparse.ArgumentTypeError(f"{given} is no port")
    return int(given)


def _as_interrupt(_: int, __: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
