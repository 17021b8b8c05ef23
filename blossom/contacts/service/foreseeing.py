"""What saving people would do, without doing it: the reads of `saving`, and none of its writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from blossom.contacts.rules.people import Person
from blossom.contacts.service import saving
from blossom.contacts.service.saving import Outcome
from blossom.platform import crypto


def foresee_people(
    shop_id: int, people: Sequence[Person], given: Collection[str], given_up: Collection[bytes]
) -> tuple[list[Outcome], set[bytes]]:
    """What `saving.save_people` would come to for each of them, in the same order, if the people before had been saved.

    `given_up` (hashes of phones): numbers that contacts would have changed for others by then; those that these people
    would make them change come back. No phone and no customer id may stand twice, in this call or over several.
    """
    if not people:
        return [], set()
    given = frozenset(given) | {"phone"}
    cipher = crypto.for_shop(shop_id)
    hashes = [cipher.lookup(person.phone.e164) for person in people]
    fields = ",".join(sorted(given))
    known = {row.phone_hash: row.fingerprint for row in saving.known_by_phone(shop_id, hashes)}
    moving = [
        (before, place)
        for before, place in saving.known_under_another_number(shop_id, people, hashes)
        if hashes[place] not in known or hashes[place] in given_up
    ]
    given_up_now = {before for before, _ in moving if before is not None}
    keep_their_contact = {place for _, place in moving}
    outcomes = []
    for place, (person, phone_hash) in enumerate(zip(people, hashes, strict=True)):
        if place in keep_their_contact:
            outcomes.append(Outcome.UPDATED)
        elif phone_hash not in known or phone_hash in given_up or phone_hash in given_up_now:
            outcomes.append(Outcome.CREATED)
        else:
            same = known[phone_hash] == saving.fingerprint(cipher, person, fields)
            outcomes.append(Outcome.UNCHANGED if same else Outcome.UPDATED)
    return outcomes, given_up_now
