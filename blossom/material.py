"""`blossom check`: what an import and a campaign would say to a customer file and a text. Needs no server."""

from __future__ import annotations

import dataclasses
from typing import BinaryIO

import click
import orjson

from blossom.contacts import service as contacts
from blossom.message_templates.rules import linter
from blossom.message_templates.rules.catalogue import Trigger
from blossom.platform.errors import BlossomError


@click.command("check")
@click.option("--file", type=click.File("rb"), help="A customer file, as for `shop import`.")
@click.option("--encoding", help="Of that file.")
@click.option("--text", help="A campaign's text.")
def command(file: BinaryIO | None, encoding: str | None, text: str | None) -> None:
    """Judge a customer file and a text as an import and a campaign would; needs no server. Prints what it read."""
    read: dict[str, object] = {}
    if text is not None:
        _check_text(text)
        read["text"] = {"segments": linter.example_segments(text, Trigger.CAMPAIGN, "en")}
    if file is not None:
        read["file"] = dataclasses.asdict(contacts.check_file(file, encoding=encoding))
    click.echo(orjson.dumps(read, default=str).decode())


def _check_text(text: str) -> None:
    faults = [finding for finding in linter.lint(text, Trigger.CAMPAIGN) if finding.level is linter.Level.ERROR]
    if faults:
        told = [f"{fault.message} (line {fault.line}, column {fault.column}) {fault.actionable}" for fault in faults]
        raise BlossomError("\n".join(["This text can't be sent:", *told]), code="cannot_send")
