"""The GraphQL API: our operations, scopes, approval for personal data, cost, and what Shopify refuses."""

from __future__ import annotations

import re
from typing import Any

import pytest

from blossom.sandbox.shopify.process import StandInError
from tests.providers.shopify_stand_in.conftest import OPERATIONS, OURS, THEIRS, Shopify

ELENI = {
    "first_name": "Eleni",
    "last_name": "Papadaki",
    "email": "eleni@example.com",
    "phone": "+306984303401",
    "locale": "el",
    "tags": ["vip", "athens"],
    "country": "GR",
    "timezone": "Europe/Athens",
    "orders": 3,
    "amount_spent": 12_345,
    "consent": {"state": "SUBSCRIBED", "level": "CONFIRMED_OPT_IN", "updated_at": "2026-05-01T10:00:00+00:00"},
}


def _gid(person: dict[str, Any], kind: str = "Customer") -> str:
    return f"gid://shopify/{kind}/{person['id']}"


@pytest.fixture
def eleni(shopify: Shopify) -> dict[str, Any]:
    (person,) = shopify.stand_in.add_customers(OURS, ELENI)
    return person


@pytest.fixture
def token(shopify: Shopify) -> str:
    return shopify.token()


def test_each_operation_of_ours_is_answered_and_each_field_of_the_schema_with_it(
    shopify: Shopify, token: str, eleni: dict[str, Any]
) -> None:
    (segment,) = shopify.stand_in.add_segments(OURS, Often="number_of_orders >= 3")
    begun = shopify.run(token, "bulk_operation_run_query", query=OPERATIONS["customers_bulk"])
    export = begun["data"]["bulkOperationRunQuery"]["bulkOperation"]["id"]
    variables: dict[str, dict[str, Any]] = {
        "bulk_operation": {"id": export},
        "customer": {"id": _gid(eleni)},
        "customer_by_phone": {"phone": ELENI["phone"]},
        "customers_updated_since": {"query": "updated_at:>='2026-01-01T00:00:00Z'", "first": 10},
        "customers_by_id": {"ids": [_gid(eleni), "gid://shopify/Customer/1"]},
        "customers_there": {"ids": [_gid(eleni), "gid://shopify/Customer/1"]},
        "segment": {"segment": _gid(segment, "Segment")},
        "segment_members": {"segment": _gid(segment, "Segment"), "first": 10},
        "segments": {"first": 10},
        "customer_create": {"phone": "+306984303402", "marketingState": "SUBSCRIBED"},
        "customer_sms_marketing_consent_update": {"customerId": _gid(eleni), "marketingState": "UNSUBSCRIBED"},
    }
    others = set(OPERATIONS) - {"bulk_operation_run_query", "customers_bulk"}
    for operation in sorted(others):
        answer = shopify.run(token, operation, **variables.get(operation, {}))
        assert "errors" not in answer, operation
        assert all(each.get("userErrors", []) == [] for each in answer["data"].values() if isinstance(each, dict)), (
            operation
        )


def test_a_customer_has_consent_at_the_phone(shopify: Shopify, token: str, eleni: dict[str, Any]) -> None:
    found = shopify.run(token, "customer", id=_gid(eleni))["data"]["customer"]
    created, updated = found.pop("createdAt"), found.pop("updatedAt")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    assert updated == created
    assert found == {
        "id": _gid(eleni),
        "firstName": "Eleni",
        "lastName": "Papadaki",
        "locale": "el",
        "tags": ["athens", "vip"],
        "numberOfOrders": "3",
        "amountSpent": {"amount": "123.45", "currencyCode": "EUR"},
        "defaultEmailAddress": {"emailAddress": "eleni@example.com"},
        "defaultPhoneNumber": {
            "phoneNumber": "+306984303401",
            "smsMarketingConsent": {
                "state": "SUBSCRIBED",
                "optInLevel": "CONFIRMED_OPT_IN",
                "updatedAt": "2026-05-01T10:00:00Z",
                "collectedFrom": "OTHER",
            },
        },
        "defaultAddress": {"countryCodeV2": "GR", "timeZone": "Europe/Athens"},
    }


def test_who_was_never_asked_has_never_subscribed(shopify: Shopify, token: str) -> None:
    shopify.stand_in.add_customers(OURS, {"phone": "+306984303401"})
    found = shopify.run(token, "customer_by_phone", phone="+306984303401")["data"]["customerByIdentifier"]
    consent = found["defaultPhoneNumber"]["smsMarketingConsent"]
    assert (consent["state"], consent["updatedAt"]) == ("NEVER_SUBSCRIBED", None)


