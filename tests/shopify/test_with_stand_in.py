"""The client against Shopify's stand-in, whose log of calls is the judge."""

from __future__ import annotations

import json
import time

import pytest

from blossom.sandbox.shopify.process import StandIn
from blossom.shopify import documents, oauth
from blossom.shopify.client import ShopifyClient
from blossom.shopify.errors import ShopifyError
from tests.faults.processes import until
from tests.shopify.conftest import OURS, Waits


def connected(stand_in: StandIn, waits: Waits) -> ShopifyClient:
    tokens = oauth.exchange(OURS, stand_in.id_token(OURS))
    assert tokens.refresh_token is not None
    held = [tokens]

    def renew(used: str) -> str:
        assert used == held[-1].access_token
        held.append(oauth.refresh(OURS, held[-1].refresh_token or ""))
        return held[-1].access_token

    return ShopifyClient(OURS, tokens.access_token, renew=renew, wait=waits)


def operations(stand_in: StandIn) -> list[tuple[str, int]]:
    return [(call["operation"], call["status"]) for call in stand_in.calls() if call["area"] == "graphql"]


def test_a_pair_is_given_and_used_and_replaced(stand_in: StandIn, waits: Waits) -> None:
    client = connected(stand_in, waits)
    assert client.run("shop")["shop"]["myshopifyDomain"] == OURS
    stand_in.advance(3601)
    assert client.run("shop")["shop"]["myshopifyDomain"] == OURS
    assert [(call["operation"], call["status"]) for call in stand_in.calls()] == [
        ("urn:ietf:params:oauth:grant-type:token-exchange", 200),
        ("Shop", 200),
        ("Shop", 401),
        ("refresh_token", 200),
        ("Shop", 200),
    ]


def test_a_stale_session_token_is_refused_by_name(stand_in: StandIn) -> None:
    stale = stand_in.id_token(OURS, claims={"exp": int(time.time()) - 120})
    with pytest.raises(ShopifyError) as caught:
        oauth.exchange(OURS, stale)
    assert caught.value.code == "grant_refused"


def test_a_used_up_refresh_token_is_refused_by_name(stand_in: StandIn) -> None:
    first = oauth.exchange(OURS, stand_in.id_token(OURS))
    second = oauth.refresh(OURS, first.refresh_token or "")
    oauth.refresh(OURS, second.refresh_token or "")
    with pytest.raises(ShopifyError) as caught:
        oauth.refresh(OURS, first.refresh_token or "")
    assert caught.value.code == "refresh_refused"


def test_a_refresh_whose_answer_was_lost_may_be_repeated(stand_in: StandIn) -> None:
    first = oauth.exchange(OURS, stand_in.id_token(OURS))
    stand_in.configure(refresh_retries=True)
    stand_in.fail({"kind": "timeout", "area": "oauth", "next": 1, "done": True})
    with pytest.raises(ShopifyError):
        oauth.refresh(OURS, first.refresh_token or "")
    again = oauth.refresh(OURS, first.refresh_token or "")
    assert ShopifyClient(OURS, again.access_token).run("shop")


@pytest.mark.parametrize("kind", ["503", "timeout", "garbage", "429"])
def test_a_question_survives_faults(stand_in: StandIn, waits: Waits, kind: str) -> None:
    client = connected(stand_in, waits)
    stand_in.fail({"kind": kind, "area": "graphql", "next": 1})
    assert client.run("shop")["shop"]["name"]
    assert len(operations(stand_in)) == 2


@pytest.mark.parametrize("kind", ["503", "timeout", "garbage"])
def test_a_mutation_whose_answer_was_lost_was_done_once(stand_in: StandIn, waits: Waits, kind: str) -> None:
    client = connected(stand_in, waits)
    stand_in.fail({"kind": kind, "area": "graphql", "next": 1, "done": True})
    with pytest.raises(ShopifyError) as caught:
        client.run("customer_create", phone="+306912345678", marketingState="SUBSCRIBED")
    assert caught.value.code == "outcome_unknown"
    assert client.run("customer_by_phone", phone="+306912345678")["customerByIdentifier"]["id"]
    assert [name for name, _ in operations(stand_in)].count("CustomerCreate") == 1


def test_a_phone_that_is_taken_is_a_refusal(stand_in: StandIn, waits: Waits) -> None:
    client = connected(stand_in, waits)
    client.run("customer_create", phone="+306912345678", marketingState="SUBSCRIBED")
    with pytest.raises(ShopifyError) as caught:
        client.run("customer_create", phone="+306912345678", marketingState="SUBSCRIBED")
    assert caught.value.code == "refused"
    assert caught.value.user_errors


def test_missing_points_are_waited_for(stand_in: StandIn) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        stand_in.advance(seconds)
        return False

    client = ShopifyClient(OURS, oauth.exchange(OURS, stand_in.id_token(OURS)).access_token, wait=wait)
    stand_in.leave_points(OURS, 0)
    assert client.run("shop")["shop"]["name"]
    assert waited
    assert [call["code"] for call in stand_in.calls() if call["area"] == "graphql"] == ["THROTTLED"] * len(waited) + [
        ""
    ]


def test_without_approval_the_part_that_may_be_seen_is_kept(stand_in: StandIn, waits: Waits) -> None:
    client = connected(stand_in, waits)
    person = stand_in.add_customers(OURS, {"first_name": "Eleni", "phone": "+306912345678"})[0]
    stand_in.configure(protected_data=[])
    with pytest.raises(ShopifyError) as caught:
        client.run("customer", id=f"gid://shopify/Customer/{person['id']}")
    assert caught.value.code == "access_denied"
    assert caught.value.data == {"customer": None}


def test_an_export_is_read_line_by_line(stand_in: StandIn, waits: Waits) -> None:
    client = connected(stand_in, waits)
    stand_in.add_customers(OURS, *({"phone": f"+3069100000{number:02}"} for number in range(30)))
    begun = client.run("bulk_operation_run_query", query=documents.read("customers_bulk").text)
    operation = begun["bulkOperationRunQuery"]["bulkOperation"]["id"]

    def ended() -> str | None:
        found = client.run("bulk_operation", id=operation)["bulkOperation"]
        return found["url"] if found["status"] == "COMPLETED" else None

    url = until(ended, "the export has ended")
    assert url is not None
    stand_in.fail({"kind": "503", "area": "bulk", "next": 1})
    phones = {json.loads(line)["defaultPhoneNumber"]["phoneNumber"] for line in client.download(url)}
    assert len(phones) == 30
