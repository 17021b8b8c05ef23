"""The API's three calls (facts A1–A3): who may, what is taken, and what is answered."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from blossom.sandbox.mitto.behaviour import Behaviour
from blossom.sandbox.mitto.faults import Fault, FaultChooser, answer_badly
from blossom.sandbox.mitto.http import Connection, Request
from blossom.sandbox.mitto.ids import call_prefix, message_ids
from blossom.sandbox.mitto.log import Call, TextLog, fate
from blossom.sandbox.mitto.outcomes import DELIVERED, INVALID, Outcome
from blossom.sandbox.mitto.posting import Poster
from blossom.sandbox.mitto.receipts import Receipts
from blossom.sandbox.mitto.segments import segments

SINGLE_PATH = "/api/v1.1/Messages/send"
BULK_PATH = "/api/v1.1/Messages/sendmessagesbulk"
STATUS_PATH = "/api/v1.1/Messages/"
_MOST_TEXTS = 1_000
_MOST_BYTES = 1_000_000

Entries = list[tuple[str, str, str, str]]  # destination, text, sender, account


class Unusable(ValueError):
    """A request of the wrong shape."""


class Provider:
    """State and behaviour of the stand-in. Made inside a running event loop."""

    def __init__(self, behaviour: Behaviour, log_path: Path | None) -> None:
        self.log = TextLog(log_path)
        self.poster = Poster()
        self.receipts = Receipts(self.poster, behaviour.receipts, behaviour.seed)
        self.counters: Counter[str] = Counter()
        self.flushed_through = 0  # texts before this sequence number have their final status, whatever their time
        self.behave(behaviour)

    def behave(self, behaviour: Behaviour, *, new_faults: bool = True) -> None:
        """From now on like this; with `new_faults` the counts and chances of faults begin anew."""
        self.behaviour = behaviour
        self._outcomes = behaviour.rules()
        self._api_keys = frozenset(behaviour.api_keys)
        if new_faults:
            self._faults = FaultChooser(behaviour.faults, behaviour.seed)
        self.receipts.behave(behaviour.receipts, behaviour.seed)

    async def reset(self) -> None:
        """Forget every text and receipt; the behaviour stays, its faults begin anew."""
        await self.log.clear()
        self.receipts.clear()
        self.counters.clear()
        self.flushed_through = 0
        self.behave(self.behaviour)

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer a request to the API."""
        if request.headers.get("x-mitto-api-key") not in self._api_keys:
            self.counters["unauthorized"] += 1
            connection.json({"message": "Invalid or no API key specified"}, 401)
        elif request.path in (BULK_PATH, SINGLE_PATH):
            if request.method != "POST":
                connection.json({"message": "Method not allowed"}, 405)
            else:
                self._send(connection, request)
        elif request.method == "GET" and request.path.startswith(STATUS_PATH):
            self._status(connection, request.path.removeprefix(STATUS_PATH))
        else:
            connection.json({"message": "Not found"}, 404)

    def _send(self, connection: Connection, request: Request) -> None:
        self.counters["send_calls"] += 1
        fault = self._faults.choose()
        if fault is not None:
            self.counters[f"fault_{fault.kind}"] += 1
        bulk = request.path == BULK_PATH
        try:
            entries = _entries(request.body, bulk=bulk)
        except Unusable as error:
            connection.json({"message": str(error)}, 413 if "large" in str(error) else 400)
            return
        answer: dict[str, Any] = {}
        taken: tuple[Call, list[str]] | None = None
        if fault is None or fault.takes or fault.kind == "missing_ids":
            outcomes = self._decide(entries, fault)
            if outcomes is not None and any(outcome.refuses_call for outcome in outcomes.values()):
                refusal = next(outcome.refusal for outcome in outcomes.values() if outcome.refuses_call)
                assert refusal is not None
                connection.json({"errorCode": refusal[0], "message": refusal[1]}, 400)
                return
            answer, taken = self._take(entries, outcomes, fault, bulk=bulk)

        def reply() -> None:
            if fault is None:
                connection.json(answer)
            else:
                answer_badly(connection, fault, answer)

        if taken is not None and self.behaviour.receipts.before_answer:
            connection.when(self._reply_after_receipts(taken, reply))
            return
        if taken is not None:
            self.receipts.plan(*taken)
        if self.behaviour.latency:
            connection.later(self.behaviour.latency, reply)
        else:
            reply()

    async def _reply_after_receipts(self, taken: tuple[Call, list[str]], reply: Callable[[], None]) -> None:
        await self.receipts.deliver_early(*taken)
        reply()

    def _decide(self, entries: Entries, fault: Fault | None) -> dict[int, Outcome] | None:
        """The outcomes other than delivered, by place in the call; None when there are none."""
        unusual: dict[int, Outcome] = {}
        plain = self._outcomes.all_delivered
        for place, (destination, text, _, _) in enumerate(entries):
            if not (7 <= len(destination) <= 17 and destination[1:].isdigit()):
                unusual[place] = INVALID
            elif not plain and (outcome := self._outcomes.of(destination, text)) is not DELIVERED:
                unusual[place] = outcome
        if fault is not None and fault.kind == "missing_ids" and not fault.takes:
            unusual |= dict.fromkeys(range(1, len(entries), 2), INVALID)
        return unusual or None

    def _take(
        self, entries: Entries, outcomes: dict[int, Outcome] | None, fault: Fault | None, *, bulk: bool
    ) -> tuple[dict[str, Any], tuple[Call, list[str]]]:
        """Log the texts that aren't refused, with the fault of their call; the sound answer, and what was taken."""
        now = time.time()
        at = _iso(now)
        bulk_id = str(uuid.uuid4()) if bulk else None
        kind = None if fault is None else fault.kind
        first = self.log.texts
        refused = {place for place, outcome in (outcomes or {}).items() if outcome.refusal is not None}
        ids = message_ids(call_prefix(), first, len(entries) - len(refused))
        unusual: dict[int, Outcome] = {}
        lines: list[bytes] = []
        answers: list[dict[str, Any]] = []
        dumps, newline = orjson.dumps, orjson.OPT_APPEND_NEWLINE
        for place, (destination, text, sender, account) in enumerate(entries):
            if outcomes is not None and place in outcomes:
                refusal = outcomes[place].refusal
                if refusal is not None:
                    answers.append({"trafficAccountId": account, "errorCode": refusal[0], "error": refusal[1]})
                    continue
                unusual[first + len(lines)] = outcomes[place]
            message_id = ids[len(lines)]
            answers.append({"trafficAccountId": account, "messageId": message_id})
            lines.append(
                dumps(
                    {
                        "seq": first + len(lines),
                        "at": at,
                        "bulkId": bulk_id,
                        "messageId": message_id,
                        "destination": destination,
                        "sender": sender,
                        "text": text,
                        "accountId": account,
                        "fault": kind,
                    },
                    option=newline,
                )
            )
        plan = self.behaviour.receipts
        delay = (0.0, 0.0) if plan.before_answer else plan.delay
        call = Call(first, len(lines), 0, 0, now, delay, plan.hold and not plan.before_answer, unusual)
        if lines:
            self.log.append(b"".join(lines), call)
        return ({"bulkId": bulk_id, "messages": answers} if bulk else {"messages": answers}), (call, ids)

    def _status(self, connection: Connection, message_id: str) -> None:
        self.counters["status_calls"] += 1
        found = self.log.find(message_id)
        if found is None:
            connection.json({"message": "Message not found"}, 404)
            return
        entry, call = found
        sequence = entry["seq"]
        settled = sequence < self.flushed_through or (not call.held and call.due(sequence) <= time.time())
        final = fate(call, sequence)
        connection.json(
            {
                "messageId": entry["messageId"],
                "text": entry["text"],
                "sender": {"type": "sms", "name": entry["sender"]},
                "conversation": {"id": str(uuid.uuid5(_CONVERSATIONS, entry["destination"]))}
                | {"participants": [entry["destination"]]},
                "createdAt": entry["at"],
                "updatedAt": _iso(max(call.taken_at, call.due(sequence))) if settled else entry["at"],
                "trafficAccountId": entry["accountId"],
                "deliveryStatus": (final.status or "Sent") if settled else "Sent",
                "description": final.error_code if settled else None,
                "messageParts": segments(entry["text"]),
                "requestInfo": {"sms": {"sender": entry["sender"], "text": entry["text"]}},
            }
        )


_CONVERSATIONS = uuid.UUID("5998ea4a-0000-4000-8000-000000000000")


def _entries(body: bytes, *, bulk: bool) -> Entries:
    """The texts of a request; `Unusable` says what is wrong with it."""
    if len(body) > _MOST_BYTES:
        raise Unusable("The request is too large")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unusable("The request is not JSON") from None
    try:
        messages = document["messages"] if bulk else [document]
        entries = [
            (each["destination"], (sms := each["sms"])["text"], sms["sender"], each["trafficAccountId"])
            for each in messages
        ]
    except (KeyError, TypeError):
        raise Unusable("trafficAccountId, destination, sms.text and sms.sender are required") from None
    if not 1 <= len(entries) <= _MOST_TEXTS:
        raise Unusable(f"A request has 1 to {_MOST_TEXTS} messages")
    if not all(type(value) is str for entry in entries for value in entry):
        raise Unusable("trafficAccountId, destination, sms.text and sms.sender are strings")
    return entries


def _iso(seconds: float) -> str:
    """A time as Mitto writes it: UTC, with seven fractional digits."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}0Z"