def test_another_shops_customer_is_not_there(shopify: Shopify, token: str) -> None:
    (person,) = shopify.stand_in.add_customers(THEIRS, ELENI)
    assert shopify.run(token, "customer", id=_gid(person))["data"]["customer"] is None
    assert shopify.run(token, "customer_by_phone", phone=ELENI["phone"])["data"]["customerByIdentifier"] is None


def test_pages_follow_the_order_of_updates_and_lose_nobody(shopify: Shopify, token: str) -> None:
    people = shopify.stand_in.add_customers(OURS, *({"email": f"p{n}@example.com"} for n in range(7)))
    shopify.stand_in.advance(10)
    shopify.stand_in.act(OURS, people[0]["id"], "update", fields={"first_name": "Later"})
    seen: list[str] = []
    after = None
    while True:
        answer = shopify.run(token, "customers_updated_since", query="", first=3, after=after)
        page = answer["data"]["customers"]
        seen += [each["id"] for each in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == [_gid(each) for each in [*people[1:], people[0]]]


def test_only_those_updated_since_then_are_found(shopify: Shopify, token: str, eleni: dict[str, Any]) -> None:
    shopify.stand_in.add_customers(OURS, {"email": "early@example.com"})
    shopify.stand_in.advance(600)
    later = shopify.stand_in.act(OURS, eleni["id"], "update", fields={"first_name": "Elena"})
    query = f"updated_at:>='{later['updated_at'][:19]}Z'"
    found = shopify.run(token, "customers_updated_since", query=query, first=10)["data"]["customers"]["nodes"]
    assert [each["id"] for each in found] == [_gid(eleni)]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"first": 251}, "from 1 to 250"),
        ({"first": 0}, "from 1 to 250"),
        ({"first": 1, "after": "nonsense"}, "Invalid cursor"),
        ({"first": 1, "query": "colour:red"}, "nothing is searched by colour"),
        ({"first": 1, "query": "updated_at>=2026"}, "can't be read"),
    ],
)
def test_a_search_that_shopify_would_not_take_is_an_error(
    shopify: Shopify, token: str, eleni: dict[str, Any], given: dict[str, Any], why: str
) -> None:
    answer = _ids(shopify, token, given)
    assert why in answer["errors"][0]["message"]
    assert answer["data"] is None


def _ids(shopify: Shopify, token: str, given: dict[str, Any]) -> dict[str, Any]:
    query = """query($first: Int, $after: String, $query: String) {
      customers(first: $first, after: $after, query: $query) { pageInfo { endCursor } }
    }"""
    return dict(shopify.post(token, {"query": query, "variables": given}).json())


# --- what may be written ------------------------------------------------------------------------------------------


def test_consent_is_set(shopify: Shopify, token: str, eleni: dict[str, Any]) -> None:
    answer = shopify.run(
        token,
        "customer_sms_marketing_consent_update",
        customerId=_gid(eleni),
        marketingState="UNSUBSCRIBED",
        marketingOptInLevel="SINGLE_OPT_IN",
        consentUpdatedAt="2026-06-01T00:00:00Z",
    )["data"]["customerSmsMarketingConsentUpdate"]
    assert answer["userErrors"] == []
    assert answer["customer"]["defaultPhoneNumber"]["smsMarketingConsent"] == {
        "state": "UNSUBSCRIBED",
        "optInLevel": "SINGLE_OPT_IN",
        "updatedAt": "2026-06-01T00:00:00Z",
        "collectedFrom": "OTHER",
    }


def test_consent_older_than_that_on_record_changes_nothing(shopify: Shopify, token: str, eleni: dict[str, Any]) -> None:
    answer = shopify.run(
        token,
        "customer_sms_marketing_consent_update",
        customerId=_gid(eleni),
        marketingState="UNSUBSCRIBED",
        consentUpdatedAt="2026-04-30T00:00:00Z",
    )["data"]["customerSmsMarketingConsentUpdate"]
    assert answer["userErrors"] == []
    assert answer["customer"]["defaultPhoneNumber"]["smsMarketingConsent"]["state"] == "SUBSCRIBED"


