"""How the coming in of Shopify's customers is put in words; what settings show beside their fields. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blossom.consent.rules import WORDING
from blossom.customers.rules import REFUSED_DOUBLED, REFUSED_TWICE, REFUSED_UNREADABLE, ImportState, Progress
from blossom.message_templates.rules import opt_out
from blossom.platform import languages, localised
from blossom.platform.languages import noted
from blossom.shopify.errors import final_trouble as final_trouble
from blossom.shopify.errors import trouble as trouble

_REFUSED = {
    REFUSED_DOUBLED: noted("have the number of another customer, who was there first"),
    REFUSED_TWICE: noted("were named twice in Shopify's list"),
    REFUSED_UNREADABLE: noted("lines of Shopify's list could not be read"),
    "phone_not_mobile": noted("have a number that takes no texts, such as a fixed line"),
    "phone_several": noted("have more than one number in one field"),
    "phone_too_short": noted("have a number with too few digits"),
    "phone_too_long": noted("have a number with too many digits"),
    "phone_not_valid": noted("have a number that can't exist"),
}


def percent(progress: Progress) -> int | None:
    """How much of the list has been read; None before its length is known."""
    if not progress.lines_total:
        return None
    return min(100, 100 * progress.lines_read // progress.lines_total)


def announcement(progress: Progress) -> str:
    """For screen readers: changes every tenth of the way, not with every number."""
    if progress.state is ImportState.COMPLETED:
        return noted("All customers are in.")
    if progress.state is ImportState.FAILED:
        return noted("The import of customers was given up.")
    done = percent(progress)
    if progress.state is not ImportState.READING or done is None:
        return noted("Customers are being imported.")
    return noted("Customers are being imported: %(done)s percent done.", done=done // 10 * 10)


def refusals(by_code: Mapping[str, int]) -> list[tuple[str, int]]:
    """Why customers could not become contacts, and how many, the most first."""
    told: dict[str, int] = {}
    for code, people in by_code.items():
        words = _REFUSED.get(code, noted("have a number that can't be read"))
        told[words] = told.get(words, 0) + people
    return sorted(told.items(), key=lambda row: -row[1])


@dataclass(frozen=True)
class Wording:
    """A language of the shopper's pages: its name, and what people agree to where the shop has no words of its own."""

    locale: str
    language: str
    ours: str


def wordings(locales: Sequence[str], shop_name: str) -> list[Wording]:
    """Each of `locales`, in their order."""
    names = localised.forms(languages.reader()).languages
    return [
        Wording(locale, names.get(locale, locale), languages.translator(locale)(WORDING, shop=shop_name))
        for locale in locales
    ]


@dataclass(frozen=True)
class Places:
    """Where shoppers find the form, and where a merchant puts it into their theme."""

    form: str
    theme_editor: str


_EMBED = "consent"
"""The app embed block: the name of its file under `extensions/consent-form/blocks`."""


def places(proxy: str, shop_url: str, api_key: str) -> Places:
    """`proxy`: where the shop's pages begin; `shop_url`: where the shop answers. Without a slash at the end, both."""
    return Places(
        form=f"{proxy}/consent",
        theme_editor=f"{shop_url}/admin/themes/current/editor?context=apps&activateAppId={api_key}/{_EMBED}",
    )


MOST_NUMBERS = 10
"""Of the shop's own, to try texts on: as many as one test send takes."""

MOST_KEYS = 20
"""Of the API, in use at a time."""

SCOPE_GROUPS = {
    noted("Campaigns"): ("campaigns:read", "campaigns:write", "campaigns:send"),
    noted("Templates"): ("templates:read", "templates:write"),
    noted("Contacts"): ("contacts:read", "contacts:write"),
    noted("Segments"): ("segments:read", "segments:write"),
    noted("Wallet"): ("wallet:read",),
    noted("Settings"): ("shop:read", "shop:write"),
}
"""What a merchant may let a key do, as the form offers it."""


def is_unanswerable(sender: str, opt_out_text: str) -> bool:
    """Whether the opt-out words ask for an answer, which nobody can give to a name."""
    return opt_out.asks_a_name(sender, opt_out_text)
