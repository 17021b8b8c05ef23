"""Before a campaign goes out, its merchant sees the true numbers and says yes to these very numbers, once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from html import unescape
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from blossom.campaigns import service
from blossom.campaigns.models import Campaign
from blossom.campaigns.rules import confirming as rules
from blossom.campaigns.rules.states import CampaignState
from blossom.messaging.models import Dispatch
from blossom.platform import clock, db
from blossom.platform.db import session
from blossom.shops.models import Shop, StaffMember
from blossom.wallet import service as wallet
from blossom.wallet.models import WalletRow
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.campaigns import create_campaign, create_completed, create_sending, make_ready
from tests.factories.consent import create_subscriber, opt_out
from tests.factories.contacts import create_contact
from tests.factories.shops import create_shop
from tests.factories.wallet import create_wallet, end_prices
from tests.inbound.test_concurrency import at_once

NOON = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)  # a Monday, 12:00 in Athens and 05:00 in New York


def form(html: str) -> dict[str, str]:
    """The fields of the question's form, as a click on yes sends them."""
    found = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))
    return {**found, "yes": "yes"} if found else {}


def numbers(html: str) -> dict[str, str]:
    return dict(re.findall(r'data-number="(\w+)"[^>]*>([^<]*)<', html))


def words(html: str) -> str:
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", html).split()))


def ask(visitor: Visitor, campaign: Campaign) -> str:
    response = visitor.fetch(f"/campaigns/{campaign.id}/confirm", headers={"HX-Request-Type": "partial"})
    assert response.status_code == 200
    return response.get_data(as_text=True)


def say_yes(visitor: Visitor, campaign: Campaign, given: dict[str, str]) -> Any:
    return visitor.fetch(f"/campaigns/{campaign.id}/confirm", method="POST", data=given)


