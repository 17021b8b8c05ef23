"""How the test of a campaign's texts stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from blossom.campaigns.models import Campaign
from blossom.campaigns.rules.ab_test import LETTERS
from blossom.messaging import queries as messaging
from blossom.messaging.rules.states import DispatchState


@dataclass(frozen=True)
class TextStanding:
    """One text. `source`: as it is sent, with the opt-out line. `share`: per cent of the audience that the test was to
    send it to. `recipients`: who got it or is to; of the winner, the rest too. `sent`: those of them without a final
    word yet. `clicked`: people who have opened a link of it."""

    letter: str
    source: str
    share: int
    recipients: int
    sent: int
    delivered: int
    failed: int
    clicked: int
    is_winner: bool

    @property
    def clicked_rate(self) -> float | None:
        """Of those it has reached (sent and delivered), 0 to 1; None while it has reached nobody."""
        left = self.sent + self.delivered
        return self.clicked / left if left else None


@dataclass(frozen=True)
class AbStanding:
    """`waiting`: people of the rest, who get the winner. `decides_at`: when it is decided by clicks; None while the
    test isn't through, where somebody is to choose, and once there is a winner. `winner`: its number (0 is A), chosen
    by `chosen_by` ("clicks", or an actor) at `chosen_at`. `may_choose`: a winner can be chosen by hand now."""

    texts: list[TextStanding]
    waiting: int
    decides_at: datetime | None
    winner: int | None
    chosen_by: str | None
    chosen_at: datetime | None
    may_choose: bool


def ab_test(shop_id: int, campaign: Campaign) -> AbStanding | None:
    """None for a campaign of one text, and for one of which nothing was sent yet. Four statements at most."""
    if campaign.ab_test is None or campaign.dispatch_id is None:
        return None
    found = messaging.standing(shop_id, campaign.dispatch_id)
    if found is None:
        return None
    return AbStanding(
        texts=[
            TextStanding(
                letter=LETTERS[each.number],
                source=each.source,
                share=each.share,
                recipients=each.recipients,
                sent=each.sent,
                delivered=each.delivered,
                failed=each.failed,
                clicked=each.clicked,
                is_winner=each.number == found.winner,
            )
            for each in found.texts
        ],
        waiting=found.waiting,
        decides_at=found.decides_at,
        winner=found.winner,
        chosen_by=found.chosen_by,
        chosen_at=found.chosen_at,
        may_choose=found.winner is None
        and found.waiting > 0
        and found.state in (DispatchState.SENDING, DispatchState.PAUSED),
    )
