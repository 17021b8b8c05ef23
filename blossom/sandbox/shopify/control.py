"""`/control/…`: steering the stand-in and reading what it saw. Needs no proof; it is for one machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

import orjson
from flask import Blueprint, Response, request

from blossom.sandbox.shopify import billing, bulk, orders, people
from blossom.sandbox.shopify.customers import Customer
from blossom.sandbox.shopify.deliveries import Delivery
from blossom.sandbox.shopify.faults import Fault, Faults
from blossom.sandbox.shopify.state import Hosts, Shop, Staff, State

T = TypeVar("T")


class RefusedError(ValueError):
    """What was asked can't be done; the message says why."""


def blueprint(state: State) -> Blueprint:
    """The routes. Bodies and answers are JSON; what can't be done is 400 with `error`."""
    routes = Blueprint("control", __name__, url_prefix="/control")

    def post(path: str) -> Callable[[Callable[[dict[str, Any]], Any]], None]:
        def register(action: Callable[[dict[str, Any]], Any]) -> None:
            @wraps(action)
            def answer() -> Response:
                try:
                    with state.lock:
                        return _json(action(_document()))
                except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
                    return _json({"error": str(error) or type(error).__name__}, 400)

            routes.post(path, endpoint=action.__name__)(answer)

        return register

    @routes.get("/health")
    def health() -> Response:
        with state.lock:
            return _json({"ok": True, "now": state.now()})

    @routes.get("/calls")
    def calls() -> Response:
        """What the app asked for, from `?since=` on (a number of calls)."""
        with state.lock:
            return _json(state.calls[request.args.get("since", 0, type=int) :])

    @routes.get("/webhooks")
    def webhooks() -> Response:
        """What was sent to the app, and its answers."""
        with state.lock:
            return _json([each.described() for each in state.deliveries.all])

    @routes.get("/shops/<domain>")
    def look(domain: str) -> Response:
        """A shop as it stands."""
        with state.lock:
            shop = state.shops.get(domain)
            return _json({"error": f"no shop {domain}"}, 400) if shop is None else _json(shop)

    @post("/reset")
    def reset(given: dict[str, Any]) -> Any:
        """Forget all, and set up what is given as at start."""
        state.reset()
        set_up(state, given)
        return {"ok": True}

    @post("/app")
    def configure(given: dict[str, Any]) -> Any:
        """Change fields of the app's configuration."""
        state.app = _changed(state.app, given)
        return state.app

    @post("/shops")
    def open_shop(given: dict[str, Any]) -> Any:
        return _open(state, given)

    @post("/clock")
    def clock(given: dict[str, Any]) -> Any:
        """`{"advance": seconds}`, which may be negative."""
        state.move_clock(timedelta(seconds=float(given["advance"])))
        return {"now": state.now()}

    @post("/install")
    def install(given: dict[str, Any]) -> Any:
        """`{"shop"}`, and `scopes` if not all that the app asks for: what a merchant's click on “Install” does."""
        return state.install(_shop(state, given), given.get("scopes"))

    @post("/uninstall")
    def uninstall(given: dict[str, Any]) -> Any:
        state.uninstall(_shop(state, given))
        return {"ok": True}

    @post("/customers")
    def customers(given: dict[str, Any]) -> Any:
        """`{"shop", "customers": [fields…]}`, silently unless `webhooks` is true; the customers."""
        shop = _shop(state, given)
        silent = not given.get("webhooks", False)
        return [people.create(state, shop, fields, silent=silent) for fields in given["customers"]]

    @post("/customers/act")
    def act(given: dict[str, Any]) -> Any:
        """What a merchant does: `{"shop", "id", "do"}`, with `fields` to `update` and `consent`; `delete`, `redact`,
        `data_request`; `merge`, with the `other` that goes. Webhooks tell the app."""
        shop = _shop(state, given)
        person, do, fields = _person(shop, given["id"]), given["do"], given.get("fields", {})
        if do == "update":
            people.update(state, shop, person, fields)
        elif do == "consent":
            people.set_consent(state, shop, person, fields)
        elif do == "delete":
            people.delete(state, shop, person)
        elif do == "merge":
            people.merge(state, shop, person, _person(shop, given["other"]))
        elif do == "redact":
            people.redact(state, shop, person)
        elif do == "data_request":
            people.request_data(state, shop, person)
        else:
            raise RefusedError(f"a customer can't be asked to {do}")
        return person

    @post("/segments")
    def segments(given: dict[str, Any]) -> Any:
        """`{"shop", "segments": [{"name", "query"}…]}`: the segments as a merchant makes them."""
        shop = _shop(state, given)
        return [state.add_segment(shop, fields["name"], fields["query"]) for fields in given["segments"]]

    @post("/segments/act")
    def act_on_segment(given: dict[str, Any]) -> Any:
        """`{"shop", "id", "do"}`: `delete`, or `update` with `fields` (`name`, `query`)."""
        shop, do = _shop(state, given), given["do"]
        if given["id"] not in shop.segments:
            raise RefusedError(f"{shop.domain} has no segment {given['id']}")
        if do == "delete":
            return shop.segments.pop(given["id"])
        if do == "update":
            shop.segments[given["id"]] = _changed(shop.segments[given["id"]], given["fields"])
            return shop.segments[given["id"]]
        raise RefusedError(f"a segment can't be asked to {do}")

    @post("/checkouts")
    def checkout(given: dict[str, Any]) -> Any:
        """`{"shop", "checkout": fields}`, and `token` to change one (`orders.begin_checkout`)."""
        return orders.begin_checkout(state, _shop(state, given), given["checkout"], given.get("token"))

    @post("/orders")
    def order(given: dict[str, Any]) -> Any:
        """`{"shop", "token"}` of a checkout, and `paid`: the order."""
        return orders.place(state, _shop(state, given), given["token"], paid=given.get("paid", True))

    @post("/orders/act")
    def act_on_order(given: dict[str, Any]) -> Any:
        """`{"shop", "id", "do"}`: `pay`, `cancel`, `fulfil` (with `fields`), `ship` (`status`), `refund` (`amount`)."""
        shop, do = _shop(state, given), given["do"]
        if given["id"] not in shop.orders:
            raise RefusedError(f"{shop.domain} has no order {given['id']}")
        document = shop.orders[given["id"]]
        if do == "pay":
            return orders.pay(state, shop, document)
        if do == "cancel":
            return orders.cancel(state, shop, document)
        if do == "fulfil":
            return orders.fulfil(state, shop, document, given.get("fields", {}))
        if do == "ship":
            return orders.ship(state, shop, document, given["status"])
        if do == "refund":
            return orders.refund(state, shop, document, int(given["amount"]))
        raise RefusedError(f"an order can't be asked to {do}")

    @post("/charges")
    def charge(given: dict[str, Any]) -> Any:
        """`{"shop", "charge": fields}` (`billing.create`): the charge, with the `confirmation_url` for the merchant."""
        return billing.create(state, _shop(state, given), given["charge"])

    @post("/shop-redact")
    def shop_redact(given: dict[str, Any]) -> Any:
        """What Shopify sends 48 hours after an uninstall."""
        return _sent(people.redact_shop(state, _shop(state, given)))

    @post("/faults")
    def fail(given: dict[str, Any]) -> Any:
        """`{"faults": [fields of faults.Fault…], "seed"}`, in place of those that were."""
        state.faults = Faults([Fault(**fields) for fields in given.get("faults", [])], int(given.get("seed", 1)))
        return {"ok": True}

    @post("/bulk")
    def exports(given: dict[str, Any]) -> Any:
        """How bulk operations behave (`bulk.Behaviour`)."""
        state.bulk.behave(bulk.Behaviour(**given))
        return state.bulk.behaviour

    @post("/points")
    def points(given: dict[str, Any]) -> Any:
        """`{"shop", "left"}`: leave only so many points for GraphQL."""
        shop = _shop(state, given)
        shop.bucket.drain(state.now(), float(given["left"]))
        return shop.bucket

    @post("/webhooks")
    def webhook(given: dict[str, Any]) -> Any:
        """`{"shop", "topic", "payload"}`, with `signature`, `webhook_id`, `late` (seconds ago): send one; as queued."""
        fields: dict[str, Any] = {name: given[name] for name in ("webhook_id", "event_id") if name in given}
        if "late" in given:
            fields["triggered_at"] = state.now() - timedelta(seconds=float(given["late"]))
        shop, topic, payload = _shop(state, given), str(given["topic"]), given.get("payload", {})
        return _sent(state.deliveries.emit(shop, topic, payload, signature=given.get("signature", ""), **fields))

    @post("/webhooks/behave")
    def deliver(given: dict[str, Any]) -> Any:
        """Change how webhooks behave (`deliveries.Behaviour`); `hold` false lets go what was held."""
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        state.deliveries.behave(_changed(state.deliveries.behaviour, given))
        return state.deliveries.behaviour

    @post("/webhooks/settle")
    def settle(given: dict[str, Any]) -> Any:
        """`{"wait": seconds}`: answers when nothing is due or being posted, or then; what is left. The lock is let go
        meanwhile."""
        done = state.deliveries.settle(float(given.get("wait", 10)))
        return {"settled": done, "unfinished": state.deliveries.unfinished}

    @post("/webhooks/flush")
    def flush(given: dict[str, Any]) -> Any:
        """Let go what is held."""
        return {"flushed": state.deliveries.flush()}

    @post("/id-token")
    def id_token(given: dict[str, Any]) -> Any:
        """`{"shop"}`, and `staff` (an id) and `claims` to replace: a session token."""
        shop = _shop(state, given)
        member = shop.staff_member(given["staff"]) if "staff" in given else None
        return {"id_token": state.id_token(shop, member, **given.get("claims", {}))}

    return routes