@pytest.mark.parametrize("state", ["NOT_SUBSCRIBED", "REDACTED"])
def test_states_that_are_shopifys_own_cannot_be_set(
    shopify: Shopify, token: str, eleni: dict[str, Any], state: str
) -> None:
    answer = shopify.run(token, "customer_sms_marketing_consent_update", customerId=_gid(eleni), marketingState=state)[
        "data"
    ]["customerSmsMarketingConsentUpdate"]
    assert [(each["field"], each["code"]) for each in answer["userErrors"]] == [
        (["input", "marketingState"], "INCLUSION")
    ]


def test_consent_needs_a_customer_with_a_phone(shopify: Shopify, token: str) -> None:
    (person,) = shopify.stand_in.add_customers(OURS, {"email": "nophone@example.com"})
    for customer in (_gid(person), "gid://shopify/Customer/1"):
        answer = shopify.run(
            token, "customer_sms_marketing_consent_update", customerId=customer, marketingState="SUBSCRIBED"
        )["data"]["customerSmsMarketingConsentUpdate"]
        assert answer["customer"] is None
        assert answer["userErrors"][0]["code"] == "INVALID"


def test_a_person_is_created_with_consent_and_once(shopify: Shopify, token: str) -> None:
    given = {
        "phone": "+30 698 430 3401",
        "firstName": "Eleni",
        "tags": ["blossom"],
        "locale": "el",
        "marketingState": "SUBSCRIBED",
        "marketingOptInLevel": "CONFIRMED_OPT_IN",
        "consentUpdatedAt": "2026-06-01T00:00:00+03:00",
    }
    first = shopify.run(token, "customer_create", **given)["data"]["customerCreate"]
    assert first["userErrors"] == []
    found = shopify.run(token, "customer_by_phone", phone="+306984303401")["data"]["customerByIdentifier"]
    assert (found["id"], found["firstName"], found["tags"]) == (first["customer"]["id"], "Eleni", ["blossom"])
    again = shopify.run(token, "customer_create", **given)["data"]["customerCreate"]
    assert again == {
        "customer": None,
        "userErrors": [{"field": ["phone"], "message": "Phone has already been taken"}],
    }


def test_a_phone_is_one_customers_and_free_again_once_that_one_has_another_or_is_gone(
    shopify: Shopify, token: str, eleni: dict[str, Any]
) -> None:
    def holder() -> str | None:
        found = shopify.run(token, "customer_by_phone", phone=ELENI["phone"])["data"]["customerByIdentifier"]
        return None if found is None else str(found["id"])

    with pytest.raises(StandInError, match="Email has already been taken"):
        shopify.stand_in.add_customers(OURS, {"email": ELENI["email"].upper()})
    shopify.stand_in.act(OURS, eleni["id"], "update", fields={"phone": "+306984303409"})
    assert holder() is None
    moved = shopify.run(token, "customer_by_phone", phone="+306984303409")["data"]["customerByIdentifier"]
    assert moved["id"] == _gid(eleni)
    (second,) = shopify.stand_in.add_customers(OURS, {"phone": ELENI["phone"]})
    assert holder() == _gid(second)
    (third,) = shopify.stand_in.add_customers(OURS, {"email": "third@example.com"})
    shopify.stand_in.act(OURS, third["id"], "merge", other=second["id"])
    assert holder() == _gid(third)
    shopify.stand_in.act(OURS, third["id"], "delete")
    assert holder() is None


def test_a_number_that_a_merchant_takes_away_takes_its_consent_along(
    shopify: Shopify, token: str, eleni: dict[str, Any]
) -> None:
    shopify.stand_in.act(OURS, eleni["id"], "update", fields={"phone": None})
    assert shopify.run(token, "customer", id=_gid(eleni))["data"]["customer"]["defaultPhoneNumber"] is None
    again = shopify.stand_in.act(OURS, eleni["id"], "update", fields={"phone": ELENI["phone"]})
    assert again["consent"]["state"] == "NOT_SUBSCRIBED"
    with pytest.raises(StandInError, match="must have a name"):
        shopify.stand_in.act(
            OURS, eleni["id"], "update", fields=dict.fromkeys(("phone", "email", "first_name", "last_name"))
        )


def test_what_is_no_phone_is_refused(shopify: Shopify, token: str) -> None:
    answer = shopify.run(token, "customer_create", phone="6984303401", marketingState="SUBSCRIBED")
    assert answer["data"]["customerCreate"]["userErrors"][0]["message"] == "Phone is invalid"


