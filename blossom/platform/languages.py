"""Words in the reader's language: gettext catalogues (`locales/<locale>.po`), read by Babel. Decisions 0023 and 0031.

English stands in the code and templates themselves. Another language is one more file: `docs/languages.md` says how.

Who writes for a given locale (a job, a shopper's page) takes its `translator`. A merchant's pages use `t` and `tn`,
which speak to whoever reads the answer at hand: `pages` and `admin` find that out for each request, `streams.answer`
keeps it for what is written after the request has ended, and `reading` sets it anywhere else.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path

import phonenumbers
from babel import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from markupsafe import Markup, escape

from blossom.platform import localised

SOURCE = "en"
_FOLDER = Path(__file__).resolve().parents[2] / "locales"
_MOST_ASKED = 20
_LONGEST = 35  # of one language tag (RFC 5646, 4.4.1)

Translate = Callable[..., str]
"""`t("Texts from %(shop)s", shop="Ours")`: the message in a language, its places filled in. Gives plain text."""


class Noted(str):
    """English words, their places filled in, that know what they were made of: so `t` can say them in any language.

    To everything else they are text: an answer of the API, a line of a log.
    """

    message: str
    values: dict[str, object]

    @classmethod
    def of(cls, message: str, values: dict[str, object]) -> Noted:
        words = cls(message % {name: _counted(value, SOURCE) for name, value in values.items()} if values else message)
        words.message, words.values = message, values
        return words


def noted(message: str, /, **values: object) -> Noted:
    """A message that is translated later, where it is shown; marked here, so that it is found for the catalogues.

    Of `values`, those that were noted are translated with it, and numbers written as the locale writes them.
    """
    return Noted.of(message, values)


def joined(*sentences: str, by: str = " ") -> Noted:
    """Sentences one after the other, each of them translated on its own."""
    values: dict[str, object] = {f"s{position}": sentence for position, sentence in enumerate(sentences)}
    return Noted.of(by.join(f"%({place})s" for place in values), values)


@cache
def supported() -> tuple[str, ...]:
    """The locales that there are words in, English first."""
    return (SOURCE, *sorted(path.stem for path in _FOLDER.glob("*.po")))


@dataclass(frozen=True)
class Translator:
    """The words of a locale. A value that is markup (of a macro, say) makes all markup, the rest of it escaped."""

    locale: str
    catalogue: Translations | None

    def __call__(self, message: str, /, **values: object) -> str:
        if isinstance(message, Noted):
            values = {name: self._local(value) for name, value in message.values.items()} | values
            return self(message.message, **values)
        found = self.catalogue.gettext(message) if self.catalogue else message
        return _filled(found, values) if values else found

    def _local(self, value: object) -> object:
        return self(value) if isinstance(value, Noted) else _counted(value, self.locale)

    def plural(self, singular: str, plural: str, number: int, /, **values: object) -> str:
        """The form that goes with `number`, which stands at `%(num)s` as the locale writes it."""
        if self.catalogue:
            found = self.catalogue.ngettext(singular, plural, number)
        else:
            found = singular if number == 1 else plural
        return _filled(found, {"num": localised.number(number, self.locale), **values})


def _counted(value: object, locale: str) -> object:
    return localised.number(value, locale) if isinstance(value, int) else value


def _filled(message: str, values: dict[str, object]) -> str:
    if any(hasattr(value, "__html__") for value in values.values()):
        return Markup(escape(message)) % values  # noqa: S704  (escaped right here, and `%` escapes what is put in)
    return message % values


@cache
def translator(locale: str) -> Translator:
    """The words of `locale`, one of `supported`."""
    return Translator(locale, _read(locale))


_reader: ContextVar[str] = ContextVar("reader", default=SOURCE)


def reader() -> str:
    """The locale of whoever reads what is being written."""
    return _reader.get()


def write_for(locale: str) -> None:
    """Write for readers of `locale`, one of `supported`, until the next call."""
    _reader.set(locale)


@contextmanager
def reading(locale: str) -> Iterator[None]:
    """Within it, write for readers of `locale`."""
    token = _reader.set(locale)
    try:
        yield
    finally:
        _reader.reset(token)


def t(message: str, /, **values: object) -> str:
    """`message` in the reader's language, its places filled in: `t("Texts from %(shop)s", shop="Ours")`."""
    return translator(reader())(message, **values)


def tn(singular: str, plural: str, number: int, /, **values: object) -> str:
    """The same of what is counted: `tn("%(num)s contact", "%(num)s contacts", 2)`."""
    return translator(reader()).plural(singular, plural, number, **values)


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
    names = localised.forms(locale).territories
    found = [
        (code, names.get(code, code), phonenumbers.country_code_for_region(code))
        for code in phonenumbers.SUPPORTED_REGIONS
    ]
    return tuple(sorted(found, key=lambda country: _plain(country[1])))


def country(code: str) -> str:
    """The reader's name of a country by its two letters; ZZ is that of numbers that belong to none."""
    return t("No country's own numbers") if code == "ZZ" else localised.country(code, reader())


def _plain(name: str) -> str:
    """For sorting: without accents and case."""
    return "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c)).casefold()
