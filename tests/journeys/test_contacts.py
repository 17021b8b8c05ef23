"""A merchant brings people in from a file, asks for some of them, and adds one by hand: in a real browser."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, Route, expect
from playwright.sync_api import Error as PlaywrightError

from blossom.consent import queries as consents
from blossom.consent.rules import State
from blossom.contacts import queries as contacts
from blossom.platform import crypto
from blossom.platform.db import transaction
from blossom.segments import service as segments
from blossom.segments.rules import Condition, Field, Match, Question
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from blossom.uploads import service as uploads
from tests.conftest import Services
from tests.factories.consent import create_subscriber, opt_out
from tests.faults.processes import until
from tests.journeys import world as worlds
from tests.journeys.world import SHOP, Seen, World

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

OPTED_OUT = "+306912345678"
PEOPLE = 300


@pytest.fixture(scope="module")
def world(services: Services, template_database: str, browser: Browser) -> Iterator[World]:
    with worlds.start(services, template_database) as started:
        started.shopify.install(SHOP)
        tab, frame, _ = worlds.open_admin(browser, started)
        expect(frame.locator("#home")).to_be_visible()
        tab.context.close()
        with started.app.app_context(), transaction():
            ours().default_country = "GR"
            opt_out(create_subscriber(ours(), first_name="Cleo", phone=OPTED_OUT))
        yield started


def ours() -> Shop:
    shop = shops.by_domain(SHOP)
    assert shop is not None
    return shop


def a_file(folder: Path) -> Path:
    """People who agreed, one who opted out here before, and two lines that nobody can use."""
    path = folder / "newsletter.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["Name", "Mobile", "Agreed", "Tags"])
        for number in range(PEOPLE):
            out.writerow([f"Άννα {number}", f"6944{number:06d}", "yes", "vip" if number % 3 == 0 else ""])
        out.writerow(["Cleo", OPTED_OUT, "yes", ""])
        out.writerow(["Desk", "210 1234567", "yes", ""])
        out.writerow(["Again", "6944000001", "yes", ""])
    return path


def work(world: World) -> None:
    with world.app.app_context():
        uploads.run_due()


def open_contacts(browser: Browser, world: World, path: str = "/contacts") -> tuple[Page, FrameLocator, Seen]:
    tab, frame, seen = worlds.open_admin(browser, world, path)
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    return tab, frame, seen


def test_a_file_is_imported_and_its_refused_lines_come_back(world: World, browser: Browser, tmp_path: Path) -> None:
    tab, frame, seen = open_contacts(browser, world)
    frame.get_by_role("link", name="Import").click()
    frame.get_by_role("button", name="Upload").click()
    expect(frame.get_by_text("Choose a file first.")).to_be_visible()
    frame.get_by_label("CSV file").set_input_files(a_file(tmp_path))
    frame.get_by_role("button", name="Upload").click()

    expect(frame.get_by_role("heading", name="Which column is what?")).to_be_focused()
    expect(frame.get_by_label("Phone number", exact=True)).to_have_value("Mobile")
    frame.get_by_label("First name").select_option("Name")
    frame.get_by_label("says so of each").check()
    frame.get_by_label("Which column", exact=True).select_option("Agreed")
    frame.get_by_role("button", name="Count what would be imported").click()
    expect(frame.get_by_role("progressbar")).to_be_visible()
    work(world)
    expect(frame.locator("[data-import=created]")).to_have_text(str(PEOPLE))
    expect(frame.locator("[data-import=refused]")).to_have_text("2")
    expect(frame.locator("[data-import=stand_opted_out]")).to_have_text("1")
    with world.app.app_context(), transaction():
        assert contacts.count(ours().id) == 1, "nothing is done before the merchant says so"

    frame.get_by_role("checkbox").check()
    frame.get_by_role("button", name=f"Import {PEOPLE + 1} contacts", exact=True).dblclick()
    expect(frame.get_by_role("progressbar")).to_be_visible()
    work(world)
    expect(frame.get_by_role("heading", name="What was imported")).to_be_visible()
    expect(frame.locator("[data-import=opted_in]")).to_have_text(str(PEOPLE))
    expect(frame.locator("[data-import=opted_out_stands]")).to_have_text("1")
    with tab.expect_download() as download:
        frame.get_by_role("link", name="Download the refused lines").click()
    rows = list(csv.reader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    assert [(row[0], row[2]) for row in rows[1:]] == [("303", "Desk"), ("304", "Again")]
    with world.app.app_context(), transaction():
        assert contacts.count(ours().id) == PEOPLE + 1
        phone_hash = crypto.for_shop(ours().id).lookup(OPTED_OUT)
        assert consents.state_of(ours().id, phone_hash) is State.OPTED_OUT
    assert seen.complaints == []
    tab.context.close()


def test_a_line_that_breaks_loses_nothing(world: World, browser: Browser, tmp_path: Path) -> None:
    tab, frame, _ = open_contacts(browser, world, "/contacts/imports")
    broken = [True]
    tab.route("**/parts/1", lambda route: route.abort() if broken[0] else route.continue_())
    tab.clock.install()
    frame.get_by_label("CSV file").set_input_files(a_file(tmp_path))
    frame.get_by_role("button", name="Upload").click()
    worlds.pass_time(tab, 40, frame.get_by_text("The file could not be sent to its end."))
    broken[0] = False
    frame.get_by_role("button", name="Upload").click()
    expect(frame.get_by_role("heading", name="Which column is what?")).to_be_visible()
    frame.get_by_role("button", name="Discard this file").click()
    expect(tab.get_by_text("File discarded")).to_be_visible()
    expect(frame.get_by_role("heading", name="Import contacts")).to_be_visible()
    tab.context.close()


def test_a_segment_is_built_with_the_keyboard_alone(world: World, browser: Browser) -> None:
    with world.app.app_context(), transaction():
        for number in range(3):
            create_subscriber(ours(), first_name=f"Vip {number}", tags=["vip-list"], orders_count=number)
    tab, frame, seen = open_contacts(browser, world, "/segments/new")
    frame.get_by_label("Name", exact=True).focus()
    tab.keyboard.type("Good customers")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    expect(frame.get_by_label("What is asked about")).to_be_focused()
    tab.keyboard.type("Tags")
    expect(frame.get_by_label("How it is compared")).to_have_value("any")
    expect(frame.get_by_label("What is asked about")).to_be_focused()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    expect(frame.get_by_label("With what")).to_be_focused()
    tab.keyboard.type("vip-list")
    expect(frame.locator("[data-count=people]")).to_have_text("3")
    tab.keyboard.press("Tab")
    expect(frame.get_by_role("button", name="Add a rule")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(frame.get_by_label("What is asked about").nth(1)).to_be_focused()
    expect(frame.get_by_label("With what").nth(0)).to_have_value("vip-list")
    expect(frame.get_by_text("Fill in each rule")).to_be_visible()
    tab.keyboard.type("Number of orders")
    expect(frame.get_by_label("How it is compared").nth(1)).to_have_value("at_least")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    tab.keyboard.type("1")
    expect(frame.locator("[data-count=people]")).to_have_text("2")
    expect(frame.get_by_role("link", name="Vip 2")).to_be_visible()
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("Segment saved")).to_be_visible()
    expect(frame.get_by_role("heading", name="Good customers")).to_be_visible()
    frame.get_by_role("button", name="Remove rule 2").press("Enter")
    expect(frame.locator("[data-count=people]")).to_have_text("3")
    tab.go_back()
    assert seen.complaints == []
    tab.context.close()


def test_a_count_that_is_late_is_not_shown_for_other_rules(world: World, browser: Browser) -> None:
    with world.app.app_context(), transaction():
        for number in range(3):
            create_subscriber(ours(), first_name=f"Late {number}", tags=["late-list"], orders_count=number)
        tagged, ordered = Condition(Field.TAGS, "any", ["late-list"]), Condition(Field.ORDERS, "at_least", 2)
        both = segments.create_segment(ours().id, "Both", Question(Match.ALL, (tagged, ordered)))
        path = f"/segments/{both.id}"
    tab, frame, seen = open_contacts(browser, world)
    held: list[Route] = []
    asked: list[str] = []

    def count(route: Route) -> None:
        asked.append(str(route.request.post_data))
        held.append(route) if len(asked) == 1 else route.continue_()

    tab.route(re.compile("/segments/count$"), count)
    tab.goto(world.page_in_admin(path))
    expect(frame.get_by_text("Counting…")).to_be_visible()
    until(lambda: tab.wait_for_timeout(20) or held, "the first count is on its way")
    frame.get_by_role("button", name="Remove rule 2").click()
    expect(frame.locator("[data-count=people]")).to_have_text("3")
    assert ["value-1" in each for each in asked] == [True, False]
    with contextlib.suppress(PlaywrightError):  # given up by the page, which asks for other rules now
        held[0].continue_()
    tab.wait_for_timeout(500)
    expect(frame.locator("[data-count=people]")).to_have_text("3")
    assert [complaint for complaint in seen.complaints if "ERR_" not in complaint] == []
    tab.context.close()


def test_a_count_that_fails_is_not_passed_off_as_that_of_now(world: World, browser: Browser) -> None:
    with world.app.app_context(), transaction():
        for number in range(4):
            create_subscriber(ours(), first_name=f"Missed {number}", tags=["missed", "some"][: 1 + number % 2])
    tab, frame, _ = open_contacts(browser, world, "/segments/new")
    frame.get_by_label("What is asked about").select_option("tags")
    expect(frame.get_by_label("How it is compared")).to_have_value("any")
    frame.get_by_label("With what").fill("missed")
    people, note = frame.locator("[data-count=people]"), frame.get_by_text("They could not be counted just now.")
    expect(people).to_have_text("4")
    expect(note).to_be_hidden()
    for fails in (lambda route: route.fulfill(status=503, body="busy"), lambda route: route.abort()):
        tab.route(re.compile("/segments/count$"), fails)
        frame.get_by_label("With what").fill("some")
        expect(note).to_be_visible()
        expect(people).to_be_hidden()
        tab.unroute(re.compile("/segments/count$"))
        expect(people).to_have_text("2")
        expect(people).to_be_visible()
        expect(note).to_be_hidden()
        frame.get_by_label("With what").fill("missed")
        expect(people).to_have_text("4")
    tab.context.close()


def test_somebody_is_added_with_the_merchants_word(world: World, browser: Browser) -> None:
    with world.app.app_context(), transaction():
        segments.create_segment(ours().id, "Regulars")
    tab, frame, seen = open_contacts(browser, world)
    frame.get_by_role("link", name="Add a contact").click()
    frame.get_by_label("First name").fill("Ελένη")
    frame.get_by_label("Yes, they have").check()
    frame.get_by_role("button", name="Add the contact").click()
    expect(frame.locator("#phone-fault")).to_be_visible()
    expect(frame.get_by_label("First name")).to_have_value("Ελένη")
    frame.get_by_label("Phone number").fill("697 777 7771")
    frame.get_by_label("How they agreed").select_option("on_paper")
    frame.get_by_label("I can show how").check()
    frame.get_by_role("button", name="Add the contact").click()
    expect(tab.get_by_text("Contact added")).to_be_visible()
    expect(frame.get_by_role("heading", name="Ελένη")).to_be_visible()
    expect(frame.locator("[data-verdict=marketing]")).to_have_text("Allowed")
    frame.get_by_role("button", name="Put on this list").click()
    expect(frame.get_by_role("link", name="Regulars")).to_be_visible()
    assert [text for text in seen.complaints if "422" not in text] == []
    tab.context.close()
