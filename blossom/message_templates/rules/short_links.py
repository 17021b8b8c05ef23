"""Short links in texts: what an address must be to get one, how a short one looks, and what stands in for it.

`{{ "https://shop.example/sale" | shortlink }}` becomes `https://<shop's site><its proxy>/s/<code>`. The code is another
one in each text and has always the same length, so a text's size is exact before any code is made. Who sends a text
gives the short addresses as values (`ShortLink.slot`); who only looks at one, `CompiledText.stand_ins`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from blossom.platform.languages import noted

CODE_LENGTH = 18
"""Letters and digits of a code, as `links.rules.codes` makes it (a test holds the two together)."""

STAND_IN = "ExampleExampleExam"
"""Where a code will stand. It is none: codes have no l."""

EXAMPLE_SITE = "https://shop.example/apps/blossom"
"""Where a shop's proxy stands, in texts that are looked at without a shop."""

OPT_OUT_LINK = "opt_out_link"
"""The variable that holds a recipient's own opt-out link. It is short by itself."""

LONGEST = 500
"""Characters of a long address."""

_host = re.compile(r"(?!-)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])", re.IGNORECASE)
_address = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # what RFC 3986 allows: no space, quote, angle bracket, brace, backslash


@dataclass(frozen=True, slots=True)
class ShortLink:
    """A link that a text shortens. `number`: its place among the text's links, from 1; the same address has one.

    `address`: where it leads, or None if that differs from person to person: then `variable` holds it.
    """

    number: int
    address: str | None
    variable: str | None = None

    @property
    def slot(self) -> str:
        """The name under which `CompiledText.render` wants the short address. No variable can be called so."""
        return f"link {self.number}"


def address_of(site: str, code: str) -> str:
    """The short link. `site`: where the shop's proxy stands (`https://shop.example/apps/blossom`)."""
    return f"{site}/s/{code}"


def opt_out_address_of(site: str, code: str) -> str:
    """The link to a recipient's own opt-out page."""
    return f"{site}/unsubscribe/{code}"


def fault_of(address: str) -> str | None:
    """Why `address` can't be where a short link leads, or None."""
    if len(address) > LONGEST:
        return noted("is longer than %(longest)s characters", longest=LONGEST)
    if not address.startswith("https://"):
        return noted("must begin with https://")
    if not _address.fullmatch(address):
        return noted("has a character that an address can't hold; copy it from the browser's address bar")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:  # half an IPv6 address, a port that is no number
        return noted("can't be read as an address")
    if "@" in parts.netloc:
        return noted("must not hold a name or a password")
    if port not in (None, 443) or not _host.fullmatch(parts.hostname or ""):
        return noted("must name a site, such as https://shop.example")
    return None
