"""What the fields of the schema hold: plain mappings over the state, of which graphql-core picks what a query selects.

Every field of `schema.graphql` has its value here; one that is missing is an error, never a silent null.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import graphql

from blossom.sandbox.shopify import bulk, payloads, people, search, segments
from blossom.sandbox.shopify.customers import Customer, of_crowd
from blossom.sandbox.shopify.people import PersonError
from blossom.sandbox.shopify.segments import Segment
from blossom.sandbox.shopify.state import Shop, State

MOST_IN_PAGE = 250
MOST_MEMBERS_IN_PAGE = 1_000
MOST_PAGED = 25_000

Mapping = dict[str, Any]


class BadArgumentError(graphql.GraphQLError):
    """An argument that the schema allows and Shopify doesn't."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "BAD_REQUEST"})


class NotThereError(graphql.GraphQLError):
    """Of a segment that was deleted, Shopify says more than that it is null."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} does not exist", extensions={"code": "NOT_FOUND"})


def root(state: State, shop: Shop, schema: graphql.GraphQLSchema, scopes: tuple[str, ...]) -> Mapping:
    """The fields of QueryRoot and Mutation for a call that may use `scopes`."""
    return {**_queries(state, shop), **_mutations(state, shop, schema, scopes)}


def _queries(state: State, shop: Shop) -> Mapping:
    def customer(info: Any, id: str) -> Mapping | None:
        person = shop.customers.get(_number(id, "Customer"))
        return None if person is None else customer_view(person, shop.currency)

    def customer_by_identifier(info: Any, identifier: Mapping) -> Mapping | None:
        person = shop.reached_by("phone", identifier["phoneNumber"])
        return None if person is None else customer_view(person, shop.currency)

    def customers(info: Any, **given: Any) -> Mapping:
        people_found = _found(shop, given.get("query"))
        people_found.sort(key=_customer_order(given.get("sortKey") or "ID"))
        views = [customer_view(person, shop.currency) for person in people_found]
        return _page(views, given.get("first"), given.get("after"))

    def nodes(info: Any, ids: list[str]) -> list[Mapping | None]:
        if len(ids) > MOST_IN_PAGE:
            raise BadArgumentError(f"The input array size of {len(ids)} is greater than the maximum of {MOST_IN_PAGE}.")
        return [
            None if view is None else view | {"__typename": "Customer"} for view in (customer(info, id) for id in ids)
        ]

    def bulk_operation(info: Any, id: str) -> Mapping | None:
        number = _number(id, "BulkOperation")
        return next((_bulk_view(state, each) for each in state.bulk.of(shop) if each.id == number), None)

    def bulk_operations(info: Any, **given: Any) -> Mapping:
        matches = _search(given.get("query"))
        found = [
            each
            for each in state.bulk.of(shop)
            if matches({"status": each.status, "created_at": each.created_at, "id": each.id})
        ]
        views = [_bulk_view(state, each) for each in (reversed(found) if given.get("reverse") else found)]
        return _page(views, given.get("first"), None)

    def segment(info: Any, id: str) -> Mapping:
        return _segment_view(_segment(shop, id))

    def all_segments(info: Any, **given: Any) -> Mapping:
        if (given.get("sortKey") or "CREATION_DATE") not in ("CREATION_DATE", "ID"):
            raise BadArgumentError("the stand-in sorts segments by CREATION_DATE and ID")
        return _page([_segment_view(each) for each in shop.segments.values()], given.get("first"), given.get("after"))

    def segment_members(info: Any, **given: Any) -> Mapping:
        found = segments.members(_segment(shop, given.get("segmentId") or ""), shop.customers)
        views = [{"id": f"gid://shopify/CustomerSegmentMember/{person.id}"} for person in found]
        page = _page(views, given.get("first"), given.get("after"), at_most=MOST_MEMBERS_IN_PAGE, in_all=len(views))
        return page | {"totalCount": len(views)}

    return {
        "shop": _shop_view(state, shop),
        "segment": segment,
        "segments": all_segments,
        "customerSegmentMembers": segment_members,
        "customer": customer,
        "customerByIdentifier": customer_by_identifier,
        "customers": customers,
        "nodes": nodes,
        "bulkOperation": bulk_operation,
        "bulkOperations": bulk_operations,
    }


def _mutations(state: State, shop: Shop, schema: graphql.GraphQLSchema, scopes: tuple[str, ...]) -> Mapping:
    def consent_update(info: Any, input: Mapping) -> Mapping:
        person = shop.customers.get(_number(input["customerId"], "Customer"))
        try:
            if person is None:
                raise PersonError("customerId", "Customer not found")
            people.set_consent(state, shop, person, _consent_given(input["smsMarketingConsent"]))
        except PersonError as error:
            return {"customer": None, "userErrors": [_user_error(error, "input", error.field)]}
        return {"customer": customer_view(person, shop.currency), "userErrors": []}

    def customer_create(info: Any, input: Mapping) -> Mapping:
        names = {"firstName": "first_name", "lastName": "last_name"}
        given = {names.get(name, name): value for name, value in input.items() if name != "smsMarketingConsent"}
        if input.get("smsMarketingConsent"):
            given["consent"] = _consent_given(input["smsMarketingConsent"])
        try:
            person = people.create(state, shop, given)
        except PersonError as error:
            return {"customer": None, "userErrors": [_user_error(error, error.field)]}
        return {"customer": customer_view(person, shop.currency), "userErrors": []}

    def run_query(info: Any, query: str, groupObjects: bool) -> Mapping:  # noqa: N803  GraphQL's name
        fault, selection = bulk.fault_of(schema, query)
        code = "INVALID"
        if not fault and state.bulk.running(shop) >= bulk.MOST_AT_ONCE:
            fault, code = (
                "A bulk query operation for this app and shop is already in progress (five at once)",
                "LIMIT_REACHED",
            )
        if fault or selection is None:
            return {"bulkOperation": None, "userErrors": [{"field": ["query"], "message": fault, "code": code}]}
        denied = "read_customers" not in scopes or "customers" not in state.app.protected_data
        begun = state.bulk.start(shop, query, _exported(state), bulk.Projector(selection), denied=denied)
        return {"bulkOperation": _bulk_view(state, begun), "userErrors": []}

    return {
        "customerSmsMarketingConsentUpdate": consent_update,
        "customerCreate": customer_create,
        "bulkOperationRunQuery": run_query,
    }


def customer_view(person: Customer, currency: str) -> Mapping:
    """A customer as GraphQL has it."""
    consent = person.consent
    return {
        "id": person.gid,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "locale": person.locale,
        "tags": sorted(person.tags),
        "createdAt": _time(person.created_at),
        "updatedAt": _time(person.updated_at),
        "numberOfOrders": str(person.orders),
        "amountSpent": {"amount": payloads.money(person.amount_spent), "currencyCode": currency},
        "defaultEmailAddress": None if person.email is None else {"emailAddress": person.email},
        "defaultPhoneNumber": None
        if person.phone is None
        else {
            "phoneNumber": person.phone,
            "smsMarketingConsent": {
                # What is written NOT_SUBSCRIBED is read NEVER_SUBSCRIBED (facts/shopify.md, “GraphQL”).
                "state": "NEVER_SUBSCRIBED" if consent.state == "NOT_SUBSCRIBED" else consent.state,
                "optInLevel": consent.level,
                "updatedAt": _time(consent.updated_at),
                "collectedFrom": consent.collected_from,
            },
        },
        "defaultAddress": None
        if person.country is None
        else {"countryCodeV2": person.country, "timeZone": person.timezone},
    }


def _exported(state: State) -> bulk.Lines:
    """All customers, and then the crowd; what the app isn't approved for is null."""
    hidden = [field for field, kind in PROTECTED.items() if kind not in state.app.protected_data]

    def lines(shop: Shop) -> Iterator[Mapping]:
        for person in list(shop.customers.values()):
            yield customer_view(person, shop.currency) | dict.fromkeys(hidden)
        for number in range(shop.crowd):
            yield customer_view(of_crowd(number), shop.currency) | dict.fromkeys(hidden)

    return lines


