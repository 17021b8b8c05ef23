"""Every page and every form on it with what nobody types: never a fault of ours, always a page or words.

The forms are taken from the pages themselves, so whatever is on a page is tried, also what comes later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

import psycopg
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from benchmarks import page_data, page_table
from benchmarks.page_data import Size
from benchmarks.page_table import API_KEY, PAGES, SECRET, Page
from blossom.platform import config, db
from tests.conftest import Services, fresh_app

SIZE = Size(contacts=300, campaigns=12, texts=20, crowd=100, others=20)

ODD_WORDS = (
    "", " ", "x", "a\0b", "\ud7ff\uffff\u202e\u200b", "Ω" * 20_000, "-1", "1.5", "9" * 400, str(2**63), "٣",
    "{% for i in (1..9999999) %}x{% endfor %}", "<script>'; DROP TABLE shops; --", "9999-12-31T23:59", "24:61", "[]",
)  # fmt: skip
ODD_ADDRESSES = (
    "state=x&sort=x&q=%00", "q=%FF%FE", "before=x&after=-1&cursor=x", f"before={2**64}&after={'9' * 300}",
    f"cursor={'A' * 3_000}", "page=0&page=-1&show=x&segment=x", f"segment={2**63 - 1}&template={2**63}",
    "state=&state=", "segment=0&message=%D9%A3&until=9999-99-99", "%00=1&=1&a[]=1", "locale=x%00y",
    "locale=" + "el-" * 500,
)  # fmt: skip
ODD_BODIES = (
    (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
    (b"%", "application/x-www-form-urlencoded"),
    (b"a=1&" * 20_000, "application/x-www-form-urlencoded"),
    (b"{}", "application/json"),
    (b"--x\r\nContent-Disposition: form-data; name=", "multipart/form-data; boundary=x"),
    (b"name=x", "text/plain; charset=nonsense"),
    (b"", "multipart/form-data"),
)

OURS_SEEN = re.compile(r"Traceback|sqlalchemy|psycopg|KeyError|ValueError|NoneType")


@dataclass
class Form:
    """As it stands on a page: where it is sent to, and what is in its fields."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    """All that a page sends when something is typed or pressed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._page = page
        self._open: list[Form] = []
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        action = given.get("hx-post") or (given.get("action", self._page) if given.get("method") == "post" else None)
        if action is not None:
            form = Form(action or self._page)
            self.found.append(form)
            if tag == "form":
                self._open.append(form)
        elif tag == "form":
            self._open.append(Form(""))  # asks only: its fields are a page's query
        name = given.get("name")
        if name and tag in ("input", "select", "textarea", "button") and self._open:
            self._open[-1].fields.setdefault(name, given.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._open:
            self._open.pop()


@dataclass(frozen=True)
class Site:
    app: Flask
    things: Mapping[str, str]

    def send(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"HX-Request": "true", "Authorization": f"Bearer {page_table.token()}"}
        with self.app.app_context():
            return self.app.test_client().open(path, method=method, headers=headers, **more)

    def look(self, page: Page, query: str = "") -> TestResponse:
        request = page_table.request(page, self.things, as_document=False)
        if not query:
            with self.app.app_context():
                answer: TestResponse = request.send(self.app.test_client())
                return answer
        return self.send("GET", f"{request.path}?{query}")

    def forms(self) -> list[Form]:
        """Each form that stands on a page, once by its address and fields."""
        found: dict[tuple[str, tuple[str, ...]], Form] = {}
        for page in PAGES:
            parser = _Forms(page.path.format_map(self.things).partition("?")[0])
            parser.feed(self.look(page).get_data(as_text=True))
            for form in parser.found:
                place = re.sub(r"\d+", "0", form.action)
                found.setdefault((place, tuple(sorted(form.fields))), form)
        return list(found.values())


@pytest.fixture(scope="module")
def site(services: Services, template_database: str) -> Iterator[Site]:
    before = config.current()
    with fresh_app(services, template_database) as app:
        given: dict[str, Any] = {
            "shopify_api_key": API_KEY,
            "shopify_api_secrets": (SECRET,),
            "shopify_scopes": page_data.SCOPES,
            "operator_shops": (page_data.DOMAIN,),
        }
        config.use(replace(config.current(), **given))
        address = db.engine().url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(address, autocommit=True, prepare_threshold=None) as connection:
            things = page_data.fill(connection, SIZE)
        yield Site(app, things)
    config.use(before)


def fault(answer: TestResponse, what: str) -> list[str]:
    """What is wrong with an answer, if anything."""
    said = answer.get_data(as_text=True)
    if answer.status_code >= 500 or OURS_SEEN.search(said):
        return [f"{what}: {answer.status_code} {said[:300]}"]
    if answer.status_code >= 400 and len(re.sub(r"<[^>]*>|\s", "", said)) < 20:
        return [f"{what}: {answer.status_code} without words"]
    return []


def test_no_address_of_a_page_fails(site: Site) -> None:
    faults = []
    for page in PAGES:
        if page.form is None:
            for query in ODD_ADDRESSES:
                faults += fault(site.look(page, query), f"{page.name}?{query[:60]}")
    assert faults == []


def test_no_field_of_a_form_fails(site: Site) -> None:
    forms = site.forms()
    assert len(forms) > 40, "the pages' forms aren't found any more"
    faults = []
    for form in forms:
        for name in form.fields:
            for word in ODD_WORDS:
                answer = site.send("POST", form.action, data={**form.fields, name: word})
                faults += fault(answer, f"{form.action} {name}={word[:40]!r}")
        faults += fault(site.send("POST", form.action, data={}), f"{form.action} without anything")
        doubled = site.send("POST", form.action, data={name: ["1", "x"] for name in form.fields})
        faults += fault(doubled, f"{form.action} with all twice")
    assert faults == []


def test_no_body_fails(site: Site) -> None:
    faults = []
    for form in site.forms():
        for body, kind in ODD_BODIES:
            answer = site.send("POST", form.action, data=body, content_type=kind)
            faults += fault(answer, f"{form.action} {kind} {body[:30]!r}")
    assert faults == []
