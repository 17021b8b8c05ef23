"""What a campaign came to: the page, its figures as they are counted, and the files."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import event, insert, text, update

from blossom.campaigns import service
from blossom.campaigns.models import Campaign, CampaignTally
from blossom.campaigns.queries import tallies
from blossom.campaigns.rules.ab_test import AbTest, Winner
from blossom.campaigns.views import export
from blossom.links.models import LinkTarget
from blossom.links.service import record_click
from blossom.messaging import queries as messaging
from blossom.messaging.models import Batch, Dispatch, Message
from blossom.messaging.queries import Progress
from blossom.platform import clock, db, queue
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.campaigns import add_messages, create_campaign, create_completed, make_ready
from tests.factories.consent import create_subscriber, opt_out


@pytest.fixture
def ready(ours: Shop) -> Shop:
    make_ready(ours)
    return ours


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("&#39;", "'").split())


def shown(visitor: Visitor, campaign: Campaign) -> str:
    response = visitor.fetch(f"/campaigns/{campaign.id}/results")
    assert response.status_code == 200
    return response.get_data(as_text=True)


def steps(html: str) -> dict[str, int]:
    return {key: int(number.replace(",", "")) for key, number in re.findall(r'data-step="(\w+)">([\d,]+)<', html)}


def figures(html: str) -> dict[str, int]:
    return {key: int(number.replace(",", "")) for key, number in re.findall(r'data-figure="(\w+)">([\d,]+)', html)}


def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any campaign count as too large for a request."""
    monkeypatch.setattr(tallies, "COUNTED_AT_ONCE", 0)


def waiting() -> list[dict[str, int]]:
    return [job.args[1] for job in queue.rq_queue("default").jobs if job.args[0] == "campaigns.tally"]


def with_link(campaign: Campaign) -> None:
    values = {"dispatch_id": campaign.dispatch_id, "number": 1, "shop_id": campaign.shop_id, "address": "https://x.gr"}
    session.execute(insert(LinkTarget).values(**values))


def progress_of(campaign: Campaign) -> Progress:
    assert campaign.dispatch_id is not None
    return messaging.progress(campaign.shop_id, campaign.dispatch_id)


