"""`/phones`: the shoppers' phones, for a person at a browser: what was sent to them, with links to follow, and replies.

    /phones                 the last texts, to whomever
    /phones?number=+30…     one phone; a POST answers from it, which the app gets as an inbound text

Plain pages, no JavaScript; a page shows what there is when it is loaded.
"""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, quote

import orjson

from blossom.sandbox.mitto.http import Connection, Request
from blossom.sandbox.mitto.ids import stranger_id
from blossom.sandbox.mitto.posting import Post, post_once
from blossom.sandbox.mitto.provider import Provider
from blossom.sandbox.mitto.receipt_shapes import Written

PATH = "/phones"

_LOOKED_THROUGH = 20_000  # texts, from the last one back
_SHOWN = 50
_REPLIES_KEPT = 1_000
_LINK = re.compile(r"https?://[^\s<>\"]+")
_NUMBER = re.compile(r"\+[0-9]{5,16}")

_TEMPLATE = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
_ALL = "The shoppers' phones"


class Phones:
    """The pages. Replies are kept in memory only, to be shown beside the texts."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._replies: deque[tuple[str, str, str]] = deque(maxlen=_REPLIES_KEPT)  # at, number, text

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer a request of a browser's."""
        number = request.parameter("number").replace(" ", "")
        if not number.startswith("+") and number.isdecimal():
            number = f"+{number}"  # a + that was typed into an address is a space
        if number and not _NUMBER.fullmatch(number):
            self._page(connection, _ALL, "<p>That is no number: write +, the country, the rest.</p>" + _search(), 400)
        elif request.method == "POST" and number:
            self._reply(connection, request, number)
        elif request.method == "GET":
            self._show(connection, number)
        else:
            connection.json({"error": "there is nothing to do here"}, 405)

    def _show(self, connection: Connection, number: str) -> None:
        texts = [
            (entry["at"], entry["destination"], entry["sender"], entry["text"])
            for entry in self._texts()
            if number in ("", entry["destination"])
        ]
        if not number:
            shown = [_bubble(*text, linked=True) for text in sorted(texts, reverse=True)[:_SHOWN]]
            self._page(connection, _ALL, _search() + _listed(shown))
            return
        mine = [(at, "", "you", text) for at, by, text in self._replies if by == number]
        shown = [_bubble(*each, linked=False) for each in sorted([*texts, *mine])[-_SHOWN:]]
        answer = _answer(number, texts[-1][2] if texts else "")
        back = f'<p><a href="{PATH}">All phones</a></p>'
        self._page(connection, f"The phone {number}", back + _listed(shown) + answer)

    def _texts(self) -> list[dict[str, str]]:
        log = self._provider.log
        taken: list[dict[str, str]] = orjson.loads(log.page(max(0, log.texts - _LOOKED_THROUGH), _LOOKED_THROUGH))
        return taken

    def _reply(self, connection: Connection, request: Request, number: str) -> None:
        form = parse_qs(request.body.decode("utf-8", "replace"))
        text, to = form.get("text", [""])[0][:1_000], form.get("to", [""])[0]
        target = self._provider.behaviour.inbound
        told = {"from": number, "to": to, "text": text, "messageId": stranger_id()}

        async def sent() -> None:
            if text.strip() and target.url:
                at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                self._replies.append((at, number, text))
                await post_once(
                    Post(target.url, Written("POST", "", "application/json", orjson.dumps(told)), target.proof)
                )
            connection.body(b"", 303, headers={"Location": f"{PATH}?number={quote(number)}"})

        connection.when(sent())

    def _page(self, connection: Connection, heading: str, body: str, status: int = 200) -> None:
        page = _TEMPLATE.substitute(heading=escape(heading), body=body)
        connection.body(page.encode(), status, content_type="text/html; charset=utf-8")


def _listed(bubbles: list[str]) -> str:
    return f"<ol>{''.join(bubbles) or '<li>Nothing here yet.</li>'}</ol>"


def _bubble(at: str, number: str, sender: str, text: str, *, linked: bool) -> str:
    about = f"{at[11:19]} UTC · {escape(sender)}"
    if linked:
        about += f' to <a href="{PATH}?number={quote(number)}">{escape(number)}</a>'
    return f"<li{'' if number else ' class=mine'}><small>{about}</small>{_with_links(text)}</li>"


def _with_links(text: str) -> str:
    """The text as HTML. Links are looked for before escaping, which would make a bracket behind one part of it."""
    shown, end = "", 0
    for found in _LINK.finditer(text):
        link = escape(found[0])
        shown += f'{escape(text[end : found.start()])}<a href="{link}">{link}</a>'
        end = found.end()
    return shown + escape(text[end:])


def _search() -> str:
    return (
        f'<form action="{PATH}"><label>Number <input name="number" type="tel" placeholder="+306912345678" required>'
        "</label><button>Open this phone</button></form>"
    )


def _answer(number: str, sender: str) -> str:
    return (
        f'<form method="post" action="{PATH}?number={quote(number)}">'
        f'<input type="hidden" name="to" value="{escape(sender)}">'
        '<label>Answer <input name="text" maxlength="1000" required autocomplete="off"></label>'
        "<button>Send</button></form>"
    )
