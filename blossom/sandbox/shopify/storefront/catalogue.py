"""What every shop of the stand-in sells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """`price`: hundredths of the shop's currency."""

    id: int
    handle: str
    title: str
    about: str
    price: int

    @property
    def variant_id(self) -> int:
        """Its only variant."""
        return self.id + 1


PRODUCTS = {
    product.handle: product
    for product in (
        Product(8_100_000_000_000, "olive-soap", "Olive soap", "A bar of 100 g, cut by hand.", 450),
        Product(8_100_000_000_010, "linen-towel", "Linen towel", "Woven in Soufli, 70 by 140 cm.", 1900),
        Product(8_100_000_000_020, "thyme-honey", "Thyme honey", "From Kythira, 450 g.", 1250),
    )
}
