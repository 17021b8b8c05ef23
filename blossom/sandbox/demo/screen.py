"""What the demo shows in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from blossom.sandbox.demo.figures import Figures

_REFUSALS_SHOWN = 5


class Screen:
    """Prints to stdout, or to stderr where stdout is for a program (`--json`)."""

    def __init__(self, *, to_stderr: bool = False) -> None:
        self.console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)

    def say(self, words: str = "") -> None:
        self.console.print(words)

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        """Show that something is going on, and that it is done."""
        with self.console.status(f"{escape(words)}…"):
            yield
        self.console.print(f"[green]✓[/] {escape(words)}")

    def show_import(self, report: Mapping[str, Any]) -> None:
        self.console.print(
            f"  {report['rows_read']:,} lines: [b]{report['imported']:,} imported[/], {report['refused']:,} refused, "
            f"{report['tallies'].get('consent_opted_in', 0):,} agreed to texts"
        )
        for refusal in report["first_refused"][:_REFUSALS_SHOWN]:
            self.console.print(f"  [dim]line {refusal['line']}: {escape(refusal['text'])}[/]")
        if report["refused"] > _REFUSALS_SHOWN:
            self.console.print(f"  [dim]… and {report['refused'] - _REFUSALS_SHOWN:,} more[/]")

    def show_bulk_import(self, progress: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        self.console.print(
            f"  {progress['lines_read']:,} customers: [b]{report['imported']:,} imported[/], "
            f"{progress['without_phone']:,} without a phone, {progress['refused']:,} whose phone can't be texted"
        )

    def show_preview(self, preview: Mapping[str, Any]) -> None:
        sizes = preview["segmentsMin"], preview["segmentsMax"]
        size = f"{sizes[0]}" if sizes[0] == sizes[1] else f"{sizes[0]} to {sizes[1]}"
        self.console.print(
            f"  [b]{preview['recipientCount']:,} recipients[/], {size} segments each, {preview['segmentsTotal']:,} in "
            f"all: {preview['estimatedCost']:,} of {preview['credit']['available']:,} credits"
        )
        if preview["leftOut"]:
            reasons = (f"{people:,} {reason.replace('_', ' ')}" for reason, people in preview["leftOut"].items())
            self.console.print(f"  left out: {', '.join(reasons)}")
        for sample in preview["samples"]:
            text = escape(sample["text"].replace("\n", " "))
            self.console.print(f"  [dim]{sample['phone']}[/] {text} [dim]({sample['encoding']})[/]")
        for group in preview["putOff"]:
            self.console.print(
                f"  [yellow]put off until {group['until']}: {group['recipients']:,} recipients asleep[/]"
            )

    @contextmanager
    def sending(self, expected: int) -> Iterator[Callable[[Mapping[str, Any], int], None]]:
        """Two live bars: texts handed to the provider, and receipts that came back."""
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>10}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console) as bars:
            texts = bars.add_task("Texts to Mitto", total=expected, rate="")
            receipts = bars.add_task("Receipts home", total=expected, rate="")

            def show(progress: Mapping[str, Any], put_off: int) -> None:
                going = max(progress["total"] - put_off, 0) or expected
                rate = progress["messagesPerSecond"]
                bars.update(
                    texts, completed=progress["processed"], total=going, rate=f"{rate:,.0f} a second" if rate else ""
                )
                bars.update(receipts, completed=progress["delivered"] + progress["failed"], total=going)

            yield show

    def show_report(self, found: Figures, faults: list[str]) -> None:
        """Ours beside the provider's own log, and what does not agree."""
        ours = Table(title="Report", title_justify="left", show_header=False)
        ours.add_column()
        ours.add_column(justify="right")
        for label, value in _rows(found):
            ours.add_row(label, value)
        log = Table(title="The provider's own log", title_justify="left")
        for heading in ("", "ours", "provider"):
            log.add_column(heading, justify="left" if not heading else "right")
        taken = found.sent - found.not_taken
        log.add_row("texts taken", f"{taken:,}", f"{found.provider_log.texts:,}")
        log.add_row("distinct phones", "", f"{found.provider_log.distinct_phones:,}")  # we count no phones, so not ours
        log.add_row("phones texted twice", "", f"{found.provider_log.doubled:,}")
        if found.provider_log.ids is not None:  # else ours are the provider's, and nothing is compared
            log.add_row("segments", f"{found.segments:,}", f"{found.provider_log.segments:,}")
        self.console.print(ours)
        self.console.print(log)
        if found.shopify_log is not None:
            shopify = found.shopify_log
            self.console.print(
                f"Shopify's stand-in: {shopify.customers:,} customers, {shopify.subscribed:,} subscribed to texts, "
                f"{shopify.texted_unsubscribed} of the others texted; {shopify.token_exchanges} token exchanges, "
                f"{shopify.bulk_operations} bulk operation"
            )
        for fault in faults:
            self.console.print(f"[red]✗ {escape(fault)}[/]")
        if not faults:
            self.console.print("[green]✓ Our report and the logs say the same.[/]")
        if found.scheduled:
            self.console.print(
                f"[yellow]{found.scheduled:,} recipients are asleep; their texts stay scheduled for their morning.[/]"
            )

    def plain(self, words: str) -> None:
        """Something to be copied: no markup, and not wrapped."""
        self.console.print(words, markup=False)


def _rows(found: Figures) -> Iterator[tuple[str, str]]:
    what = "lines" if found.shopify_log is None else "customers"
    yield f"imported {what}", f"{found.imported:,}"
    yield f"refused {what}", f"{found.refused:,}"
    for reason, number in found.left_out.items():
        yield f"  left out: {reason.replace('_', ' ')}", f"{number:,}"
    yield "[b]recipients[/]", f"[b]{found.recipients:,}[/]"
    for reason, number in found.skipped.items():
        yield f"  skipped: {reason.replace('_', ' ')}", f"{number:,}"
    yield "sent", f"{found.sent:,}"
    yield "  delivered", f"{found.delivered:,}"
    yield "  failed", f"{found.failed:,}"
    if found.not_taken:
        yield "    of these, refused by the provider", f"{found.not_taken:,}"
    if waiting := found.sent - found.delivered - found.failed:
        yield "  no receipt yet", f"{waiting:,}"
    yield "unconfirmed", f"{found.unconfirmed:,}"
    if found.scheduled:
        yield "still scheduled", f"{found.scheduled:,}"
    yield "segments", f"{found.segments:,}"
    yield "credits", f"{found.credits:,}"
    yield "seconds from click to last text", f"{found.seconds:.2f}"
    yield "texts a second", f"{found.messages_per_second:,.1f}"