def dispatches() -> int:
    return session.scalar(select(func.count()).select_from(Dispatch)) or 0


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Let it be that moment, in which Shopify has just told who may do what."""
    with clock.frozen_at(moment):
        session.execute(update(StaffMember).values(scopes_read_at=moment))
        yield


class TestTheQuestion:
    def test_shows_who_gets_it_what_it_costs_and_what_is_left(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=3, credits=1000)
        create_contact(ours)
        create_contact(ours, phone=None)
        opt_out(create_subscriber(ours))
        html = ask(visitor, create_campaign(ours, body="Long " + "x" * 170 + " Reply STOP to opt out"))
        assert numbers(html) == {"recipients": "3", "segments": "6", "cost": "30", "free": "1,000", "after": "970"}
        left_out = dict(re.findall(r'data-left-out="(\w+)">([^<]*)<', html))
        assert left_out == {"not_opted_in": "1", "opted_out": "1", "no_phone": "1"}
        assert "3 people of this audience won't get it" in words(html)
        assert "Yes, send it to 3 people" in words(html)

    @pytest.mark.parametrize(
        ("variable", "name", "told"),
        [
            ("first_name", "Maria", False),
            ("first_name", "Μαρία", False),
            ("first_name", "Łukasz", True),
            ("full_name", "Łukasz", True),
            ("last_name", "Łukasz", False),
            ("shop_name", "Łukasz", False),
        ],
    )
    def test_says_that_names_in_capitals_may_cost_less(
        self, visitor: Visitor, ours: Shop, variable: str, name: str, told: bool
    ) -> None:
        """Of a name that is GSM in capitals that is known; the others may have been kept before it was told."""
        make_ready(ours, subscribers=0)
        create_subscriber(ours, first_name=name)
        body = f"KAΛHMEPA {{{{ {variable} | default: 'Maria' | upper }}}}! AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH"
        html = words(ask(visitor, create_campaign(ours, body=body)))
        assert ("The cost above is the most that it can be." in html) is told
        assert "Yes, send it to" in html

    def test_counts_greek_names_in_capitals_as_they_will_be(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=0)
        for name in ("Maria", "Μαρία", "Ελένη"):
            create_subscriber(ours, first_name=name)
        line = "AΠANTHΣE ΣTOΠ ΓIA ΔIAΓPAΦH"
        for body, expected in (
            ("K" * 80 + " {{ first_name | default: 'Maria' }}! " + line, "5"),
            ("K" * 80 + " {{ first_name | upper | default: 'MARIA' }}! " + line, "3"),
        ):
            assert numbers(ask(visitor, create_campaign(ours, body=body)))["segments"] == expected

    def test_is_a_dialog_and_a_page_of_its_own(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours, name="<b>Sale</b>")
        page = visitor.document(f"/campaigns/{campaign.id}/confirm").get_data(as_text=True)
        part = ask(visitor, campaign)
        assert part.strip() in page
        assert part.strip().startswith(f'<dialog class="confirm card" id="campaign-{campaign.id}-confirm" open')
        assert "Send “&lt;b&gt;Sale&lt;/b&gt;” now?" in part

    def test_shows_the_text_as_somebody_gets_it(self, visitor: Visitor, ours: Shop) -> None:
        create_wallet(ours.id)
        create_subscriber(ours, first_name="Eleni & Co", phone="+306912345678")
        html = ask(visitor, create_campaign(ours, body="Hi {{ first_name | default: 'you' }}! Reply STOP to opt out"))
        assert "Hi Eleni &amp; Co! Reply STOP to opt out" in html
        assert "As +30…678 gets it" in html

    @pytest.mark.parametrize(("change", "told"), [
        ({"body": "{{ frist_name }} Reply STOP"}, "frist_name"),
        ({"audience": None}, "Nobody was chosen to get it."),
    ])  # fmt: skip
    def test_says_why_not_and_offers_no_yes(
        self, visitor: Visitor, ours: Shop, change: dict[str, Any], told: str
    ) -> None:
        make_ready(ours)
        html = ask(visitor, create_campaign(ours, **change))
        assert told in words(html)
        assert form(html) == {}

    def test_too_little_credit_says_how_much_is_missing(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=3, credits=10)
        html = ask(visitor, create_campaign(ours))
        assert "5 are missing" in words(html)
        assert numbers(html)["after"] == "-5"
        assert 'class="button" href="/wallet"' in html
        assert form(html) == {}

    def test_says_that_nothing_has_a_price(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        given = form(ask(visitor, campaign))
        end_prices()
        html = ask(visitor, campaign)
        assert "No prices have been set yet, so nothing can be sent. Tell whoever runs Blossom for you." in words(html)
        assert (form(html), "Change the campaign" in html) == ({}, False)
        assert say_yes(visitor, campaign, given).status_code == 409
        assert dispatches() == 0

    def test_of_a_shop_that_never_had_credits_says_that_all_are_missing(self, visitor: Visitor, ours: Shop) -> None:
        create_subscriber(ours)
        assert session.get(WalletRow, ours.id) is None, "one from before wallets, or made by hand"
        html = ask(visitor, create_campaign(ours))
        assert "5 are missing" in words(html)
        assert form(html) == {}

    def test_tells_the_local_times_and_who_is_asleep(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=2)
        create_subscriber(ours, zone="America/New_York", phone="+12125550123", phone_country="US")
        ours.quiet_hours_on, ours.quiet_from, ours.quiet_until = True, time(20), time(9)
        with at(NOON):
            html = ask(visitor, create_campaign(ours))
        assert "At once" in re.findall(r'data-moment="first">(.*?)</dd>', html, re.DOTALL)[0]
        last = re.findall(r'data-moment="last">(.*?)</dd>', html, re.DOTALL)[0]
        assert "23 Nov 2026, 09:00 (America/New_York)" in last
        assert "1 person is in their quiet hours now" in words(html)
        countries = re.findall(r'<th scope="row">([^<]*)</th>', html.split("Cost by country")[1].split("</table>")[0])
        assert countries == ["Greece", "United States"]

    def test_asks_as_often_for_many_as_for_few(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours, subscribers=1)
        campaign = create_campaign(ours)

        def count() -> int:
            with statements() as seen:
                ask(visitor, campaign)
            return len(seen)

        count()
        little = count()
        for _ in range(5):
            create_subscriber(ours)
        assert count() == little <= 20


class TestAYes:
    def test_sends_and_leads_to_the_campaign(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        response = say_yes(visitor, campaign, form(ask(visitor, campaign)))
        assert response.status_code == 200
        assert f'"path":"/campaigns/{campaign.id}"' in response.headers["HX-Location"]
        assert "It is being sent" in response.headers["HX-Trigger"]
        assert campaign.state is CampaignState.SENDING

    def test_without_javascript_is_redirected(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        given = form(ask(visitor, campaign))
        path = f"/campaigns/{campaign.id}"
        headers = {"Authorization": f"Bearer {token()}"}
        response = visitor.ask("POST", f"{path}/confirm", headers=headers, data=given)
        assert (response.status_code, response.headers["Location"]) == (303, path)

    def test_said_again_and_again_sends_once(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        one_tab, other_tab = form(ask(visitor, campaign)), form(ask(visitor, campaign))
        for given in (one_tab, one_tab, one_tab, other_tab):
            assert "HX-Location" in say_yes(visitor, campaign, given).headers
        assert dispatches() == 1
        again = say_yes(visitor, campaign, other_tab)
        assert "That was done already" in again.headers["HX-Trigger"]

    def test_to_one_that_has_ended_sends_nothing(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_completed(ours)
        assert "There is nothing to confirm" in words(ask(visitor, campaign))
        given = {"deed": "send", "mark": "x", "free": "0", "yes": "yes"}
        assert "HX-Location" in say_yes(visitor, campaign, given).headers
        assert dispatches() == 1
        assert campaign.state is CampaignState.COMPLETED

    @pytest.mark.parametrize("missing", ["yes", "mark", "deed"])
    def test_that_was_not_said_sends_nothing(self, visitor: Visitor, ours: Shop, missing: str) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        given = form(ask(visitor, campaign))
        del given[missing]
        assert say_yes(visitor, campaign, given).status_code == 409
        assert dispatches() == 0

    def test_is_not_for_who_may_only_look(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        campaign = create_campaign(ours)
        given = form(ask(visitor, campaign))
        member(ours, scopes=("read_customers",), user_id=7)
        looking = token(sub="7")
        assert visitor.fetch(f"/campaigns/{campaign.id}/confirm", looking).status_code == 403
        refused = visitor.fetch(f"/campaigns/{campaign.id}/confirm", looking, method="POST", data=given)
        assert refused.status_code == 403
        assert dispatches() == 0


class TestNumbersThatChanged:
    """Since they were shown: nothing is sent, and they are shown anew."""

    @pytest.fixture
    def campaign(self, ours: Shop) -> Campaign:
        make_ready(ours, subscribers=2)
        return create_campaign(ours)

    def asked_again(self, visitor: Visitor, campaign: Campaign, given: dict[str, str]) -> str:
        response = say_yes(visitor, campaign, given)
        html: str = response.get_data(as_text=True)
        assert response.status_code == 409
        assert "Nothing was sent" in words(html)
        assert dispatches() == 0
        assert campaign.state is CampaignState.DRAFT
        return html

    def test_somebody_more(self, visitor: Visitor, ours: Shop, campaign: Campaign) -> None:
        given = form(ask(visitor, campaign))
        create_subscriber(ours)
        html = self.asked_again(visitor, campaign, given)
        assert numbers(html)["recipients"] == "3"
        assert "HX-Location" in say_yes(visitor, campaign, form(html)).headers
        assert dispatches() == 1

    def test_somebody_less(self, visitor: Visitor, ours: Shop, campaign: Campaign) -> None:
        person = create_subscriber(ours)
        given = form(ask(visitor, campaign))
        opt_out(person)
        assert numbers(self.asked_again(visitor, campaign, given))["recipients"] == "2"

    def test_another_text(self, visitor: Visitor, ours: Shop, campaign: Campaign) -> None:
        given = form(ask(visitor, campaign))
        campaign.body = "Sale until Monday. Reply STOP to opt out"
        assert "until Monday" in self.asked_again(visitor, campaign, given)

    def test_another_sender(self, visitor: Visitor, ours: Shop, campaign: Campaign) -> None:
        given = form(ask(visitor, campaign))
        ours.sender = "Blue"
        self.asked_again(visitor, campaign, given)

    def test_quiet_hours_that_have_begun(self, visitor: Visitor, ours: Shop, campaign: Campaign) -> None:
        ours.quiet_hours_on, ours.quiet_from, ours.quiet_until = True, time(20), time(9)
        with at(NOON):
            given = form(ask(visitor, campaign))
        with at(NOON + timedelta(minutes=1)):
            assert form(ask(visitor, campaign)) == given, "a minute is no news"
        with at(NOON + timedelta(hours=9)):
            html = self.asked_again(visitor, campaign, given)
        assert "2 people are in their quiet hours now" in words(html)

    def test_less_credit_but_not_more(self, visitor: Visitor, ours: Shop, campaign: Campaign) -> None:
        given = form(ask(visitor, campaign))
        wallet.adjust(ours.id, -100, reference="x", reason="taken")
        assert numbers(self.asked_again(visitor, campaign, given))["free"] == "900"
        wallet.top_up(ours.id, 500, reference="y")
        assert "HX-Location" in say_yes(visitor, campaign, given).headers


class TestALargeOne:
    @pytest.fixture
    def campaign(self, ours: Shop, monkeypatch: pytest.MonkeyPatch) -> Campaign:
        monkeypatch.setattr(rules, "LARGE", 3)
        make_ready(ours, subscribers=3)
        return create_campaign(ours)

    @pytest.mark.parametrize("typed", ["", "4", "three", "3.0.1", "-3"])
    def test_is_not_sent_until_its_number_is_typed(self, visitor: Visitor, campaign: Campaign, typed: str) -> None:
        html = ask(visitor, campaign)
        assert "type how many people get it: 3" in words(html)
        response = say_yes(visitor, campaign, {**form(html), "typed": typed})
        html = response.get_data(as_text=True)
        assert response.status_code == 422
        assert "The number must be 3, as many as get it." in words(html)
        assert f'value="{typed}" aria-invalid="true" aria-describedby="typed-fault"' in html
        assert "Nothing was sent" not in html
        assert dispatches() == 0

    def test_is_sent_once_it_is(self, visitor: Visitor, campaign: Campaign) -> None:
        given = {**form(ask(visitor, campaign)), "typed": " 3 "}
        assert "HX-Location" in say_yes(visitor, campaign, given).headers
        assert dispatches() == 1

    def test_a_small_one_has_no_such_field(self, visitor: Visitor, ours: Shop) -> None:
        make_ready(ours)
        assert 'name="typed"' not in ask(visitor, create_campaign(ours))


class TestAnHourThatWasChosen:
    @pytest.fixture
    def campaign(self, ours: Shop) -> Campaign:
        make_ready(ours, subscribers=2)
        campaign = create_campaign(ours)
        campaign.plan = {"when": "at", "day": "2026-11-24", "time": "18:30"}
        return campaign

    def test_is_planned_and_not_sent(self, visitor: Visitor, campaign: Campaign) -> None:
        with at(NOON):
            html = ask(visitor, campaign)
            assert "Yes, schedule it for 2 people" in words(html)
            assert "24 Nov 2026, 18:30 (Europe/Athens)" in html
            given = form(html)
            for _ in range(3):
                assert "HX-Location" in say_yes(visitor, campaign, given).headers
        assert campaign.state is CampaignState.SCHEDULED
        assert campaign.scheduled_at == datetime(2026, 11, 24, 16, 30, tzinfo=UTC)
        assert dispatches() == 0

    def test_for_each_ones_own_clock(self, visitor: Visitor, ours: Shop, campaign: Campaign) -> None:
        create_subscriber(ours, zone="America/New_York", phone="+12125550123", phone_country="US")
        campaign.plan = {"when": "local", "day": "2026-11-24", "time": "18:30"}
        with at(NOON):
            html = ask(visitor, campaign)
            assert "24 Nov 2026, 18:30 (Europe/Athens)" in html
            assert "24 Nov 2026, 18:30 (America/New_York)" in html
            say_yes(visitor, campaign, form(html))
        assert campaign.local_at == datetime(2026, 11, 24, 18, 30)  # noqa: DTZ001  (a wall time)

    def test_that_has_passed_is_told(self, visitor: Visitor, campaign: Campaign) -> None:
        with at(NOON + timedelta(days=3)):
            html = ask(visitor, campaign)
        assert "This time has passed." in words(html)
        assert form(html) == {}

    def test_of_a_planned_one_it_can_be_sent_now_instead(self, visitor: Visitor, campaign: Campaign) -> None:
        with at(NOON):
            say_yes(visitor, campaign, form(ask(visitor, campaign)))
            html = ask(visitor, campaign)
            assert "now instead?" in words(html)
            assert "At once" in words(html)
            say_yes(visitor, campaign, form(html))
        assert campaign.state is CampaignState.SENDING
        assert dispatches() == 1


@pytest.mark.parametrize("typed", ["1234", "1,234", "1.234", "1 234", "1\u00a0234", "1’234"])
def test_a_number_is_read_as_people_type_it(typed: str) -> None:
    assert rules.typed_number(typed) == 1234


@pytest.mark.parametrize("typed", ["", "12a", "-1", "١٢", "1" * 13])
def test_what_is_no_number_is_none(typed: str) -> None:
    assert rules.typed_number(typed) is None


def test_theirs_is_not_there(visitor: Visitor, theirs: Shop) -> None:
    make_ready(theirs)
    campaign = create_sending(theirs)
    for method in ("GET", "POST"):
        assert visitor.fetch(f"/campaigns/{campaign.id}/confirm", method=method).status_code == 404


def test_of_tabs_that_say_yes_at_the_same_moment_one_sends(committed_app: Flask) -> None:
    with db.transaction():
        shop = create_shop()
        make_ready(shop)
        shop_id, campaign_id = shop.id, create_campaign(shop).id
    with db.transaction():
        question = service.ask_to_confirm(shop_id, campaign_id)
        assert isinstance(question, service.Question)
        mark, free = question.mark, question.credits_free

    def click() -> bool:
        with db.transaction():
            return service.confirm_campaign(
                shop_id, campaign_id, deed="send", mark=mark, credits_free=free, typed="", actor="staff:1"
            ).done

    done = at_once(committed_app, *[click] * 6)
    with db.transaction():
        assert dispatches() == 1
    assert sorted(done) == [False] * 5 + [True]