class TestFigures:
    def test_tell_the_way_from_recipients_to_clicks(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        messages = add_messages(campaign, delivered=6, sent=1, failed=2, skipped=1)
        with_link(campaign)
        assert campaign.dispatch_id is not None
        for message in messages[:2]:
            record_click(ready.id, campaign.dispatch_id, message.id, 1)
        gone = create_subscriber(ready, phone=str(messages[0].phone))
        with clock.frozen_at(clock.now() + timedelta(seconds=5)):
            opt_out(gone)
        html = shown(visitor, campaign)
        assert steps(html) == {"recipients": 10, "left": 9, "delivered": 6, "clicked": 2}
        assert figures(html)["delivered"] == 6
        assert figures(html)["clicked"] == 2
        assert figures(html)["credits"] == 10
        assert "66.7% of what left" in words(html)
        assert "Clicks over time" in html

    def test_of_a_text_without_links_say_nothing_of_clicks(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=1)
        html = shown(visitor, campaign)
        assert "clicked" not in steps(html)
        assert "Opened a link" not in html

    def test_draw_what_happened_when_with_a_table_of_it(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        messages = add_messages(campaign, delivered=3, failed=1)
        messages[0].delivered_at = clock.now() - timedelta(minutes=3)
        html = shown(visitor, campaign)
        assert len(re.findall(r'<rect class="part-delivered" x=', html)) == 2
        assert len(re.findall(r'<rect class="part-failed" x=', html)) == 1
        assert "<style" not in html
        assert not re.search(r"\sstyle=", html)

    def test_name_countries_and_causes(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        messages = add_messages(campaign, delivered=2, failed=1)
        messages[0].country, messages[2].error = "DE", "blocked_content"
        told = words(shown(visitor, campaign))
        assert "Germany 1 1 0 1 1" in told
        assert "Greece 2 1 1 1 2" in told
        assert "Mitto blocked the wording of this text." in told
        assert "Change the wording, and send a new campaign to these people." in told

    def test_of_what_was_never_sent_there_are_none(self, visitor: Visitor, ready: Shop) -> None:
        assert visitor.fetch(f"/campaigns/{create_campaign(ready).id}/results").status_code == 409


class TestCounting:
    def test_a_large_campaign_is_counted_by_a_job_that_the_first_look_asks_for(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large(monkeypatch)
        campaign = create_completed(ready)
        add_messages(campaign, delivered=3, failed=1)
        html = shown(visitor, campaign)
        assert "The figures are being counted." in words(html)
        assert 'hx-trigger="every 3s"' in html
        assert steps(html) == {"recipients": 4, "left": 4, "delivered": 3}, "what batches know is there at once"
        shown(visitor, campaign)
        (asked,) = waiting()
        service.count_tally(**asked)
        html = shown(visitor, campaign)
        assert figures(html)["credits"] == 4
        assert "hx-trigger" not in html
        assert len(waiting()) == 1

    def test_reads_no_message_in_the_request(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large(monkeypatch)
        campaign = create_completed(ready)
        add_messages(campaign, delivered=3, failed=1, skipped=1)
        service.figures(campaign, progress_of(campaign))
        service.count_tally(ready.id, campaign.id)
        for page in ("", "/results"):
            with statements() as seen:
                assert visitor.fetch(f"/campaigns/{campaign.id}{page}").status_code == 200
            assert [each for each in seen if re.search(r"\bmessages\b", each)] == []

    def test_what_changed_since_is_counted_anew_and_the_old_shown_meanwhile(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large(monkeypatch)
        campaign = create_completed(ready)
        (_, _, message) = add_messages(campaign, delivered=2, failed=1)
        shown(visitor, campaign)
        service.count_tally(ready.id, campaign.id)
        session.execute(update(Message).where(Message.id == message.id).values(state="delivered"))
        session.execute(text("UPDATE batches SET delivered = 3, failed = 0"))
        with clock.frozen_at(clock.now() + timedelta(seconds=20)):
            html = shown(visitor, campaign)
        assert "It is being counted anew." in words(html)
        assert steps(html)["delivered"] == 3
        assert len(waiting()) == 2

    def test_while_it_is_being_sent_it_is_not_counted_all_the_time(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large(monkeypatch)
        campaign = create_completed(ready)
        add_messages(campaign, delivered=2, failed=1)
        session.execute(update(Dispatch).values(finished_at=None, state="sending"))
        began = clock.now()
        asked = []
        for seconds in (0, 5, 20, 31, 40, 65):
            with clock.frozen_at(began + timedelta(seconds=seconds)):
                shown(visitor, campaign)
                asked.append(len(waiting()))
        assert asked == [1, 1, 1, 2, 2, 3]

    def test_a_count_that_comes_late_does_not_replace_a_newer_one(self, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=2)
        now = clock.now()
        session.add(
            CampaignTally(
                campaign_id=campaign.id, shop_id=ready.id, wanted_at=now, counted_at=now, standing=[], figures={}
            )
        )
        session.flush()
        with clock.frozen_at(now - timedelta(seconds=1)):
            service.count_tally(ready.id, campaign.id)
        assert session.get_one(CampaignTally, campaign.id, populate_existing=True).figures == {}

    def test_equals_what_is_counted_at_once(self, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=4, failed=2, skipped=1)
        with_link(campaign)
        progress = progress_of(campaign)
        at_once = service.figures(campaign, progress).tally
        session.add(CampaignTally(campaign_id=campaign.id, shop_id=ready.id, wanted_at=clock.now()))
        session.flush()
        service.count_tally(ready.id, campaign.id)
        with pytest.MonkeyPatch.context() as patch:
            large(patch)
            kept = service.figures(campaign, progress)
        assert kept.good
        assert kept.tally == at_once


class TestFiles:
    def rows(self, visitor: Visitor, campaign: Campaign, query: str = "", given: str | None = None) -> list[list[str]]:
        response = visitor.fetch(f"/campaigns/{campaign.id}/recipients.csv{query}", given)
        assert response.status_code == 200
        assert response.mimetype == "text/csv"
        said = response.get_data().decode("utf-8-sig")
        return list(csv.reader(io.StringIO(said)))

    def test_recipients_are_all_there_once(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(export, "AT_ONCE", 3)
        campaign = create_completed(ready)
        messages = add_messages(campaign, delivered=7, failed=3)
        messages[8].error, messages[8].delivery_status = "expired", "=EXPIRED()"
        head, *rows = self.rows(visitor, campaign)
        assert head[:3] == ["Number", "Country", "State"]
        assert sorted(row[0] for row in rows) == sorted(str(message.phone) for message in messages)
        (expired,) = [row for row in rows if row[4] == "expired"]
        assert expired[2:6] == ["Failed", "The phone was off or out of reach for too long.", "expired", "'=EXPIRED()"]

    def test_recipients_of_one_outcome(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=2, failed=1)
        _, *rows = self.rows(visitor, campaign, "?state=failed")
        assert [row[2] for row in rows] == ["Failed"]
        response = visitor.fetch(f"/campaigns/{campaign.id}/recipients.csv?state=failed")
        assert f'filename="campaign-{campaign.id}-failed.csv"' in response.headers["Content-Disposition"]

    def test_of_several_texts_the_last_column_tells_which(self, visitor: Visitor, ready: Shop) -> None:
        campaign = create_completed(ready)
        add_messages(campaign, delivered=2)
        assert "Text" not in self.rows(visitor, campaign)[0]
        test = AbTest(("Text B",), (10, 10), Winner.BY_HAND)
        campaign = create_completed(ready, ab_test=test)
        add_messages(campaign, delivered=2)
        head, *rows = self.rows(visitor, campaign)
        assert (head[-1], [row[-1] for row in rows]) == ("Text", ["A", "A"])
        session.execute(update(Batch).values(text_number=None))
        assert [row[-1] for row in self.rows(visitor, campaign)[1:]] == ["", ""], "who waits for the winner"

    def test_are_open_to_who_may_only_look(self, visitor: Visitor, ready: Shop) -> None:
        member(ready, ("read_customers",), user_id=77)
        campaign = create_completed(ready)
        add_messages(campaign, delivered=1)
        assert len(self.rows(visitor, campaign, given=token(sub="77"))) == 2

    def test_report_tells_the_same_figures(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tallies, "COUNTED_AT_ONCE", 2_000)
        campaign = create_completed(ready, name="Θερινές εκπτώσεις")
        messages = add_messages(campaign, delivered=1_204, failed=2)
        messages[-1].error = "invalid_number"
        response = visitor.fetch(f"/campaigns/{campaign.id}/report.pdf")
        assert response.mimetype == "application/pdf"
        said = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(response.get_data())).pages)
        for each in ("Θερινές εκπτώσεις", "1,204", "1,206", "Greece", "Mitto can't text this phone number."):
            assert each in said

    def test_report_waits_for_the_first_count(
        self, visitor: Visitor, ready: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large(monkeypatch)
        campaign = create_completed(ready)
        add_messages(campaign, delivered=2)
        assert visitor.fetch(f"/campaigns/{campaign.id}/report.pdf").status_code == 409


def test_the_count_reads_the_dispatchs_own_messages_and_each_once(ready: Shop) -> None:
    others, campaign = create_completed(ready), create_completed(ready)
    add_messages(others, delivered=1_500)
    add_messages(campaign, delivered=300, failed=20)
    session.execute(text("ANALYZE messages, batches, dispatches"))
    read: list[int] = []

    def look(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if ("JOIN messages" not in statement and "FROM messages" not in statement) or "EXPLAIN" in statement:
            return
        with connection.connection.cursor() as beside:
            beside.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
            (found,) = beside.fetchone()
        read.extend(_read(found[0]["Plan"]))

    engine = db.session.get_bind()
    event.listen(engine, "before_cursor_execute", look)
    try:
        service.figures(campaign, progress_of(campaign))
    finally:
        event.remove(engine, "before_cursor_execute", look)
    assert read
    assert max(read) <= 320


def _read(node: dict[str, Any]) -> list[int]:
    """Rows of messages that each step of a plan reads."""
    own = [int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])]
    found = own if node.get("Relation Name") == "messages" else []
    return found + [each for inner in node.get("Plans", []) for each in _read(inner)]