PROTECTED = {
    "firstName": "name",
    "lastName": "name",
    "defaultEmailAddress": "email",
    "defaultPhoneNumber": "phone",
    "defaultAddress": "address",
}
"""Fields of Customer that want the app's approval, and which."""


def _shop_view(state: State, shop: Shop) -> Mapping:
    owner = shop.staff_member()
    return {
        "id": f"gid://shopify/Shop/{shop.id}",
        "name": shop.name,
        "contactEmail": shop.email,
        "shopOwnerName": f"{owner.first_name} {owner.last_name}",
        "myshopifyDomain": shop.domain,
        "primaryDomain": {"url": state.storefront_url(shop)},
        "currencyCode": shop.currency,
        "ianaTimezone": shop.timezone,
        "marketingSmsConsentEnabledAtCheckout": shop.consent_at_checkout,
        "shopAddress": {"countryCodeV2": shop.country},
        "plan": {"publicDisplayName": shop.plan.capitalize(), "partnerDevelopment": shop.development},
    }


def _segment(shop: Shop, gid: str) -> Segment:
    number = _number(gid, "Segment")
    if number not in shop.segments:
        raise NotThereError("Segment")
    return shop.segments[number]


def _segment_view(segment: Segment) -> Mapping:
    return {"id": segment.gid, "name": segment.name}


