"""What becomes of a campaign's recipients, in words and in shares of the whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blossom.messaging.rules.states import MessageState
from blossom.platform.languages import noted

_WORDS = (
    ("delivered", noted("Delivered"), noted("The phone has it.")),
    ("sent", noted("On their way"), noted("Mitto took them; no receipt yet.")),
    ("failed", noted("Failed"), noted("Mitto or the network could not deliver them.")),
    (
        "skipped",
        noted("Skipped"),
        noted("Ruled out by consent, limits or quiet hours at the moment of sending."),
    ),
    ("unconfirmed", noted("Unconfirmed"), noted("Mitto's answer was lost. Never sent again automatically.")),
    ("cancelled", noted("Cancelled"), noted("They never left.")),
    ("pending", noted("Still to go"), noted("Not handed to Mitto yet.")),
)

STATES: Mapping[str, str] = {
    **{key: label for key, label, _ in _WORDS},
    MessageState.SENDING.value: noted("Being handed over"),
}
"""What one message's state is called, for `t`."""


@dataclass(frozen=True)
class Outcome:
    """A row of the table and a stretch of the bar; words are for `t`. `begin`, `share`: percent of all recipients."""

    key: str
    label: str
    meaning: str
    count: int
    begin: float
    share: float


def outcomes(counts: Mapping[str, int], total: int) -> list[Outcome]:
    """Each outcome in the order of the bar. `counts` by key; what is being handed over is still to go."""
    rows, begin = [], 0.0
    for key, label, meaning in _WORDS:
        number = counts[key] + (counts["sending"] if key == "pending" else 0)
        share = 100 * number / total if total else 0.0
        rows.append(Outcome(key, label, meaning, number, begin, share))
        begin += share
    return rows
