"""How many queries each page of the merchant's takes: as many as `benchmarks.page_table` says, whatever the data.

A shop is asked for every page, then one with twice as much of everything, whose people are counted by jobs. What time
they take with millions of rows `python -m benchmarks.pages` shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
import pytest
from flask import Flask
from sqlalchemy import event

from benchmarks import page_data, page_table
from benchmarks.page_data import Size
from benchmarks.page_table import API_KEY, PAGES, SECRET, Page
from benchmarks.pages import work
from blossom.platform import config, db
from tests.conftest import Services, fresh_app

LITTLE = Size(contacts=1_100, campaigns=60, texts=50, crowd=1_050, others=50)
MORE = Size(contacts=2_200, campaigns=120, texts=100, crowd=2_100, others=100)
ASKED = [(page, as_document) for page in PAGES for as_document in page.ways]


@dataclass(frozen=True)
class Took:
    """`first`: the queries when nothing was kept from before; `again`: when it was asked a second time."""

    first: int
    again: int


Counted = dict[tuple[str, bool], Took]


@pytest.fixture(scope="module")
def counted(services: Services, template_database: str) -> Iterator[tuple[Counted, Counted]]:
    before = config.current()
    yield _count(services, template_database, LITTLE), _count(services, template_database, MORE)
    config.use(before)


def _count(services: Services, template: str, size: Size) -> Counted:
    with fresh_app(services, template) as app:
        settings = replace(
            config.current(),
            shopify_api_key=API_KEY,
            shopify_api_secrets=(SECRET,),
            shopify_scopes=page_data.SCOPES,
            operator_shops=(page_data.DOMAIN,),
        )
        config.use(settings)
        address = db.engine().url.render_as_string(hide_password=False).replace("postgresql+psycopg", "postgresql")
        with psycopg.connect(address, autocommit=True, prepare_threshold=None) as connection:
            things = page_data.fill(connection, size)
        seen: list[str] = []
        event.listen(db.engine(), "before_cursor_execute", lambda *given: seen.append(given[2]))

        def ask(page: Page, as_document: bool) -> int:
            seen.clear()
            with app.app_context():  # of its own, so that nothing is remembered from the one before
                answer = page_table.request(page, things, as_document=as_document).send(app.test_client())
            assert answer.status_code == 200, f"{page.name}: {answer.get_data(as_text=True)}"
            took = len(seen)
            with app.app_context():
                work()
            return took

        return {(page.name, how): Took(ask(page, how), ask(page, how)) for page, how in ASKED}


@pytest.mark.parametrize(("page", "as_document"), ASKED, ids=lambda given: getattr(given, "name", given))
def test_a_page_takes_no_more_queries_than_it_says(
    counted: tuple[Counted, Counted], page: Page, as_document: bool
) -> None:
    little, more = (each[page.name, as_document] for each in counted)
    assert max(little.first, little.again, more.first, more.again) <= page.queries
    assert more.again <= little.again, "it asks once for each of something"


def test_the_tables_name_every_page(app: Flask) -> None:
    untold, gone = page_table.untold(app)
    assert untold == set(), "say in benchmarks.page_table how they are asked"
    assert gone == set()
