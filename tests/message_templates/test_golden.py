"""Rendered texts in several languages, as files that a person has read.

To write them anew after a wanted change: `python -m tests.message_templates.test_golden`, then read the diff.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from blossom.message_templates.rules import segments
from blossom.message_templates.rules.catalogue import Trigger, examples
from blossom.message_templates.rules.language import compile_text

golden = Path(__file__).parent / "golden"
cases = sorted(golden.glob("*.json"))


def outcome(case: dict[str, Any]) -> dict[str, Any]:
    trigger = Trigger(case["trigger"])
    compiled = compile_text(case["source"], trigger, case["language"])
    text = compiled.render(examples(trigger, case["language"]) | case["values"])
    size = segments.count(text)
    return {
        "text": text,
        "encoding": size.encoding,
        "units": size.units,
        "parts": segments.split(text),
        "non_gsm": "".join(dict.fromkeys(item.char for item in size.non_gsm)),
    }


@pytest.mark.parametrize("path", cases, ids=lambda path: path.stem)
def test_a_text_reads_as_its_golden_file(path: Path) -> None:
    case = json.loads(path.read_text("utf-8"))
    assert outcome(case) == case["outcome"]


def test_there_are_golden_files() -> None:
    assert len(cases) >= 10


if __name__ == "__main__":
    for file in cases:
        wanted = json.loads(file.read_text("utf-8"))
        wanted["outcome"] = outcome(wanted)
        file.write_text(json.dumps(wanted, ensure_ascii=False, indent=2) + "\n", "utf-8")