@pytest.mark.parametrize("at", ["yesterday", "2026-06-01T00:00:00", "2026-13-01T00:00:00Z", 7])
def test_a_time_must_be_one_and_have_a_zone(shopify: Shopify, token: str, eleni: dict[str, Any], at: object) -> None:
    answer = shopify.run(
        token,
        "customer_sms_marketing_consent_update",
        customerId=_gid(eleni),
        marketingState="SUBSCRIBED",
        consentUpdatedAt=at,
    )
    assert "data" not in answer
    assert "$consentUpdatedAt" in answer["errors"][0]["message"]


# --- who may ask --------------------------------------------------------------------------------------------------


def test_without_a_good_token_nothing_is_told(shopify: Shopify, token: str) -> None:
    for bad in ("", "nonsense", token + "x"):
        answer = shopify.post(bad, {"query": "{ shop { name } }"})
        assert answer.status_code == 401
        assert "data" not in answer.json()


def test_a_field_without_its_scope_is_denied(shopify: Shopify, eleni: dict[str, Any]) -> None:
    shopify.stand_in.install(OURS, ["read_orders"])
    token = shopify.token()
    for operation, variables in (
        ("customer", {"id": _gid(eleni)}),
        ("customer_by_phone", {"phone": ELENI["phone"]}),
        ("customers_updated_since", {"query": "", "first": 1}),
        ("customers_there", {"ids": [_gid(eleni)]}),
        ("customer_create", {"phone": "+306984303402", "marketingState": "SUBSCRIBED"}),
    ):
        (error,) = shopify.run(token, operation, **variables)["errors"]
        assert error["extensions"]["code"] == "ACCESS_DENIED"
        assert "_customers` access scope" in error["message"]
    assert "errors" not in shopify.run(token, "shop")
    assert len(shopify.stand_in.shop(OURS)["customers"]) == 1


def test_reading_is_not_writing(shopify: Shopify, eleni: dict[str, Any]) -> None:
    shopify.stand_in.install(OURS, ["read_customers"])
    token = shopify.token()
    assert shopify.run(token, "customer", id=_gid(eleni))["data"]["customer"]
    answer = shopify.run(
        token, "customer_sms_marketing_consent_update", customerId=_gid(eleni), marketingState="UNSUBSCRIBED"
    )
    assert answer["errors"][0]["extensions"]["requiredAccess"] == "`write_customers` access scope."
    consent = shopify.stand_in.shop(OURS)["customers"][str(eleni["id"])]["consent"]
    assert consent["state"] == "SUBSCRIBED"


def test_personal_data_without_approval_is_null_with_an_error_and_the_rest_is_there(
    shopify: Shopify, token: str, eleni: dict[str, Any]
) -> None:
    shopify.stand_in.configure(protected_data=["customers", "email"])
    answer = shopify.run(token, "customer", id=_gid(eleni))
    customer = answer["data"]["customer"]
    assert customer["defaultEmailAddress"] == {"emailAddress": "eleni@example.com"}
    assert customer["tags"] == ["athens", "vip"]
    hidden = ("firstName", "lastName", "defaultPhoneNumber", "defaultAddress")
    assert all(customer[each] is None for each in hidden)
    assert sorted(error["path"][-1] for error in answer["errors"]) == sorted(hidden)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"ACCESS_DENIED"}


def test_without_any_approval_there_are_no_customers(shopify: Shopify, token: str, eleni: dict[str, Any]) -> None:
    shopify.stand_in.configure(protected_data=[])
    answer = shopify.run(token, "customer", id=_gid(eleni))
    assert answer["data"] == {"customer": None}
    assert "not approved to access the Customer object" in answer["errors"][0]["message"]


# --- what it costs ------------------------------------------------------------------------------------------------


def test_an_answer_says_what_it_cost(shopify: Shopify, token: str, eleni: dict[str, Any]) -> None:
    first = shopify.run(token, "customers_updated_since", query="", first=100)["extensions"]["cost"]
    # A connection is 2; a customer 1, and 1 for each of amount, e-mail, phone, consent and address.
    assert (first["requestedQueryCost"], first["actualQueryCost"]) == (2 + 100 * 6, 2 + 6)
    assert first["throttleStatus"]["maximumAvailable"] == 2000
    assert first["throttleStatus"]["restoreRate"] == 100
    # The clock runs: points come back while we ask.
    assert 2000 - 8 <= first["throttleStatus"]["currentlyAvailable"] < 2000
    create = shopify.run(token, "customer_create", phone="+306984303402", marketingState="SUBSCRIBED")
    assert create["extensions"]["cost"]["actualQueryCost"] == 10


