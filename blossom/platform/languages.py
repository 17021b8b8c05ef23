"""Words in the reader's language: gettext catalogues (`locales/<locale>.po`), read by Babel. Decision 0023.

English stands in the code and templates themselves. Another language is one more file: `docs/languages.md` says how.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

import phonenumbers
from babel import Locale, negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

SOURCE = "en"
_FOLDER = Path(__file__).resolve().parents[2] / "locales"
_MOST_ASKED = 20
_LONGEST = 35  # of one language tag (RFC 5646, 4.4.1)

Translate = Callable[..., str]
"""`t("Texts from %(shop)s", shop="Ours")`: the message in a language, its places filled in. Gives plain text."""


def noted(message: str) -> str:
    """A message that is translated later, where it is shown; marked here, so that it is found for the catalogues."""
    return message


@cache
def supported() -> tuple[str, ...]:
    """The locales that there are words in, English first."""
    return (SOURCE, *sorted(path.stem for path in _FOLDER.glob("*.po")))


@cache
def translator(locale: str) -> Translate:
    """The words of `locale`, one of `supported`."""
    catalogue = _read(locale)

    def translate(message: str, **values: object) -> str:
        found = catalogue.gettext(message) if catalogue else message
        return found % values if values else found

    return translate


def _read(locale: str) -> Translations | None:
    if locale == SOURCE:
        return None
    compiled = BytesIO()
    with (_FOLDER / f"{locale}.po").open("rb") as file:
        write_mo(compiled, read_po(file, locale=locale.replace("-", "_")))
    compiled.seek(0)
    return Translations(compiled)


@lru_cache(maxsize=1_024)
def choose(asked: str | None, accept_language: str | None) -> str:
    """The best of `supported` for a reader: what was `asked` for (a tag such as `el-GR`), else what the browser accepts
    (the header Accept-Language), else English. Whatever cannot be read is passed over."""
    wanted = [asked or "", *_accepted(accept_language or "")]
    tags = [tag.replace("_", "-") for tag in wanted if tag and len(tag) <= _LONGEST and tag.isascii()]
    found = negotiate_locale(tags, supported(), sep="-")
    return found or SOURCE


def _accepted(header: str) -> list[str]:
    """The languages of the header, the best first."""
    ranked = []
    for position, item in enumerate(header[:500].split(",")[:_MOST_ASKED]):
        tag, _, quality = item.partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        if tag.strip() and weight > 0:
            ranked.append((-weight, position, tag.strip()))
    return [tag for _, _, tag in sorted(ranked)]


def region_of(asked: str | None) -> str | None:
    """The country that a tag names (`el-GR`: GR), if it names one that has phones."""
    parts = (asked or "").replace("_", "-").split("-")
    named = next((part.upper() for part in parts[1:] if len(part) == 2), None)
    return named if named in phonenumbers.SUPPORTED_REGIONS else None


@cache
def countries(locale: str) -> tuple[tuple[str, str, int], ...]:
    """Each country that has phones: its two letters, its name in `locale`, its calling code; in order of the names."""
    names = Locale.parse(locale, sep="-").territories
    found = [
        (code, names.get(code, code), phonenumbers.country_code_for_region(code))
        for code in phonenumbers.SUPPORTED_REGIONS
    ]
    return tuple(sorted(found, key=lambda country: _plain(country[1])))


def _plain(name: str) -> str:
    """For sorting: without accents and case."""
    return "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c)).casefold()
