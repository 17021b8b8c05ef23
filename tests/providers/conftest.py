"""Two providers behind one face: recorded answers, and the stand-in's process. No database is needed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from blossom.mitto.client import MittoClient
from blossom.mitto.payloads import OutgoingText
from blossom.sandbox.mitto.process import StandIn
from tests.providers.receiver import Receiver
from tests.providers.recorded import RecordedProvider, Turn

ACCOUNT = "5998ea4a-1111-4222-8333-444455556666"
TEXTS = [OutgoingText(f"+30698430340{number}", f"Γεια {number} €", "Blossom") for number in range(3)]


@dataclass
class Naps:
    """Stands in for `time.sleep`: remembers, and doesn't wait."""

    taken: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)

    @property
    def total(self) -> float:
        """All of it, in seconds."""
        return round(sum(self.taken), 3)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
def connect(naps: Naps) -> Iterator[Callable[..., MittoClient]]:
    """Makes clients that time out soon and don't really wait between tries."""
    made: list[MittoClient] = []

    def make(url: str, api_key: str = "sandbox-key", **options: Any) -> MittoClient:
        chosen: dict[str, Any] = {"timeout": 0.6, "sleep": naps} | options
        client = MittoClient(url, api_key, **chosen)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def recorded() -> Iterator[RecordedProvider]:
    provider = RecordedProvider()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[StandIn]:
    with StandIn.start() as mitto:
        yield mitto


@pytest.fixture
def stand_in(running_stand_in: StandIn) -> StandIn:
    """The module's stand-in, forgetful and well-behaved."""
    running_stand_in.configure(outcomes={}, faults=[], latency=0.0, seed=1, receipts={"url": ""}, inbound={"url": ""})
    running_stand_in.reset()
    return running_stand_in


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiving = Receiver()
    yield receiving
    receiving.stop()


class RecordedFace:
    """The recorded provider as the suite sees it."""

    def __init__(self, provider: RecordedProvider) -> None:
        self._provider = provider
        self.url = provider.url

    def behave(self, turns: tuple[Turn, ...], faults: tuple[dict[str, Any], ...]) -> None:
        """Answer the next calls with `turns`."""
        self._provider.script(*turns)

    def calls(self) -> int:
        """Send calls that reached the provider."""
        return len(self._provider.requests)

    def taken(self) -> int | None:
        """A recording takes nothing, so there is nothing to count."""
        return None


class StandInFace:
    """The stand-in as the suite sees it."""

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self.url = stand_in.url

    def behave(self, turns: tuple[Turn, ...], faults: tuple[dict[str, Any], ...]) -> None:
        """Let the next calls suffer `faults`."""
        self._stand_in.configure(faults=list(faults))

    def calls(self) -> int:
        """Send calls that reached the provider."""
        return int(self._stand_in.counters().get("send_calls", 0))

    def taken(self) -> int | None:
        """Texts that the provider took."""
        return int(self._stand_in.summary()["texts"])


@pytest.fixture(params=["recorded", "stand_in"])
def provider(request: pytest.FixtureRequest) -> RecordedFace | StandInFace:
    """Each test that asks for it runs twice."""
    if request.param == "recorded":
        return RecordedFace(request.getfixturevalue("recorded"))
    return StandInFace(request.getfixturevalue("stand_in"))
