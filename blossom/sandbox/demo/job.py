"""The main job, step by step: shop, import, campaign, preview, send, receipts, report. All by commands and HTTP."""

from __future__ import annotations

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blossom.sandbox.demo import figures, store
from blossom.sandbox.demo.api import Api, reason_in_words
from blossom.sandbox.demo.figures import Counted, Figures, ProviderLog, ShopifyLog
from blossom.sandbox.demo.installation import Installation
from blossom.sandbox.demo.merchant import Merchant
from blossom.sandbox.demo.processes import DemoError, blossom
from blossom.sandbox.demo.screen import Screen

POLL_SECONDS = 0.2  # half of what an API key may call
PATIENCE_SECONDS = 20.0
"""After the last receipt that came; what has none by then is told as it stands."""

STALLED_SECONDS = 180.0
"""Without any progress in sending for this long, something is wrong."""

ONE_BY_ONE = 20_000
"""Up to so many recipients, our rows are compared with the provider's log text by text; beyond, by sums."""

CREDITS_A_LINE = 200
"""What the demo's shop is given for each line of its file: more than any text costs."""

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

ATTESTATION = "The people in this sample agreed to get marketing texts from this shop."


@dataclass(frozen=True)
class DemoShop:
    """The shop of this run. `credential` gives what its API is called with."""

    domain: str
    credential: Callable[[], str]


@dataclass(frozen=True)
class Sent:
    """A campaign that has left. `seconds`: from the click until the provider had its last text."""

    campaign_id: int
    preview: dict[str, Any]
    progress: dict[str, Any]
    seconds: float


def open_shop(installation: Installation, file: Path, *, quiet_hours: bool, screen: Screen) -> DemoShop:
    """A new shop, with credits enough for the people of `file`."""
    domain = f"demo-{secrets.token_hex(4)}.myshopify.com"
    options = ["--name", "Blossom Demo", "--sender", "Blossom", "--timezone", "Europe/Athens", "--country", "GR"]
    options += ["--credits", str(max(10_000, CREDITS_A_LINE * _lines_of(file))), "--no-caps"]
    options += ["--api-key", "demo"]
    with screen.step("Creating a shop and an API key"):
        made = installation.blossom("shop", "create", domain, *options, *([] if quiet_hours else ["--no-quiet-hours"]))
    return DemoShop(domain, lambda: str(made["key"]))


def install(installation: Installation, people: Sequence[Mapping[str, Any]], screen: Screen) -> Merchant:
    """Blossom in a shop at Shopify's stand-in, which has these customers already, as a merchant installs it."""
    merchant = Merchant(installation.shopify, installation.url)
    installation.shopify.add_customers(store.DOMAIN, *map(dict, people))
    installation.shopify.add_segments(store.DOMAIN, **store.SEGMENTS)
    with screen.step("Waiting for the app to be ready"):
        installation.wait_until_ready()
    with screen.step("Opening Blossom in the shop's admin: installed through token exchange"):
        merchant.install()
    return merchant


def import_from_shopify(
    installation: Installation, merchant: Merchant, screen: Screen
) -> tuple[DemoShop, dict[str, Any]]:
    """The shop, with credits enough, once the import that its install began has ended; and the import's report."""
    # Each command takes a second to start, so both start at once.
    with ThreadPoolExecutor() as at_once, screen.step("Importing the shop's customers by a bulk operation"):
        customers = len(installation.shopify.shop(store.DOMAIN)["customers"])
        credits = str(max(10_000, CREDITS_A_LINE * customers))
        waiting = at_once.submit(installation.blossom, "shop", "sync", store.DOMAIN, "--wait")
        given = at_once.submit(
            installation.blossom, "shop", "credit", store.DOMAIN, credits, "--reference", "demo opening"
        )
        given.result()
        progress = waiting.result()
    if progress["state"] != "completed":
        raise DemoError(f"The import {progress['state']}: {progress['fault']}")
    report = _as_of_file(progress)
    screen.show_bulk_import(progress, report)
    return DemoShop(store.DOMAIN, merchant.session_token), report


