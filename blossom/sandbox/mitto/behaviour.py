"""How the stand-in behaves: one document, given at start or changed while it runs (`POST /_sandbox/behaviour`).

A change names sections; `receipts` and `inbound` are merged field by field, every other one is replaced.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from blossom.sandbox.mitto.faults import Fault
from blossom.sandbox.mitto.outcomes import Outcomes
from blossom.sandbox.mitto.receipt_shapes import SHAPES

T = TypeVar("T")
ORDERS = ("in_order", "reversed", "shuffled")


class BehaviourError(ValueError):
    """The document can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Proof:
    """How a webhook proves itself. Both may be set; neither means none."""

    hmac_secret: str = ""
    signature_header: str = "X-Mitto-Signature"
    token: str = ""
    token_header: str = "X-Blossom-Webhook-Token"  # noqa: S105  a header's name, not a token


@dataclass(frozen=True, slots=True)
class ReceiptBehaviour:
    """What is posted about each text taken. An empty `url` posts nothing.

    `delay`: seconds between taking and posting, at least and at most. `hold`: nothing is posted until
    `/_sandbox/receipts/flush`. `order` is kept among receipts that are due together (all of them after a hold), and
    on the wire only with `connections` 1. `repeats`: each that many times. `before_answer`: posted, and answered,
    before the send's own answer. `array_size`: receipts in a body (1: a bare object). Shares are of texts: `loss`
    never posted; `forged`: one more with a wrong proof and the opposite status; `unknown`: one more, well signed,
    about a text that doesn't exist. `sent_first`: a `Sent` before the final one. `tries`: posts of a body that
    isn't answered with 2xx, with growing pauses from `retry_seconds`.
    """

    url: str = ""
    proof: Proof = Proof()
    delay: tuple[float, float] = (0.0, 0.0)
    hold: bool = False
    order: str = "in_order"
    repeats: int = 1
    before_answer: bool = False
    array_size: int = 1
    loss_share: float = 0.0
    forged_share: float = 0.0
    unknown_share: float = 0.0
    sent_first: bool = False
    shape: str = "deliveryStatus"
    connections: int = 4
    tries: int = 8
    retry_seconds: float = 0.2

    def __post_init__(self) -> None:
        _require(self.order in ORDERS, f"receipts.order is one of {', '.join(ORDERS)}")
        _require(self.shape in SHAPES, f"receipts.shape is one of {', '.join(SHAPES)}")
        _require(0 <= self.delay[0] <= self.delay[1], "receipts.delay is [at least, at most]")
        _require(self.repeats >= 1 and self.array_size >= 1, "receipts.repeats and array_size are at least 1")
        _require(1 <= self.connections <= 64 and self.tries >= 1, "receipts.connections is 1 to 64, tries at least 1")
        _require(_reachable(self.url), "receipts.url is http://…")


@dataclass(frozen=True, slots=True)
class InboundBehaviour:
    """Where texts of people are posted, and with which proof."""

    url: str = ""
    proof: Proof = Proof()

    def __post_init__(self) -> None:
        _require(_reachable(self.url), "inbound.url is http://…")


@dataclass(frozen=True, slots=True)
class OutcomeBehaviour:
    """The rules of `outcomes.Outcomes`, as words."""

    exact: dict[str, str] = field(default_factory=dict)
    suffix: dict[str, str] = field(default_factory=dict)
    prefix: dict[str, str] = field(default_factory=dict)
    blocked_words: tuple[str, ...] = ()
    share: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """All of it. `latency`: seconds before each answer to a send."""

    api_keys: tuple[str, ...] = ("sandbox-key",)
    seed: int = 1
    latency: float = 0.0
    outcomes: OutcomeBehaviour = field(default_factory=OutcomeBehaviour)
    faults: tuple[Fault, ...] = ()
    receipts: ReceiptBehaviour = field(default_factory=ReceiptBehaviour)
    inbound: InboundBehaviour = field(default_factory=InboundBehaviour)

    def rules(self) -> Outcomes:
        """The outcome rules, ready to be asked. ValueError for a word that stands for none."""
        chosen = self.outcomes
        return Outcomes(
            exact=chosen.exact,
            suffix=chosen.suffix,
            prefix=chosen.prefix,
            blocked_words=chosen.blocked_words,
            share=chosen.share,
            seed=self.seed,
        )


def changed(behaviour: Behaviour, document: Any) -> Behaviour:
    """`behaviour` with the sections that `document` names. `BehaviourError` says what can't be used."""
    _require(isinstance(document, dict), "the behaviour is an object")
    given = dict(document)
    try:
        if "outcomes" in given:
            given["outcomes"] = _merged(OutcomeBehaviour(), given["outcomes"], "outcomes")
        if "faults" in given:
            given["faults"] = tuple(_merged(Fault(), each, "faults") for each in given["faults"])
        if "receipts" in given:
            given["receipts"] = _webhook(behaviour.receipts, given["receipts"], "receipts")
        if "inbound" in given:
            given["inbound"] = _webhook(behaviour.inbound, given["inbound"], "inbound")
        new = _merged(behaviour, given, "behaviour")
        new.rules()
    except BehaviourError:
        raise
    except (TypeError, ValueError) as error:
        raise BehaviourError(str(error)) from None
    return new


def _webhook(current: T, document: Any, where: str) -> T:
    _require(isinstance(document, dict), f"{where} is an object")
    given = dict(document)
    if "proof" in given:
        given["proof"] = _merged(Proof(), given["proof"], f"{where}.proof")
    return _merged(current, given, where)


def _merged(current: T, given: Any, where: str) -> T:
    """`current` (a dataclass) with the given fields; lists become the tuples that the fields are."""
    _require(isinstance(given, dict), f"{where} is an object")
    assert dataclasses.is_dataclass(current)
    assert not isinstance(current, type)
    known = {each.name for each in dataclasses.fields(current)}
    unknown = sorted(set(given) - known)
    _require(not unknown, f"{where} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return dataclasses.replace(current, **values)


def _reachable(url: str) -> bool:
    """Empty, or one that the stand-in can post to: it speaks plain HTTP only."""
    return not url or (urlsplit(url).scheme == "http" and bool(urlsplit(url).hostname))


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BehaviourError(message)