def set_up(state: State, document: dict[str, Any]) -> None:
    """Bring in what a configuration names: `app`, `hosts` and `shops` (fields of `state.App`, `Hosts` and `Shop`)."""
    unknown = sorted(set(document) - {"app", "hosts", "shops"})
    if unknown:
        raise RefusedError(f"a configuration has app, hosts and shops, not {', '.join(unknown)}")
    state.app = _changed(state.app, document.get("app", {}))
    state.hosts = _changed(Hosts(), document.get("hosts", {}))
    for fields in document.get("shops", []):
        _open(state, fields)


def _open(state: State, fields: dict[str, Any]) -> Shop:
    staff = [Staff(**member) for member in fields.get("staff", [])]
    return state.add_shop(**{**fields, "staff": staff})


def _person(shop: Shop, id: int) -> Customer:
    if id not in shop.customers:
        raise RefusedError(f"{shop.domain} has no customer {id}")
    return shop.customers[id]


def _sent(deliveries: list[Delivery]) -> list[dict[str, Any]]:
    return [delivery.described() for delivery in deliveries]


def _shop(state: State, given: dict[str, Any]) -> Shop:
    if given.get("shop") not in state.shops:
        raise RefusedError(f"no shop {given.get('shop')}")
    return state.shops[given["shop"]]


def _changed(current: T, given: dict[str, Any]) -> T:
    """`current` (a dataclass) with the given fields. RefusedError names those that it doesn't have."""
    assert dataclasses.is_dataclass(current)
    assert not isinstance(current, type)
    unknown = sorted(set(given) - {each.name for each in dataclasses.fields(current)})
    if unknown:
        raise RefusedError(f"{type(current).__name__} has no {', '.join(unknown)}")
    return dataclasses.replace(current, **given)


def _document() -> dict[str, Any]:
    document = orjson.loads(request.get_data() or b"{}")
    if not isinstance(document, dict):
        raise RefusedError("the body is an object")
    return document


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS), status, content_type="application/json")
