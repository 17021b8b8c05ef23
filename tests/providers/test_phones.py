"""The shoppers' phones of Mitto's stand-in: what a person at a browser sees of the texts, and answers."""

from __future__ import annotations

import json

import requests

from blossom.sandbox.mitto.process import StandIn
from tests.providers.receiver import Receiver

ANNA, BORIS = "+306912345678", "+4915112345678"


def texted(stand_in: StandIn, *texts: tuple[str, str]) -> None:
    messages = [
        {"destination": number, "trafficAccountId": "a", "sms": {"text": text, "sender": "Ours"}}
        for number, text in texts
    ]
    requests.post(
        f"{stand_in.url}/api/v1.1/Messages/sendmessagesbulk",
        json={"messages": messages},
        headers={"X-Mitto-API-Key": "sandbox-key"},
        timeout=10,
    ).raise_for_status()


def test_texts_are_shown_with_their_links_and_nothing_in_them_is_markup(stand_in: StandIn) -> None:
    texted(
        stand_in, (ANNA, 'Sale: https://shop.test/s/a?b=1&c=2 "<b>now</b>"'), (BORIS, "Second <https://shop.test/b>")
    )
    page = requests.get(f"{stand_in.url}/phones", timeout=10).text
    assert '<a href="https://shop.test/s/a?b=1&amp;c=2">' in page
    assert '&lt;<a href="https://shop.test/b">https://shop.test/b</a>&gt;' in page
    assert "&lt;b&gt;now" in page
    assert page.index("Second") < page.index("Sale"), "the newest is the first"

    mine = requests.get(f"{stand_in.url}/phones", params={"number": "+30 691 234 5678"}, timeout=10).text
    assert "Sale" in mine
    assert "Second" not in mine


def test_an_answer_reaches_the_app_and_stands_below_the_text(stand_in: StandIn, receiver: Receiver) -> None:
    stand_in.configure(inbound={"url": receiver.url})
    texted(stand_in, (ANNA, "Sale"))
    address = f"{stand_in.url}/phones?number=%2B306912345678"
    page = requests.post(address, data={"to": "Ours", "text": "stop <it>"}, timeout=10).text
    assert page.index("Sale") < page.index("stop &lt;it&gt;")
    told = json.loads(receiver.arrived[0].body)
    assert (told["from"], told["to"], told["text"]) == (ANNA, "Ours", "stop <it>")


def test_what_is_no_number_is_no_phone(stand_in: StandIn) -> None:
    answer = requests.get(f"{stand_in.url}/phones", params={"number": "<script>"}, timeout=10)
    assert answer.status_code == 400
    assert "<script>" not in answer.text
