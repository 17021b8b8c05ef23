"""The words of an import: its states, what it reports, and what a list says of consent."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ImportState(StrEnum):
    RUNNING = "running"  # or stopped by a kill
    COMPLETED = "completed"
    FAILED = "failed"  # stopped by a fault of ours; like after a kill, the same file given again goes on


class ListedConsent(StrEnum):
    """What a customer list says about SMS marketing."""

    YES = "yes"
    NO = "no"  # not subscribed: never was, or no longer is
    UNSUBSCRIBED = "unsubscribed"  # said so


_CONSENT_WORDS = {
    ListedConsent.YES: ("yes", "true", "1", "y", "subscribed", "opted_in", "opted in", "ναι"),
    ListedConsent.NO: ("no", "false", "0", "n", "not_subscribed", "never_subscribed", "pending", "redacted", "όχι"),
    ListedConsent.UNSUBSCRIBED: ("unsubscribed", "opted_out", "opted out"),
}
_CONSENT = {word: consent for consent, words in _CONSENT_WORDS.items() for word in words}


def listed_consent(cell: str) -> ListedConsent | None:
    """What the cell says. Empty, or a word that we don't know: None, which changes nothing."""
    return _CONSENT.get(cell.strip().casefold())


@dataclass(frozen=True)
class Attestation:
    """A merchant's word that the people of a list agreed to be texted. Kept with the import and with each event.

    `of_everybody`: of all whose own number the list gives and of whose consent it says nothing, too.
    """

    actor: str  # who attests, as the audit trail names them
    wording: str  # the sentence that they confirmed
    of_everybody: bool = False


@dataclass(frozen=True)
class Refused:
    """A line that is not imported. `line` is where it begins in the file (from 1), `column` the file's own header.

    `text` is for a person, and quotes what stood there masked only.
    """

    line: int
    column: str | None
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Imported:
    """A line that stands in the contacts now, and what the list says of consent for its number. `contact_id` None: in a
    dry run. `own_number`: the number is the customer's own, not their address's."""

    line: int
    contact_id: int | None
    phone_hash: bytes
    consent: ListedConsent | None
    own_number: bool


@dataclass(frozen=True)
class ImportedChunk:
    """What a caller's `on_chunk` is told, within the chunk's transaction."""

    shop_id: int
    import_id: int
    attestation: Attestation | None
    people: list[Imported]


@dataclass(frozen=True)
class ImportReport:
    """What an import did. Rows are counted without the header and without empty lines.

    rows_read = created + updated + unchanged + refused.
    """

    import_id: int
    state: ImportState
    rows_total: int
    rows_read: int
    created: int
    updated: int
    unchanged: int
    refused: int
    refused_by_code: dict[str, int]
    tallies: dict[str, int]  # counted by the caller's `on_chunk`, and "ignored_<field>": cells that could not be read
    first_refused: list[Refused] = field(default_factory=list)  # the first of them; all by `queries.refusals`
    seconds: float = 0.0  # of this run; a resumed import ran before as well

    @property
    def imported(self) -> int:
        """Lines that stand in the contacts now."""
        return self.created + self.updated + self.unchanged