def test_asked_for_more_than_is_left_it_throttles_and_does_nothing(shopify: Shopify, token: str) -> None:
    shopify.stand_in.leave_points(OURS, -1000)
    variables = {"phone": "+306984303402", "marketingState": "SUBSCRIBED"}
    answer = shopify.run(token, "customer_create", **variables)
    assert "data" not in answer
    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"
    cost = answer["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (10, None)
    assert shopify.stand_in.shop(OURS)["customers"] == {}
    missing = cost["requestedQueryCost"] - cost["throttleStatus"]["currentlyAvailable"]
    shopify.stand_in.advance(missing / cost["throttleStatus"]["restoreRate"])
    assert "errors" not in shopify.run(token, "customer_create", **variables)


def test_several_customers_are_read_at_once_in_the_order_asked_and_who_is_gone_is_null(
    shopify: Shopify, token: str, eleni: dict[str, Any]
) -> None:
    answer = shopify.run(token, "customers_by_id", ids=["gid://shopify/Customer/1", _gid(eleni)])
    gone, found = answer["data"]["nodes"]
    assert gone is None
    assert found == shopify.run(token, "customer", id=_gid(eleni))["data"]["customer"]
    cost = answer["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (12, 6)
    refused = shopify.run(token, "customers_there", ids=[_gid(eleni)] * 251)
    assert "maximum of 250" in refused["errors"][0]["message"]


def test_a_fragment_in_the_query_costs_what_it_asks_for(shopify: Shopify, token: str, eleni: dict[str, Any]) -> None:
    query = """query($ids: [ID!]!) { nodes(ids: $ids) { ... on Customer { defaultPhoneNumber { phoneNumber } } } }"""
    answer = shopify.post(token, {"query": query, "variables": {"ids": [_gid(eleni)]}}).json()
    assert answer["extensions"]["cost"]["requestedQueryCost"] == 2


def test_each_shop_has_points_of_its_own_by_its_plan(shopify: Shopify, token: str) -> None:
    shopify.stand_in.open_shop("plus.myshopify.com", plan="plus")
    shopify.stand_in.install("plus.myshopify.com")
    shopify.stand_in.leave_points(OURS, -1000)
    answer = shopify.run(shopify.token("plus.myshopify.com"), "shop", "plus.myshopify.com")
    assert answer["extensions"]["cost"]["throttleStatus"]["restoreRate"] == 1000
    assert "errors" in shopify.run(token, "shop")


def test_one_call_may_cost_a_thousand_at_most(shopify: Shopify, token: str) -> None:
    answer = shopify.run(token, "customers_updated_since", query="", first=250)
    assert answer["errors"][0]["extensions"]["code"] == "MAX_COST_EXCEEDED"
    assert "errors" not in shopify.run(token, "customers_updated_since", query="", first=160)


# --- what can't be read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "{ shop { name ",
        "{ shop { colour } }",
        "{ customer { id } }",
        "query($id: ID!) { customer(id: $id) { id } }",
        "{ customer(id: 7) { id } }",
        '{ customer(id: "gid://shopify/Customer/²") { id } }',
        '{ customer(id: "gid://shopify/Customer/%s") { id } }' % ("1" * 5000),
    ],
)
def test_a_query_that_does_not_fit_is_an_error_in_a_200(shopify: Shopify, token: str, query: str) -> None:
    answer = shopify.post(token, {"query": query})
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize("document", [None, [], {}, {"query": 1}, {"query": "{ shop { name } }", "variables": []}])
def test_a_body_without_a_query_is_400(shopify: Shopify, token: str, document: object) -> None:
    status = shopify.post(token, document).status_code
    assert status == (200 if document == {"query": "{ shop { name } }", "variables": []} else 400)


def test_an_unknown_shop_or_version_is_404(shopify: Shopify, token: str) -> None:
    query = {"query": "{ shop { name } }"}
    assert shopify.post(token, query, "nobody.myshopify.com").status_code == 404
    assert shopify.post(token, query, version="2025-01").status_code == 404
