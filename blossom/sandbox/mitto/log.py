"""Every text that was taken, in order: the ground truth.

The texts stand in a file (JSON lines), written before the answer to their call leaves; in memory is only where each
call's lines are. So a million texts cost no memory to speak of, and reading back is a `pread`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from blossom.sandbox.mitto.ids import sequence_of
from blossom.sandbox.mitto.outcomes import DELIVERED, Outcome
from blossom.sandbox.mitto.segments import segments

_SLOTS = 16
_GOLDEN = 0.6180339887498949
_DOUBLED_SHOWN = 1_000


def slot_of(sequence: int) -> int:
    """Which sixteenth of the span of delays a text falls in: spread evenly, and known without being stored."""
    return int(sequence * _GOLDEN % 1.0 * _SLOTS)


@dataclass(slots=True)
class Call:
    """The texts of one call: their place in the file, and what becomes of them."""

    first_sequence: int
    count: int
    offset: int
    length: int
    taken_at: float  # seconds since the epoch
    delay: tuple[float, float]
    held: bool
    unusual: dict[int, Outcome]  # by sequence; the others are delivered

    def due(self, sequence: int) -> float:
        """When the fate of a text is settled (and its receipt sent), in seconds since the epoch."""
        least, most = self.delay
        return self.taken_at + least + (most - least) * slot_of(sequence) / (_SLOTS - 1)


class TextLog:
    """Appends and reads; sequence numbers count from 0 and have no gaps."""

    def __init__(self, path: Path | None) -> None:
        if path is None:
            handle, name = tempfile.mkstemp(prefix="mitto-log-")
            os.unlink(name)  # it lives as long as we have it open
            self._file = handle
        else:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._counting = asyncio.Lock()
        self._start_over()

    def _start_over(self) -> None:
        os.ftruncate(self._file, 0)
        self._calls: list[Call] = []
        self._starts: list[int] = []
        self._offset = 0
        self.texts = 0
        self._times: Counter[str] = Counter()
        self._segments = 0
        self._counts_segments = False
        self._counted_calls = 0

    async def clear(self) -> None:
        """Forget everything; the next text has sequence number 0."""
        async with self._counting:
            self._start_over()

    def append(self, lines: bytes, call: Call) -> None:
        """Write the lines of `call` (a line a text), and remember where they are. Its offset is set here."""
        call.offset, call.length = self._offset, len(lines)
        written = 0
        while written < len(lines):
            written += os.pwrite(self._file, lines[written:], self._offset + written)
        self._offset += len(lines)
        self._calls.append(call)
        self._starts.append(call.first_sequence)
        self.texts += call.count

    def find(self, message_id: str) -> tuple[dict[str, Any], Call] | None:
        """The text with this id, and its call."""
        sequence = sequence_of(message_id)
        if sequence is None or not 0 <= sequence < self.texts:
            return None
        call = self._calls[bisect_right(self._starts, sequence) - 1]
        entry = orjson.loads(self._lines(call)[sequence - call.first_sequence])
        return (entry, call) if entry["messageId"] == message_id.upper() else None

    def page(self, offset: int, limit: int) -> bytes:
        """The texts from sequence number `offset` on, as a JSON array."""
        lines: list[bytes] = []
        place = bisect_right(self._starts, offset) - 1
        while 0 <= place < len(self._calls) and len(lines) < limit:
            call = self._calls[place]
            lines += self._lines(call)[max(0, offset - call.first_sequence) :]
            place += 1
        return b"[" + b",".join(lines[:limit]) + b"]"

    async def summary(self, *, with_segments: bool) -> dict[str, Any]:
        """Texts, distinct destinations, and those that got more than one; counted call by call, so that texts are
        taken meanwhile. Segments are counted from the first time that they are asked for."""
        async with self._counting:
            if with_segments and not self._counts_segments:
                self._counts_segments = True
                self._times.clear()
                self._counted_calls = 0
            while self._counted_calls < len(self._calls):
                for line in self._lines(self._calls[self._counted_calls]):
                    entry = orjson.loads(line)
                    self._times[entry["destination"]] += 1
                    if self._counts_segments:
                        self._segments += segments(entry["text"])
                self._counted_calls += 1
                await asyncio.sleep(0)
            doubled = {number: times for number, times in self._times.items() if times > 1}
            summary: dict[str, Any] = {
                "calls": len(self._calls),
                "texts": sum(self._times.values()),
                "distinct_destinations": len(self._times),
                "doubled": len(doubled),
                "doubled_destinations": dict(list(doubled.items())[:_DOUBLED_SHOWN]),
            }
            if with_segments:
                summary["segments"] = self._segments
            return summary

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _lines(self, call: Call) -> list[bytes]:
        return os.pread(self._file, call.length, call.offset).splitlines()


def fate(call: Call, sequence: int) -> Outcome:
    """What becomes of a text of `call`."""
    return call.unusual.get(sequence, DELIVERED)
