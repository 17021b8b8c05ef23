"""Customer files with what they say of consent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from blossom.consent import queries
from blossom.consent.rules import Deed, Source, State
from blossom.consent.service.changes import Change, Step, apply, foresee
from blossom.contacts import service as contacts
from blossom.contacts.rules import Attestation, ImportReport, ListedConsent
from blossom.contacts.rules.imports import Imported, ImportedChunk


def import_customers(
    shop_id: int,
    stream: BinaryIO,
    *,
    filename: str,
    mapping: Mapping[str, str] | None = None,
    attestation: Attestation | None = None,
    encoding: str | None = None,
    progress: contacts.OnProgress | None = None,
    following: contacts.Following | None = None,
    chunk_rows: int = contacts.CHUNK_ROWS,
) -> ImportReport:
    """Import a customer file with its consent: the contract of `contacts.import_csv`, and each chunk's consent with it.

    "Accepts SMS Marketing: yes" opts in if the merchant attests (`attestation`) that these people agreed; without, they
    are contacts only. "No" takes back an opt-in that only a list had proven. "Unsubscribed" opts out. Nobody who opted
    out here is opted in again. The report's `tallies` count each of these: `consent_opted_in`, `consent_already`,
    `consent_opted_out`, `consent_opted_out_stands`, `consent_retracted`, `consent_not_attested`.

    A dry run (`following`) counts what there would be of each with the merchant's word, and besides, whatever the file
    says of them, `stand_opted_in` and `stand_opted_out`: its people who stand so now.
    """
    return contacts.import_csv(
        shop_id,
        stream,
        filename=filename,
        mapping=mapping,
        attestation=attestation,
        encoding=encoding,
        on_chunk=_foresee_consent if following is not None and following.dry_run else _read_consent,
        progress=progress,
        following=following,
        chunk_rows=chunk_rows,
    )


_LISTED = {
    ListedConsent.YES: Deed.OPT_IN,
    ListedConsent.NO: Deed.RETRACT,
    ListedConsent.UNSUBSCRIBED: Deed.OPT_OUT,
}
_TALLY = {State.OPTED_IN: "opted_in", State.OPTED_OUT: "opted_out", State.NEVER_SUBSCRIBED: "retracted"}


def _read_consent(chunk: ImportedChunk) -> Mapping[str, int]:
    tallies, steps = _steps(chunk)
    _count(tallies, steps, apply(chunk.shop_id, steps))
    return tallies


def _foresee_consent(chunk: ImportedChunk) -> Mapping[str, int]:
    tallies, steps = _steps(chunk)
    _count(tallies, steps, foresee(chunk.shop_id, steps))
    standing = Counter(queries.states_of(chunk.shop_id, {person.phone_hash for person in chunk.people}).values())
    tallies["stand_opted_in"] = standing[State.OPTED_IN]
    tallies["stand_opted_out"] = standing[State.OPTED_OUT]
    return tallies


def _steps(chunk: ImportedChunk) -> tuple[Counter[str], list[Step]]:
    """What the list, and the merchant's word for it, do to consent; and what is missing for more."""
    tallies: Counter[str] = Counter()
    steps = []
    for person in chunk.people:
        consent = _consent_of(person, chunk.attestation)
        if consent is None:
            continue
        if consent is ListedConsent.YES and chunk.attestation is None:
            tallies["consent_not_attested"] += 1
            continue
        attested = chunk.attestation if consent is ListedConsent.YES else None
        steps.append(
            Step(
                person.phone_hash,
                _LISTED[consent],
                Source.IMPORT,
                contact_id=person.contact_id,
                wording=attested.wording if attested else None,
                actor=attested.actor if attested else None,
                details={"import_id": chunk.import_id, "line": person.line},
            )
        )
    return tallies, steps


def _consent_of(person: Imported, attestation: Attestation | None) -> ListedConsent | None:
    if person.consent is None and person.own_number and attestation is not None and attestation.of_everybody:
        return ListedConsent.YES
    return person.consent


def _count(tallies: Counter[str], steps: Sequence[Step], changes: Sequence[Change]) -> None:
    for step, change in zip(steps, changes, strict=True):
        if change.changed:
            tallies[f"consent_{_TALLY[change.state]}"] += 1
        elif step.deed is not Deed.RETRACT:  # a "no" that changes nothing is most people, and nothing to count
            tallies[f"consent_{change.refused}"] += 1
