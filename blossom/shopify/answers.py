"""What an answer of the GraphQL API, or its absence, means for the operation. Source: facts on Shopify, "GraphQL"."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from blossom.platform import wire
from blossom.platform.wire import Answer, CallFailed
from blossom.shopify.documents import Document
from blossom.shopify.errors import ShopifyError, UserError

_LEAST_PAUSE, _USUAL_PAUSE = 0.1, 1.0  # seconds

_BY_STATUS = {
    400: "operation_invalid",
    401: "access_lost",
    402: "shop_frozen",
    403: "access_denied",
    404: "shop_closed",
    413: "too_costly",
    423: "shop_closed",
}

# Of several errors in one answer, the first of these decides.
_BY_CODE = {
    "THROTTLED": "throttled",
    "MAX_COST_EXCEEDED": "too_costly",
    "SHOP_INACTIVE": "shop_closed",
    "INTERNAL_SERVER_ERROR": "shopify_failed",
    "TIMEOUT": "shopify_failed",
    "ACCESS_DENIED": "access_denied",
    "NOT_FOUND": "not_found",
}


def without_answer(failed: CallFailed, document: Document) -> ShopifyError:
    """Only if no byte had left is it sure that a mutation was not done."""
    if not failed.begun:
        return ShopifyError("could_not_connect")
    return ShopifyError("no_answer" if document.repeatable else "outcome_unknown")


def data(answer: Answer, document: Document) -> dict[str, Any]:
    """The `data` of an answer in which nothing is wrong. Raises `ShopifyError` for any other."""
    if answer.status != 200:
        raise _refused_by_status(answer, document)
    content = _content(answer)
    if content is None:
        # It was done and can't be read: the same in effect as an answer that got lost.
        if answer.oversized and not document.is_mutation:
            raise ShopifyError("answer_unreadable", http_status=200)
        raise ShopifyError("no_answer" if document.repeatable else "outcome_unknown", http_status=200)
    brought = content.get("data")
    if content.get("errors"):
        raise _refused_by_errors(content, brought if isinstance(brought, dict) else None, document)
    if not isinstance(brought, dict):
        raise ShopifyError("no_answer" if document.repeatable else "outcome_unknown", http_status=200)
    if document.is_mutation and (refusals := list(_user_errors(brought))):
        raise ShopifyError("refused", http_status=200, data=brought, user_errors=refusals)
    return brought


def _refused_by_status(answer: Answer, document: Document) -> ShopifyError:
    status = answer.status
    if status == 429:
        seconds = max(wire.retry_after(answer) or 0.0, _USUAL_PAUSE)  # "at once" would be asked again without an end
        return ShopifyError("throttled", http_status=status, retry_after=seconds)
    if status >= 500 or status == 408:
        code = "shopify_failed" if document.repeatable else "outcome_unknown"
        return ShopifyError(code, http_status=status, retry_after=wire.retry_after(answer))
    if 300 <= status < 400:
        return ShopifyError("wrong_address", http_status=status)
    return ShopifyError(_BY_STATUS.get(status, "operation_invalid"), http_status=status)


def _refused_by_errors(
    content: Mapping[str, Any], brought: Mapping[str, Any] | None, document: Document
) -> ShopifyError:
    named = set(_codes(content["errors"]))
    code = next((ours for theirs, ours in _BY_CODE.items() if theirs in named), "operation_invalid")
    if code == "throttled":
        return _throttled(content)
    if code == "shopify_failed" and not document.repeatable:
        code = "outcome_unknown"
    return ShopifyError(code, http_status=200, data=brought)


def _throttled(content: Mapping[str, Any]) -> ShopifyError:
    """What is missing comes back at so many points a second; what never fits needs no wait."""
    cost = _dict(_dict(content.get("extensions")).get("cost"))
    status = _dict(cost.get("throttleStatus"))
    wanted, available = _number(cost.get("requestedQueryCost")), _number(status.get("currentlyAvailable"))
    most, rate = _number(status.get("maximumAvailable")), _number(status.get("restoreRate"))
    if wanted is None or available is None or not rate:
        return ShopifyError("throttled", http_status=200, retry_after=_USUAL_PAUSE)
    if most is not None and wanted > most:
        return ShopifyError("too_costly", http_status=200)
    return ShopifyError("throttled", http_status=200, retry_after=max(_LEAST_PAUSE, (wanted - available) / rate))


def _content(answer: Answer) -> Mapping[str, Any] | None:
    if answer.body is None:
        return None
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _codes(errors: Any) -> Iterator[str]:
    for error in errors if isinstance(errors, list) else []:
        code = _dict(_dict(error).get("extensions")).get("code")
        if isinstance(code, str):
            yield code


def _user_errors(brought: Mapping[str, Any]) -> Iterator[UserError]:
    """Of each mutation in the operation; some call them `bulkOperationUserErrors` and the like."""
    for payload in brought.values():
        for name, errors in _dict(payload).items():
            if name.lower().endswith("usererrors") and isinstance(errors, list):
                for error in map(_dict, errors):
                    path, code = error.get("field"), error.get("code")
                    yield UserError(
                        path=tuple(map(str, path)) if isinstance(path, list) else (),
                        code=code if isinstance(code, str) else "",
                        message=str(error.get("message", "")),
                    )


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
