"""The app leaves a shop, comes back, gets other scopes; and what Shopify asks to be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from blossom.audit.models import AuditEntry
from blossom.campaigns import service as campaigns
from blossom.campaigns.models import Campaign
from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.rules import Source, State
from blossom.messaging.models import Dispatch
from blossom.messaging.rules.states import DispatchKind
from blossom.platform import clock, crypto, db
from blossom.platform.crypto import SealedValueError
from blossom.platform.db import session
from blossom.replies.models import InboundText
from blossom.shopify.errors import ShopifyError
from blossom.shops import queries as shops
from blossom.shops import service as shop_service
from blossom.shops.models import Installation, Shop
from blossom.shops.service import claiming
from tests.factories.campaigns import create_campaign, create_sending, make_ready
from tests.factories.messaging import create_dispatch
from tests.inbound.conftest import Mitto, a_text
from tests.inbound.merchant import OURS, SECRET, Merchant, contacts, ends, handle, merchant, running, try_again
from tests.inbound.test_shopify_customers import ELENI, PHONE

__all__ = ["merchant", "running"]


def the_shop() -> Shop:
    shop = shops.by_domain(OURS)
    assert shop is not None
    session.refresh(shop)
    return shop


def the_installation() -> Installation:
    installation = shops.installation(the_shop().id)
    assert installation is not None
    session.refresh(installation)
    return installation


def campaign_states() -> list[str]:
    query = select(Campaign.stored_state).order_by(Campaign.id)
    return list(session.scalars(query))


def a_busy_shop(merchant: Merchant) -> None:
    """Campaigns that are planned, being sent and paused, and an answer on its way."""
    shop = the_shop()
    make_ready(shop)
    create_campaign(shop)
    planned = create_campaign(shop)
    campaigns.schedule_campaign(shop.id, planned.id, clock.now() + timedelta(days=1), actor="test")
    create_sending(shop)
    paused = create_sending(shop)
    campaigns.pause_campaign(shop.id, paused.id, actor="test")
    create_dispatch(shop.id, kind=DispatchKind.REPLY.value)
    db.session.commit()
    assert campaign_states() == ["draft", "scheduled", "sending", "paused"]


# Uninstalled


def test_when_the_app_is_taken_out_nothing_leaves_any_more_and_its_tokens_go(merchant: Merchant) -> None:
    a_busy_shop(merchant)
    _, key = shop_service.create_api_key(the_shop().id, "test", ["campaigns:read"])
    merchant.stand_in.uninstall(OURS)
    merchant.tell()
    assert the_shop().uninstalled_at is not None
    assert the_installation().access_token_sealed is None
    assert the_installation().refresh_token_sealed is None
    assert campaign_states() == ["draft", "draft", "cancelled", "cancelled"]
    assert set(session.scalars(select(Dispatch.state))) == {"cancelled"}
    assert shop_service.authenticate_api_key(key) is None
    assert ends() == [("app/uninstalled", "done", "applied")]


def test_being_told_twice_changes_nothing_more(merchant: Merchant) -> None:
    a_busy_shop(merchant)
    merchant.stand_in.uninstall(OURS)
    (told,) = merchant.news()
    merchant.tell([told])
    left_at = the_shop().uninstalled_at
    merchant.tell([{**told, "webhook_id": "another"}])
    assert the_shop().uninstalled_at == left_at
    assert [each[1] for each in ends()] == ["done", "done"]


def test_a_word_that_comes_after_the_app_is_back_takes_it_out_no_more(merchant: Merchant) -> None:
    merchant.stand_in.uninstall(OURS)
    late = merchant.news()
    merchant.tell(late)
    merchant.install()
    a_busy_shop(merchant)
    merchant.tell([{**each, "webhook_id": "another"} for each in late])
    assert the_shop().uninstalled_at is None
    assert the_installation().access_token_sealed is not None
    assert campaign_states() == ["draft", "scheduled", "sending", "paused"]
    assert ends()[-1] == ("app/uninstalled", "ignored", "installed_since")


def test_a_first_word_that_comes_after_the_app_is_back_takes_it_out_neither(merchant: Merchant) -> None:
    merchant.stand_in.uninstall(OURS)
    late = merchant.news()
    merchant.install()
    merchant.tell(late)
    assert the_shop().uninstalled_at is None
    assert ends() == [("app/uninstalled", "ignored", "installed_since")]


def test_back_in_the_shop_its_contacts_are_there(merchant: Merchant) -> None:
    merchant.add(**ELENI)
    merchant.tell()
    merchant.stand_in.uninstall(OURS)
    merchant.tell()
    merchant.install()
    (found,) = contacts()
    assert (found.shop_id, found.phone) == (the_shop().id, PHONE)


def test_what_broke_off_in_the_middle_is_done_by_the_next_try(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_busy_shop(merchant)
    merchant.stand_in.uninstall(OURS)
    with monkeypatch.context() as broken:
        broken.setattr(campaigns, "cancel_campaign", lambda *_, **__: 1 / 0)
        merchant.tell()
    assert ends() == [("app/uninstalled", "new", "ZeroDivisionError")]
    assert "sending" in campaign_states()
    try_again()
    assert campaign_states() == ["draft", "draft", "cancelled", "cancelled"]


# Scopes


def scopes(merchant: Merchant, current: list[str], at: str) -> None:
    body = {"id": 1, "previous": [], "current": current, "updated_at": at}
    assert merchant.shopify.post("app/scopes_update", body, secret=SECRET).status_code == 200
    handle()


def test_other_scopes_are_noted_and_an_older_word_doesn_t_replace_a_newer_one(merchant: Merchant) -> None:
    later, earlier = (clock.now() + timedelta(minutes=2)), (clock.now() + timedelta(minutes=1))
    scopes(merchant, ["read_orders", "read_customers"], later.isoformat())
    scopes(merchant, ["read_customers"], earlier.isoformat())
    assert the_installation().scopes == ["read_customers", "read_orders"]
    assert [each[2] for each in ends()] == ["applied", "known_already"]


def test_scopes_that_aren_t_told_are_given_up(merchant: Merchant) -> None:
    merchant.shopify.post("app/scopes_update", {"current": "all"}, secret=SECRET)
    handle()
    assert ends() == [("app/scopes_update", "dead", "no_scopes_named")]


# Compliance


def deeds() -> list[str]:
    query = select(AuditEntry.action).where(AuditEntry.action.like("privacy.%")).order_by(AuditEntry.id)
    return list(session.scalars(query))


def test_a_person_is_forgotten_but_not_that_they_opted_out(merchant: Merchant, mitto: Mitto) -> None:
    eleni = merchant.add(**ELENI)
    merchant.add(first_name="Nikos", phone="+306984303408")
    merchant.tell()
    mitto.post(f"inbound/{OURS}", a_text(PHONE, "STOP"))
    merchant.act(eleni, "redact")
    merchant.tell()
    (left,) = contacts()
    assert left.first_name == "Nikos"
    assert session.scalar(select(func.count()).select_from(InboundText)) == 0
    phone_hash = crypto.for_shop(merchant.shop_id).lookup(PHONE)
    assert consents.state_of(merchant.shop_id, phone_hash) is State.OPTED_OUT
    assert deeds() == ["privacy.customer_redacted"]
    assert ends()[-1] == ("customers/redact", "done", "applied")
    consent.opt_in(merchant.shop_id, phone_hash, source=Source.IMPORT)
    assert consents.state_of(merchant.shop_id, phone_hash) is State.OPTED_OUT, "also a new import leaves it so"


def test_a_number_that_is_another_customer_s_by_now_stays_theirs(merchant: Merchant) -> None:
    nikos = merchant.add(first_name="Nikos", phone=PHONE)
    merchant.tell()
    body = {"shop_domain": OURS, "customer": {"id": nikos + 1, "phone": PHONE}, "orders_to_redact": []}
    merchant.shopify.post("customers/redact", body, secret=SECRET)
    handle()
    assert [each.shopify_customer_id for each in contacts()] == [nikos]


def leave(merchant: Merchant, days: float) -> None:
    """Take the app out, so many days ago as our rows tell, having had it for a month."""
    merchant.stand_in.uninstall(OURS)
    merchant.tell()
    ago = clock.now() - timedelta(days=days)
    session.execute(update(Shop).values(uninstalled_at=ago))
    session.execute(update(Installation).values(granted_at=ago - timedelta(days=30)))
    db.session.commit()


def test_a_shop_is_forgotten_by_destroying_its_keys(merchant: Merchant) -> None:
    merchant.add(**ELENI)
    merchant.tell()
    shop_id = merchant.shop_id
    leave(merchant, days=2)
    merchant.stand_in.redact_shop(OURS)
    merchant.tell()
    assert ends()[-1] == ("shop/redact", "done", "applied")
    assert shops.by_domain(OURS) is None
    (unreadable,) = contacts()
    with pytest.raises(SealedValueError):
        assert unreadable.phone
    shop = shops.get_shop(shop_id)
    session.refresh(shop)
    assert (shop.name, shop.contact_line) == ("", "")
    assert "privacy.shop_redacted" in deeds()


def test_who_comes_back_after_that_is_a_new_tenant(merchant: Merchant) -> None:
    merchant.add(**ELENI)
    merchant.tell()
    before = merchant.shop_id
    leave(merchant, days=2)
    merchant.stand_in.redact_shop(OURS)
    redact = merchant.news()
    merchant.tell(redact)
    merchant.install()
    assert merchant.shop_id != before
    assert shops.get_shop(merchant.shop_id).uninstalled_at is None
    merchant.add(first_name="Nikos", phone="+306984303408")
    merchant.tell()
    assert [each.first_name for each in contacts() if each.shop_id == merchant.shop_id] == ["Nikos"]
    merchant.tell([{**each, "webhook_id": "another"} for each in redact])
    assert ends()[-1] == ("shop/redact", "ignored", "installed_since")
    assert crypto.for_shop(merchant.shop_id)


def test_a_shop_that_came_back_is_not_forgotten_by_a_late_word(merchant: Merchant) -> None:
    leave(merchant, days=2)
    merchant.stand_in.redact_shop(OURS)
    late = merchant.news()
    merchant.install()
    merchant.tell(late)
    assert ends()[-1] == ("shop/redact", "ignored", "installed_since")
    assert crypto.for_shop(merchant.shop_id)
    assert the_shop().uninstalled_at is None


def test_a_shop_that_left_in_the_minute_in_which_it_came_is_forgotten(merchant: Merchant) -> None:
    """Two days after it left are not two days after its tokens came, by two clocks."""
    leave(merchant, days=2)
    session.execute(update(Installation).values(granted_at=clock.now() - timedelta(days=2) + timedelta(seconds=5)))
    db.session.commit()
    merchant.stand_in.redact_shop(OURS)
    merchant.tell()
    assert ends()[-1] == ("shop/redact", "done", "applied")


def test_who_comes_back_in_the_moment_of_being_forgotten_brings_nothing_back_to_life(
    merchant: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = merchant.shop_id
    leave(merchant, days=2)
    merchant.stand_in.redact_shop(OURS)
    redact = merchant.news()
    record = claiming.until_recorded

    def meanwhile(write: Callable[[], object]) -> object:
        merchant.tell(redact)
        return record(write)

    with monkeypatch.context() as moment:
        moment.setattr(claiming, "until_recorded", meanwhile)
        with pytest.raises(ShopifyError, match="being renewed"):
            merchant.install()
    former = shops.get_shop(before)
    session.refresh(former)
    assert former.uninstalled_at is not None
    assert (former.domain, shops.undescribed(clock.now())) == (f"redacted:{before}", [])
    db.session.rollback()
    merchant.install()
    assert merchant.shop_id != before


def test_a_shop_whose_leaving_was_never_heard_of_is_stopped_and_forgotten(merchant: Merchant) -> None:
    a_busy_shop(merchant)
    session.execute(update(Installation).values(granted_at=clock.now() - timedelta(days=30)))
    db.session.commit()
    merchant.stand_in.uninstall(OURS)
    merchant.news()
    merchant.stand_in.redact_shop(OURS)
    merchant.tell()
    assert ends() == [("shop/redact", "done", "applied")]
    (installation,) = session.scalars(select(Installation).execution_options(populate_existing=True))
    assert (installation.access_token_sealed, installation.refresh_token_sealed) == (None, None)
    assert campaign_states() == ["draft", "draft", "cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        ("app/uninstalled", {"myshopify_domain": "theirs.myshopify.com"}),
        ("shop/redact", {"shop_domain": "theirs.myshopify.com"}),
        ("customers/redact", {"shop_domain": "theirs.myshopify.com", "customer": {"id": 1}}),
        ("customers/data_request", {"shop_domain": None}),
        ("app/uninstalled", {}),
    ],
)
def test_headers_alone_destroy_nothing(merchant: Merchant, topic: str, body: dict[str, Any]) -> None:
    """Shopify signs the body, not the header that names the shop."""
    merchant.shopify.post(topic, body, secret=SECRET, Triggered_At=datetime.now(UTC).isoformat())
    handle()
    assert ends() == [(topic, "dead", "shop_mismatch")]
    assert the_shop().uninstalled_at is None
    assert crypto.for_shop(merchant.shop_id)
