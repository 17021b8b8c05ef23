"""What is mended with one click is mended, and nothing else of the text is touched."""

from __future__ import annotations

import pytest

from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.linter import lint
from blossom.message_templates.rules.mending import mend

STOP = " Reply STOP to opt out"


@pytest.mark.parametrize(
    ("source", "code", "mended"),
    [
        ("Hi {{ first_name }}!", "may_be_missing", 'Hi {{ first_name | default: "you" }}!'),
        ("Hi {{first_name|upper}}!", "may_be_missing", 'Hi {{first_name | default: "you"|upper}}!'),
        ("So,\n😀 {{ frist_name }}!", "unknown_variable", "So,\n😀 {{ first_name }}!"),
        ("Hi {{ xyzzy }}!", "unknown_variable", None),
        ("Hi {first_name}!", "looks_like_variable", "Hi {{ first_name }}!"),
        ("Hi [First_Name]!", "looks_like_variable", "Hi {{ first_name }}!"),
        ("At shop.example.com/x now", "link_without_https", "At https://shop.example.com/x now"),
        ("At http://shop.example.com now", "link_without_https", "At https://shop.example.com now"),
        ("Hi", "no_opt_out", None),
    ],
)
def test_mends_one_fault(source: str, code: str, mended: str | None) -> None:
    if code != "no_opt_out":
        source, mended = source + STOP, mended and mended + STOP
    (finding,) = [each for each in lint(source, Trigger.CAMPAIGN) if each.code == code]
    found = mend(source, finding, Trigger.CAMPAIGN, "you")
    assert (found and found.text) == mended
    if found:
        assert code not in {each.code for each in lint(found.text, Trigger.CAMPAIGN)}


def test_mends_the_one_that_it_is_asked_for() -> None:
    source = f"{{{{ first_name }}}} and\n{{{{ last_name }}}}, {{{{ first_name }}}}{STOP}"
    findings = [each for each in lint(source, Trigger.CAMPAIGN) if each.code == "may_be_missing"]
    assert [each.line for each in findings] == [1, 2, 2]
    found = mend(source, findings[2], Trigger.CAMPAIGN, "you")
    assert found is not None
    assert found.text == source.replace("{{ first_name }}" + STOP, '{{ first_name | default: "you" }}' + STOP)