def _as_of_file(progress: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a bulk import by the names of a file's import."""
    again = progress["updated"] + progress["older"]
    return {
        "created": progress["created"],
        "updated": again,
        "unchanged": progress["unchanged"],
        "imported": progress["created"] + again + progress["unchanged"],
        "refused": progress["without_phone"] + progress["refused"],
    }


def check(file: Path, text: str) -> None:
    """Raise `DemoError` for a file or a text of which nothing can come, before anything is started for them."""
    try:
        if not file.is_file():
            raise DemoError(f"{file} is not a file.")
        file.open("rb").close()
    except OSError as error:
        raise DemoError(f"{file} can't be read: {error.strerror}.") from None
    blossom(["check", f"--file={file.resolve()}", f"--text={text}"], os.environ)


def import_file(installation: Installation, shop: DemoShop, file: Path, screen: Screen) -> dict[str, Any]:
    """Import the people of `file`; the import's report."""
    with screen.step(f"Importing {file.name}"):
        # By its whole path: a file may be called “-”, or begin with a dash.
        report = installation.blossom("shop", "import", shop.domain, str(file.resolve()), "--attest", ATTESTATION)
    screen.show_import(report)
    return report


def write_campaign(api: Api, text: str, screen: Screen) -> tuple[int, dict[str, Any]]:
    """A campaign to everybody, and its preview. `DemoError` tells why it can't be sent."""
    campaign = api.post("/campaigns", {"name": "Summer sale", "body": text, "audience": {"all": True}})
    with screen.step("Counting recipients and costs"):
        preview = api.get(f"/campaigns/{campaign['id']}/preview")
    if not preview["canSend"]:
        reasons = [reason_in_words(reason) for reason in preview["reasons"]]
        raise DemoError("\n".join(["This campaign can't be sent:", *reasons]))
    screen.show_preview(preview)
    return campaign["id"], preview


def send(installation: Installation, api: Api, campaign_id: int, preview: dict[str, Any], screen: Screen) -> Sent:
    """Enqueue the campaign, watch it leave, and wait for its receipts; not for those whom quiet hours put off."""
    put_off = sum(group["recipients"] for group in preview["putOff"])
    clicked = time.monotonic()
    api.post(f"/campaigns/{campaign_id}/enqueue")
    seconds = None
    watched = _Patience()
    with screen.sending(preview["recipientCount"] - put_off) as show:
        while True:
            progress = api.get(f"/campaigns/{campaign_id}/progress")
            show(progress, put_off)
            still = watched.unchanged_for(progress)
            if progress["status"] in ("failed", "cancelled"):
                failure = progress["failure"] or {}
                raise DemoError(f"The campaign {progress['status']}: {failure.get('message') or 'no reason was given'}")
            if seconds is None:
                if _has_left(progress, put_off):
                    seconds = time.monotonic() - clicked
                elif still > STALLED_SECONDS:
                    raise DemoError(f"Nothing has moved for {still:.0f} s; {progress['pending']} texts are waiting.")
            if seconds is not None and (_awaited(progress) == 0 or still > PATIENCE_SECONDS):
                break
            installation.check()
            time.sleep(POLL_SECONDS)
    return Sent(campaign_id, preview, progress, seconds)


class _Patience:
    """For how long nothing has changed."""

    def __init__(self) -> None:
        self._seen: Any = None
        self._since = time.monotonic()

    def unchanged_for(self, progress: Mapping[str, Any]) -> float:
        seen = [progress[name] for name in ("status", "total", "processed", "delivered", "failed", "unconfirmed")]
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since


def _has_left(progress: Mapping[str, Any], put_off: int) -> bool:
    """Whether every text that may go now has gone."""
    if put_off and progress["total"]:
        return bool(progress["sending"] == 0 and progress["pending"] <= put_off)
    return bool(progress["status"] == "completed")


def _awaited(progress: Mapping[str, Any]) -> int:
    """Texts whose last word is still to come."""
    return int(progress["sent"] - progress["delivered"] + progress["unconfirmed"])


def report(
    installation: Installation, api: Api, imported: Mapping[str, Any], sent: Sent, screen: Screen
) -> tuple[Figures, list[str]]:
    """The figures of the run, and where they disagree with the provider's own log."""
    with screen.step("Comparing with the provider's own log"):
        progress = sent.progress
        one_by_one = progress["total"] <= ONE_BY_ONE
        counted = _count(api, sent.campaign_id) if one_by_one else None
        log = _provider_log(installation, one_by_one=one_by_one)
        found = Figures(
            imported=imported["imported"],
            refused=imported["refused"],
            recipients=progress["total"],
            left_out=figures.left_out(imported, progress),
            skipped=_skipped(api, sent),
            sent=progress["sent"] + progress["failed"],
            delivered=progress["delivered"],
            failed=progress["failed"],
            not_taken=counted.not_taken if counted else 0,
            unconfirmed=progress["unconfirmed"],
            scheduled=progress["pending"],
            segments=counted.segments if counted else log.segments,
            credits=_spent(api, sent),
            seconds=sent.seconds,
            provider_log=log,
            shopify_log=_shopify_log(installation) if installation.has_shopify else None,
        )
    return found, figures.disagreements(found, counted)


def _count(api: Api, campaign_id: int) -> Counted:
    counted = Counted()
    for row in api.recipients(campaign_id):
        counted.add(row)
    return counted


def _provider_log(installation: Installation, *, one_by_one: bool) -> ProviderLog:
    summary = installation.mitto.summary(segments=True)
    ids = frozenset(text["messageId"] for text in installation.mitto.each_text()) if one_by_one else None
    return ProviderLog(summary["texts"], summary["distinct_destinations"], summary["doubled"], summary["segments"], ids)


def _shopify_log(installation: Installation) -> ShopifyLog:
    people = installation.shopify.shop(store.DOMAIN)["customers"].values()
    subscribed = {each["phone"] for each in people if each["consent"]["state"] == "SUBSCRIBED"}
    done = Counter(call["operation"] for call in installation.shopify.calls() if call["status"] == 200)
    texted = {text["destination"] for text in installation.mitto.each_text()}
    return ShopifyLog(
        customers=len(people),
        subscribed=len(subscribed),
        token_exchanges=done[EXCHANGE],
        bulk_operations=done["BulkOperationRunQuery"],
        texted_unsubscribed=len(texted - subscribed),
    )


def _skipped(api: Api, sent: Sent) -> dict[str, int]:
    """Reason → recipients skipped at the moment of sending."""
    if not sent.progress["skipped"]:
        return {}
    return dict(Counter(row["reason"] for row in api.recipients(sent.campaign_id, status="skipped")))


def _spent(api: Api, sent: Sent) -> int:
    """What the campaign cost, by the wallet: failed texts are given back."""
    now = api.get(f"/campaigns/{sent.campaign_id}/preview")["credit"]["balance"]
    return int(sent.preview["credit"]["balance"] - now)


def _lines_of(file: Path) -> int:
    """About how many people are in the file; `DemoError` if there is no such file."""
    try:
        with file.open("rb") as content:
            return sum(chunk.count(b"\n") + chunk.count(b"\r") for chunk in iter(lambda: content.read(1 << 20), b""))
    except OSError as error:
        raise DemoError(f"{file} can't be read: {error.strerror}.") from error
