"""A merchant finds people, sees why they may be texted or not, and opts out who asked for it."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from pypdf import PdfReader

from blossom.audit.models import AuditEntry
from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.models import ConsentPush
from blossom.consent.rules import Purpose, Source, State
from blossom.contacts.models import Contact
from blossom.people.queries import listing as queries
from blossom.platform import clock, crypto
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, member, statements, token
from tests.factories.consent import create_subscriber, opt_in, opt_out
from tests.factories.contacts import create_contact

PARTIAL = {"HX-Request-Type": "partial"}


def people(html: str) -> list[str]:
    """Who stands in the list, in order, with their states."""
    found = re.findall(r'<tr id="contact-\d+-row">(.*?)</tr>', html, re.DOTALL)
    return [" · ".join(re.sub(r"<[^>]*>", " ", row).split("\n")[1].split()) for row in found]


def names(html: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/contacts/\d+">([^<]*)</a>', html)


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def listed(visitor: Visitor, query: str = "") -> str:
    response = visitor.fetch(f"/contacts{query}")
    assert response.status_code == 200
    return response.get_data(as_text=True)


def shown(visitor: Visitor, contact: Contact, page: str = "") -> str:
    response = visitor.fetch(f"/contacts/{contact.id}{page}")
    assert response.status_code == 200
    return response.get_data(as_text=True)


def verdicts(html: str) -> dict[str, str]:
    return dict(re.findall(r'data-verdict="(\w+)">([^<]*)<', html))


class TestList:
    def test_shows_the_newest_first_with_where_they_stand(self, visitor: Visitor, ours: Shop, theirs: Shop) -> None:
        create_contact(ours, first_name="Anna", last_name="<b>", phone="+306912345678")
        create_subscriber(ours, first_name="Ben")
        opt_out(create_contact(ours, first_name="Cleo"))
        create_contact(ours, first_name=None, phone=None)
        create_subscriber(theirs, first_name="Theirs")
        html = visitor.document("/contacts").get_data(as_text=True)
        assert names(html) == ["No name, no number", "Cleo", "Ben", "Anna &lt;b&gt;"]
        assert re.findall(r'class="badge badge-(\w+)"', html) == [
            "never_subscribed", "opted_out", "opted_in", "never_subscribed",
        ]  # fmt: skip
        assert "+30 691 234 5678" in html

    @pytest.mark.parametrize("state", [None, *State])
    def test_goes_on_a_page_at_a_time_and_shows_each_once(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch, state: State | None
    ) -> None:
        monkeypatch.setattr(queries, "ON_A_PAGE", 3)
        with clock.frozen_at(clock.now()):  # as an import has it: all at one moment
            everybody = {create_contact(ours, first_name=f"N{n}").first_name: n for n in range(8)}
            for contact in session.query(Contact):
                put(contact, state or State.NEVER_SUBSCRIBED)
        query, met = f"state={state}" if state else "", []
        html = listed(visitor, f"?{query}")
        while True:
            met += names(html)
            more = re.search(r'rel="next" href="(/contacts\?[^"]*)"', html)
            if more is None:
                break
            html = visitor.fetch(more[1].replace("&amp;", "&")).get_data(as_text=True)
            assert "First page" in html
        assert sorted(met) == sorted(everybody)

    @pytest.mark.parametrize("state", list(State))
    def test_is_filtered_by_consent(self, visitor: Visitor, ours: Shop, state: State) -> None:
        for each in State:
            put(create_contact(ours, first_name=each.value), each)
        assert names(listed(visitor, f"?state={state}")) == [state.value]

    def test_by_state_has_the_latest_change_first(self, visitor: Visitor, ours: Shop) -> None:
        early, late = create_contact(ours, first_name="Late"), create_contact(ours, first_name="Early")
        with clock.frozen_at(clock.now() - timedelta(days=2)):
            opt_in(late)
        opt_in(early)
        assert names(listed(visitor, "?state=opted_in")) == ["Late", "Early"]

    def test_looks_through_so_many_and_says_so(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "WALKED", 4)
        create_contact(ours, first_name="Last")
        for _ in range(5):
            create_subscriber(ours)
        first = listed(visitor, "?state=never_subscribed")
        assert "None found among the next 4 contacts." in words(first)
        (further,) = re.findall(r'rel="next" href="([^"]*)"', first)
        second = visitor.fetch(further.replace("&amp;", "&")).get_data(as_text=True)
        assert names(second) == ["Last"]
        assert "rel=" not in second

    def test_of_the_same_moment_shows_again_rather_than_loses_where_the_last_shown_is_gone(
        self, visitor: Visitor, ours: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(queries, "ON_A_PAGE", 2)
        with clock.frozen_at(clock.now()):
            for number in range(4):
                create_subscriber(ours, first_name=f"N{number}")
        first = listed(visitor, "?state=opted_in")
        (further,) = re.findall(r'rel="next" href="([^"]*)"', first)
        last_shown = session.query(Contact).filter_by(id=int(re.search(r"after=(\d+)", further)[1])).one()  # type: ignore[index]
        gone = last_shown.first_name
        session.delete(last_shown)
        met, html = set(names(first)), visitor.fetch(further.replace("&amp;", "&")).get_data(as_text=True)
        while (more := re.search(r'rel="next" href="([^"]*)"', html)) and not met >= set(names(html)):
            met |= set(names(html))
            html = visitor.fetch(more[1].replace("&amp;", "&")).get_data(as_text=True)
        assert met | set(names(html)) == {"N0", "N1", "N2", "N3"} | {str(gone)}

    @pytest.mark.parametrize("query", ["after=x", "after=0", "after=1.x", "state=all", "after=", "after=" + "9" * 30])
    def test_knows_no_odd_page(self, visitor: Visitor, query: str) -> None:
        assert visitor.fetch(f"/contacts?{query}").status_code == 404

    @pytest.mark.parametrize("query", ["after=999999999999999999", "state=opted_in&after=5.9999999999999999"])
    def test_a_page_past_everything_is_a_page(self, visitor: Visitor, query: str) -> None:
        assert visitor.fetch(f"/contacts?{query}").status_code == 200

    def test_teaches_where_there_is_nobody(self, visitor: Visitor) -> None:
        assert "Nobody is here yet" in listed(visitor)
        for state in State:
            assert 'id="empty-heading"' in listed(visitor, f"?state={state}")

    def test_htmx_gets_the_part_alone(self, visitor: Visitor) -> None:
        html = visitor.fetch("/contacts", headers=PARTIAL).get_data(as_text=True).strip()
        assert html.startswith('<div class="stack" id="contacts">')

    @pytest.mark.parametrize("query", ["", "?state=opted_in", "?state=never_subscribed"])
    def test_asks_as_often_for_many_as_for_one(self, visitor: Visitor, ours: Shop, query: str) -> None:
        def ask() -> int:
            with statements() as seen:
                listed(visitor, query)
            return len(seen)

        create_contact(ours)
        create_subscriber(ours)
        ask()
        few = ask()
        for _ in range(20):
            create_contact(ours)
            create_subscriber(ours)
        assert ask() == few <= 9


class TestSearch:
    @pytest.mark.parametrize(
        "typed", ["+306912345678", "6912345678", "691 234 5678", "0030 691-234 5678", " (+30) 691.234.5678 "]
    )
    def test_finds_a_number_in_any_form(self, visitor: Visitor, ours: Shop, theirs: Shop, typed: str) -> None:
        create_contact(ours, first_name="Anna", phone="+306912345678")
        create_contact(ours)
        create_contact(theirs, first_name="Theirs", phone="+306912345678")
        response = visitor.fetch("/contacts", method="POST", data={"query": typed})
        html = response.get_data(as_text=True)
        assert names(html) == ["Anna"]
        assert "1 contact has this number." in html
        assert typed not in response.headers.get("HX-Push-Url", "")

    def test_finds_an_address(self, visitor: Visitor, ours: Shop) -> None:
        for name in ("Anna", "Ben"):
            contact = create_contact(ours, first_name=name)
            contact.email = "Family@blue.example"
            contact.email_hash = crypto.for_shop(ours.id).lookup("family@blue.example")
        html = visitor.fetch("/contacts", method="POST", data={"query": "FAMILY@blue.example"}).get_data(as_text=True)
        assert sorted(names(html)) == ["Anna", "Ben"]

    def test_says_when_there_is_nobody(self, visitor: Visitor, theirs: Shop) -> None:
        create_contact(theirs, phone="+306912345678")
        html = visitor.fetch("/contacts", method="POST", data={"query": "6912345678"}).get_data(as_text=True)
        assert "Nobody here has this number." in html
        assert names(html) == []

    @pytest.mark.parametrize("typed", ["", "Anna", "69", "+30 210 1234567", "\0", "6912345678 6912345679", "²" * 400])
    def test_says_what_is_wrong_and_keeps_what_was_typed(self, visitor: Visitor, typed: str) -> None:
        response = visitor.fetch("/contacts", method="POST", data={"query": typed})
        assert response.status_code == 422
        html = response.get_data(as_text=True)
        assert 'aria-invalid="true"' in html
        assert 'id="query-fault"' in html
        assert f'value="{typed.strip(chr(0))[:320]}"' in html

    @pytest.mark.parametrize("page", ["/contacts", "/replies"])
    def test_says_what_is_wrong_in_the_readers_language(self, visitor: Visitor, page: str) -> None:
        html = visitor.fetch(f"{page}?locale=el", method="POST", data={"query": "69"}).get_data(as_text=True)
        (fault,) = re.findall(r'id="query-fault"[^>]*>([^<]*)<', html)
        assert fault.startswith("Ο αριθμός έχει λιγότερα ψηφία")
        assert "Correct" not in fault

    def test_says_that_names_can_not_be_searched(self, visitor: Visitor) -> None:
        assert "Names are kept encrypted" in listed(visitor)
        answer = visitor.fetch("/contacts", method="POST", data={"query": "Ελένη"})
        assert "nobody can be found by theirs" in answer.get_data(as_text=True)


class TestContact:
    @pytest.mark.parametrize(("currency", "said"), [("EUR", "€1,234.50"), (None, "1,234.50")])
    def test_has_what_they_spent_in_the_shops_currency(
        self, visitor: Visitor, ours: Shop, currency: str | None, said: str
    ) -> None:
        ours.currency = currency
        assert f"Spent {said}" in words(shown(visitor, create_contact(ours, total_spent_minor=123_450)))

    def test_shows_who_it_is_and_why_they_may_be_texted(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_contact(ours, first_name="Ελένη", last_name="Παπά", phone="+306912345678", tags=["VIP"])
        assert contact.phone_hash is not None
        with clock.frozen_at(clock.now() - timedelta(days=3)):
            consent.opt_in(
                ours.id, contact.phone_hash, source=Source.STOREFRONT, contact_id=contact.id,
                wording="Yes, text me <3", ip="192.0.2.1", user_agent="Firefox/1",
            )  # fmt: skip
        html = visitor.document(f"/contacts/{contact.id}").get_data(as_text=True)
        assert "<h1>Ελένη Παπά</h1>" in html
        assert verdicts(html) == {"marketing": "Allowed", "orders": "Allowed"}
        for expected in ("They agreed on your storefront.", "+30 691 234 5678", "Yes, text me &lt;3", "192.0.2.1",
                         "Firefox/1", "VIP", "Greece", "(Europe/Athens)"):  # fmt: skip
            assert expected in words(html), expected

    @pytest.mark.parametrize(
        ("state", "marketing", "orders", "why"),
        [
            (State.NEVER_SUBSCRIBED, "Not allowed", "Allowed", "They have not agreed to texts."),
            (State.PENDING, "Not allowed", "Allowed", "They were asked to confirm"),
            (State.OPTED_IN, "Allowed", "Allowed", "They agreed at the checkout."),
            (State.OPTED_OUT, "Not allowed", "Not allowed", "Only they themselves can undo that."),
        ],
    )
    def test_says_what_the_one_question_says(
        self, visitor: Visitor, ours: Shop, state: State, marketing: str, orders: str, why: str
    ) -> None:
        contact = create_contact(ours)
        put(contact, state)
        html = shown(visitor, contact)
        assert verdicts(html) == {"marketing": marketing, "orders": orders}
        assert why in words(html)
        allowed = consents.may_text(ours.id, contact.phone_hash, Purpose.MARKETING)[0]
        assert (marketing == "Allowed") is allowed

    def test_without_a_phone_has_nothing_to_opt_out_of(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_contact(ours, phone=None, first_name="Anna")
        html = shown(visitor, contact)
        assert verdicts(html) == {"marketing": "Not allowed", "orders": "Not allowed"}
        assert "opt-out" not in html
        refused = visitor.fetch(f"/contacts/{contact.id}/opt-out", method="POST")
        assert refused.status_code == 409
        assert "nothing to opt out of" in refused.get_data(as_text=True)

    def test_tells_the_story_the_newest_first_and_the_proof_the_oldest_first(
        self, visitor: Visitor, ours: Shop
    ) -> None:
        contact = create_subscriber(ours)
        opt_out(contact)
        page, proof = shown(visitor, contact), shown(visitor, contact, "/proof")
        assert page.index("<strong>Opted out</strong>") < page.index("<strong>Agreed to texts</strong>")
        assert proof.index("Never subscribed → Opted in") < proof.index("Opted in → Opted out")

    def test_says_whether_shopify_knows(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_contact(ours, shopify_customer_id=987)
        assert "There is no consent to tell Shopify of." in words(shown(visitor, contact))
        opt_in(contact)
        assert 'data-push="owed"' in shown(visitor, contact)
        assert 'href="http://admin.test:5001/store/ours/customers/987" target="_top"' in shown(visitor, contact)
        row = session.query(ConsentPush).one()
        now = clock.now()
        row.fault, row.tries, row.next_try_at = "could_not_connect", 3, now + timedelta(minutes=5)
        told = words(shown(visitor, contact))
        assert "Shopify could not be reached." in told
        assert "Tried 3 times; next at " in told
        row.settled_at, row.next_try_at, row.fault, row.told = now, None, None, "SUBSCRIBED"
        assert "Shopify knows of their consent as it stands here" in words(shown(visitor, contact))
        row.told = None
        assert "it knows no customer with this number" in words(shown(visitor, contact))
        row.fault, row.refusal = "refused", "Phone is invalid"
        told = words(shown(visitor, contact))
        assert "Shopify refused the change. Phone is invalid" in told

    def test_asks_as_often_for_a_long_story_as_for_a_short_one(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_subscriber(ours)

        def ask() -> int:
            with statements() as seen:
                shown(visitor, contact)
            return len(seen)

        ask()
        short = ask()
        assert contact.phone_hash is not None
        for _ in range(5):
            opt_out(contact)
            consent.opt_in(ours.id, contact.phone_hash, source=Source.KEYWORD)
        assert ask() <= short <= 18

    @pytest.mark.parametrize("page", ["", "/opt-out", "/proof", "/proof.pdf"])
    def test_of_another_shop_is_not_there(self, visitor: Visitor, theirs: Shop, page: str) -> None:
        contact = create_subscriber(theirs, first_name="Theirs")
        response = visitor.fetch(f"/contacts/{contact.id}{page}")
        assert response.status_code == 404
        assert "Theirs" not in response.get_data(as_text=True)

    @pytest.mark.parametrize("number", ["0", "9" * 40, "9223372036854775807", "-1", "x"])
    def test_that_is_none_is_not_there(self, visitor: Visitor, number: str) -> None:
        assert visitor.fetch(f"/contacts/{number}").status_code == 404

    def test_htmx_gets_the_part_alone(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_contact(ours)
        html = visitor.fetch(f"/contacts/{contact.id}", headers=PARTIAL).get_data(as_text=True).strip()
        assert html.startswith(f'<div class="stack" id="contact-{contact.id}">')


class TestOptOut:
    def test_is_asked_about_before_it_is_done(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_subscriber(ours, first_name="Anna")
        html = shown(visitor, contact, "/opt-out")
        assert "Opt Anna out of all texts?" in html
        assert consents.state_of(ours.id, contact.phone_hash or b"") is State.OPTED_IN

    def test_is_done_and_written_down_with_who_did_it(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_subscriber(ours)
        response = visitor.fetch(f"/contacts/{contact.id}/opt-out", method="POST", headers=PARTIAL)
        html = response.get_data(as_text=True)
        assert response.status_code == 200
        assert verdicts(html) == {"marketing": "Not allowed", "orders": "Not allowed"}
        assert response.headers["HX-Trigger"] == '{"toast": {"words": "Opted out"}}'
        assert response.headers["HX-Replace-Url"] == f"/contacts/{contact.id}"
        assert "Opt them out…" not in html
        last = consents.events(ours.id, contact.phone_hash or b"")[-1]
        assert (last.source, last.to_state) == ("merchant", "opted_out")
        (entry,) = session.query(AuditEntry).filter_by(shop_id=ours.id, action="consent.opted_out")
        assert last.actor == entry.actor
        assert re.fullmatch(r"staff:\d+", entry.actor)
        assert entry.subject_id == contact.id
        assert f"Staff member no. {entry.actor[6:]}" in words(html)
        assert session.query(ConsentPush).one().next_try_at is not None, "Shopify is told"

    def test_twice_is_once(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_subscriber(ours)
        for _ in range(2):
            response = visitor.fetch(f"/contacts/{contact.id}/opt-out", method="POST")
            assert response.status_code == 200
        assert "before" in response.headers["HX-Trigger"]
        assert len(consents.events(ours.id, contact.phone_hash or b"")) == 2
        assert session.query(AuditEntry).filter_by(action="consent.opted_out").count() == 1

    def test_is_not_for_who_may_only_look(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_subscriber(ours)
        member(ours, scopes=("read_customers",), user_id=7)
        looking = token(sub="7")
        page = visitor.fetch(f"/contacts/{contact.id}", looking)
        assert page.status_code == 200
        assert "may look at contacts, not change them" in page.get_data(as_text=True)
        assert "opt-out" not in page.get_data(as_text=True)
        for method in ("GET", "POST"):
            refused = visitor.fetch(f"/contacts/{contact.id}/opt-out", looking, method=method)
            assert refused.status_code == 403
            assert "Your Shopify account may not do this." in refused.get_data(as_text=True)
        assert consents.state_of(ours.id, contact.phone_hash or b"") is State.OPTED_IN

    def test_is_not_done_to_people_of_another_shop(self, visitor: Visitor, theirs: Shop) -> None:
        contact = create_subscriber(theirs)
        assert visitor.fetch(f"/contacts/{contact.id}/opt-out", method="POST").status_code == 404
        assert consents.state_of(theirs.id, contact.phone_hash or b"") is State.OPTED_IN


class TestProof:
    def test_comes_as_a_page_and_as_a_file_with_the_same_facts(self, visitor: Visitor, ours: Shop) -> None:
        contact = create_subscriber(ours, first_name="Anna", phone="+306912345678")
        page = words(shown(visitor, contact, "/proof"))
        response = visitor.fetch(f"/contacts/{contact.id}/proof.pdf")
        assert response.mimetype == "application/pdf"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Disposition"] == (f'attachment; filename="proof-of-consent-{contact.id}.pdf"')
        text = " ".join(" ".join(p.extract_text() for p in PdfReader(io.BytesIO(response.data)).pages).split())
        for fact in ("Anna", "Ours (ours.myshopify.com)", "Never subscribed → Opted in", "Yes"):
            assert fact in page, fact
            assert fact in text, fact

    def test_says_when_there_is_nothing(self, visitor: Visitor, ours: Shop) -> None:
        assert "never subscribed and never opted out" in shown(visitor, create_contact(ours), "/proof")


def put(contact: Contact, state: State) -> None:
    """Bring a contact's consent to `state`, by the ways there are."""
    assert contact.phone_hash is not None
    if state is State.OPTED_IN:
        opt_in(contact)
    elif state is State.PENDING:
        consent.ask(contact.shop_id, contact.phone_hash, source=Source.STOREFRONT, contact_id=contact.id)
    elif state is State.OPTED_OUT:
        opt_out(contact)
