"""What a person and the shop texted each other; and what all people texted, each with the contact that it is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from blossom.campaigns.models import Campaign
from blossom.contacts.models import Contact
from blossom.messaging.queries.texts import TextRow
from blossom.messaging.queries.texts import texts_to as rows_to
from blossom.people.rules.replies import Heads
from blossom.platform import crypto
from blossom.platform.db import session
from blossom.replies import queries as replies
from blossom.replies.models import InboundText
from blossom.replies.rules import Kept

SHOWN = 20
ON_A_PAGE = 50


@dataclass(frozen=True)
class Text:
    """A text of ours, and the campaign that it was of: (id, name); None for what was no campaign's."""

    row: TextRow
    campaign: tuple[int, str] | None

    @property
    def at(self) -> datetime:
        """When it left, or when it was to."""
        return self.row.sent_at or self.row.failed_at or self.row.created_at


@dataclass(frozen=True)
class Conversation:
    """The newest first: texts of ours (`Text`), and of theirs. `after`: where it goes on, None at the end. `unread`:
    whether there is one among these that nobody has read."""

    said: Sequence[Text | InboundText]
    after: Heads | None = None

    @property
    def unread(self) -> bool:
        return any(each.is_unread for each in self.said if isinstance(each, InboundText))


def conversation(
    shop_id: int, phone_hash: bytes | None, before: Heads | None = None, shown: int | None = None
) -> Conversation:
    """A page of what the shop and a phone texted each other, `SHOWN` of it if no other number is given."""
    if phone_hash is None:
        return Conversation([])
    before, shown = before or Heads(), shown or SHOWN
    rows = rows_to(shop_id, phone_hash, before=before.ours, limit=shown + 1)
    theirs = replies.texts_of(shop_id, phone_hash, before.theirs, shown + 1)
    ours = _with_campaigns(shop_id, rows[:shown])
    # Each of the two keeps its own order, so that a page goes on in both where the one before ended.
    said: list[Text | InboundText] = []
    i = j = 0
    while len(said) < shown and (i < len(ours) or j < len(theirs)):
        if j == len(theirs) or (i < len(ours) and ours[i].at >= theirs[j].received_at):
            said.append(ours[i])
            i += 1
        else:
            said.append(theirs[j])
            j += 1
    more = i < len(rows) or j < len(theirs)
    after = Heads(rows[i - 1].dispatch_id if i else before.ours, theirs[j - 1].id if j else before.theirs)
    return Conversation(said, after if more else None)


def _with_campaigns(shop_id: int, rows: Sequence[TextRow]) -> list[Text]:
    if not rows:
        return []
    found = session.execute(
        select(Campaign.dispatch_id, Campaign.id, Campaign.name).where(
            Campaign.shop_id == shop_id, Campaign.dispatch_id.in_([row.dispatch_id for row in rows])
        )
    )
    campaigns = {row.dispatch_id: (row.id, row.name) for row in found}
    return [Text(row, campaigns.get(row.dispatch_id)) for row in rows]


@dataclass(frozen=True)
class Reply:
    """What somebody texted. `contact`: whose number it is now; None: nobody's who is known here."""

    text: InboundText
    contact: Contact | None


@dataclass(frozen=True)
class Replies:
    """A page of them, the newest first. `after`: the text after which the next one begins, None at the end."""

    rows: Sequence[Reply]
    after: int | None = None


def replies_kept(shop_id: int, kept: Kept, before: int | None = None) -> Replies:
    """A page of what people texted."""
    return _page(shop_id, replies.texts(shop_id, kept, before, ON_A_PAGE + 1))


def replies_of(shop_id: int, e164: str) -> Replies:
    """The newest that a number texted, whoever it is: a page of them, and no next one."""
    phone_hash = crypto.for_shop(shop_id).lookup(e164)
    return _page(shop_id, replies.texts_of(shop_id, phone_hash, limit=ON_A_PAGE))


def reply(shop_id: int, text: InboundText) -> Reply:
    """This one, with whose it is."""
    return _page(shop_id, [text]).rows[0]


def _page(shop_id: int, found: Sequence[InboundText]) -> Replies:
    shown = found[:ON_A_PAGE]
    hashes = {text.phone_hash for text in shown}
    known = {}
    if hashes:
        people = session.scalars(select(Contact).where(Contact.shop_id == shop_id, Contact.phone_hash.in_(hashes)))
        known = {person.phone_hash: person for person in people}
    rows = [Reply(text, known.get(text.phone_hash)) for text in shown]
    return Replies(rows, shown[-1].id if len(found) > ON_A_PAGE else None)
