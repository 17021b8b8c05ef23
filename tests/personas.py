"""Two shops: ours, and theirs, which ours must never see. Each view and API route has a "theirs" case."""

from __future__ import annotations

from dataclasses import dataclass

from blossom.shops.models import Shop
from tests.factories.shops import create_shop


@dataclass(frozen=True)
class Personas:
    ours: Shop
    theirs: Shop


def make_personas() -> Personas:
    return Personas(
        ours=create_shop(),
        theirs=create_shop(domain="theirs.myshopify.com", name="Theirs", sender="Theirs"),
    )
