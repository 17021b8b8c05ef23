"""`blossom keys …`."""

from __future__ import annotations

import click
from sqlalchemy import select

from blossom.commands.installation import answer, application, shop_called
from blossom.platform import crypto, db, resealing
from blossom.shops.models import Shop


@click.group("keys")
def keys() -> None:
    """Encryption keys."""


@keys.command("rewrap")
def rewrap() -> None:
    """Wrap every shop's keys under the first of BLOSSOM_MASTER_KEYS; after it, the older ones may go."""
    with application(), db.transaction() as session:
        done = sum(crypto.rewrap(shop_id) for shop_id in session.scalars(select(Shop.id)))
        answer({"rewrapped": done})


@keys.command("rotate")
@click.argument("domain")
def rotate(domain: str) -> None:
    """Seal a shop's personal data under a new key. The old key stays until `blossom keys prune`."""
    with application():
        with db.transaction():
            shop_id = shop_called(domain).id
        answer({"resealed": resealing.rotate(shop_id)})


@keys.command("prune")
@click.argument("domain")
def prune(domain: str) -> None:
    """Destroy a shop's old data keys, ten minutes or more after a rotation."""
    with application():
        with db.transaction():
            shop_id = shop_called(domain).id
        answer({"destroyed": resealing.prune(shop_id)})