def _bulk_view(state: State, operation: bulk.BulkOperation) -> Mapping:
    return {
        "id": operation.gid,
        "status": operation.status,
        "errorCode": operation.error_code,
        "type": "QUERY",
        "query": operation.query,
        "createdAt": _time(operation.created_at),
        "completedAt": _time(operation.completed_at),
        "objectCount": str(operation.objects),
        "rootObjectCount": str(operation.objects),
        "fileSize": None if operation.size is None else str(operation.size),
        "url": state.bulk.url(operation),
        "partialDataUrl": state.bulk.partial_url(operation),
    }


def _found(shop: Shop, query: str | None) -> list[Customer]:
    matches = _search(query)
    found = []
    for person in shop.customers.values():
        values: dict[str, search.Value] = {
            "id": person.id,
            "updated_at": person.updated_at,
            "customer_date": person.created_at,
            "phone": person.phone,
            "email": person.email,
            "first_name": person.first_name,
            "last_name": person.last_name,
        }
        if matches(values):
            found.append(person)
    return found


def _search(query: str | None) -> Callable[[dict[str, search.Value]], bool]:
    try:
        matches = search.matcher(query)
    except ValueError as error:
        raise BadArgumentError(str(error)) from None

    def guarded(values: dict[str, search.Value]) -> bool:
        try:
            return matches(values)
        except ValueError as error:
            raise BadArgumentError(str(error)) from None

    return guarded


def _customer_order(key: str) -> Callable[[Customer], Any]:
    orders: dict[str, Callable[[Customer], Any]] = {
        "ID": lambda person: person.id,
        "CREATED_AT": lambda person: (person.created_at, person.id),
        "UPDATED_AT": lambda person: (person.updated_at, person.id),
    }
    if key not in orders:
        raise BadArgumentError(f"the stand-in sorts by {', '.join(orders)}")
    return orders[key]


def _page(
    views: list[Mapping],
    first: int | None,
    after: str | None,
    *,
    at_most: int = MOST_IN_PAGE,
    in_all: int = MOST_PAGED,
) -> Mapping:
    """A connection. A cursor names the last object of the page before, wherever that stands by now, or stood.

    `at_most` objects a page, and pages up to `in_all` objects.
    """
    if first is None or not 1 <= first <= at_most:
        raise BadArgumentError(f"first must be given, from 1 to {at_most}")
    start = _after(views, after)
    if min(start + first, len(views)) > in_all:
        raise BadArgumentError(f"Pagination goes to {in_all} objects; narrow the query")
    shown = views[start : start + first]
    return {
        "nodes": shown,
        "edges": [{"node": view} for view in shown],
        "pageInfo": {
            "hasNextPage": start + first < len(views),
            "endCursor": _cursor(start + len(shown), shown[-1]["id"]) if shown else None,
        },
    }


def _cursor(place: int, gid: str) -> str:
    return base64.b64encode(f"{place} {gid}".encode()).decode()


def _after(views: list[Mapping], cursor: str | None) -> int:
    if cursor is None:
        return 0
    try:
        place, _, gid = base64.b64decode(cursor, validate=True).decode().partition(" ")
        position = int(place)
    except (ValueError, binascii.Error):
        raise BadArgumentError("Invalid cursor for current pagination sort.") from None
    return next((index + 1 for index, view in enumerate(views) if view["id"] == gid), position)


def _consent_given(given: Mapping) -> Mapping:
    return {
        "state": given["marketingState"],
        "level": given.get("marketingOptInLevel"),
        "updated_at": given.get("consentUpdatedAt"),
    }


def _user_error(error: PersonError, *field: str) -> Mapping:
    return {"field": list(field), "message": str(error), "code": error.code}


def _number(gid: str, kind: str) -> int:
    prefix = f"gid://shopify/{kind}/"
    if not re.fullmatch(re.escape(prefix) + "[0-9]{1,20}", gid):
        raise graphql.GraphQLError(f"Invalid global id '{gid}'", extensions={"code": "INVALID_ID"})
    return int(gid.removeprefix(prefix))


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")
