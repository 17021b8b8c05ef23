"""What can go wrong with Shopify, as a closed table: whether a second try helps, for whom, and in a merchant's words.

No text of Shopify's enters a message, a detail or a log: it may quote a customer. What callers need of it stands in
attributes: `data`, `user_errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from blossom.platform.errors import BlossomError
from blossom.platform.languages import joined, noted


class InvalidSessionToken(BlossomError):
    """Not a token of Shopify's for this app at this moment. `stale`: it was one, or will be in a moment: a fresh one
    helps. `why` is for the log."""

    def __init__(self, why: str, *, stale: bool = False) -> None:
        super().__init__(
            "This session has ended, or is not one of ours.",
            code="invalid_session_token",
            status=401,
            actionable="Open Blossom from the Shopify admin.",
        )
        self.why = why
        self.stale = stale


class ShopifyErrorKind(StrEnum):
    """What may be done about a failed call."""

    PERMANENT = "permanent"  # the same call would fail again
    TRANSIENT = "transient"  # nothing was done: the same call may be made again
    UNKNOWN_OUTCOME = "unknown_outcome"  # a mutation may have been done: look before it is made again


class ShopifyErrorScope(StrEnum):
    """Whom a failure is about."""

    CALL = "call"  # this operation with these variables
    SHOP = "shop"  # every call for this shop
    APP = "app"  # every call for every shop


@dataclass(frozen=True)
class ShopifyFault:
    """A row of the table: what happened, and what to do or to expect, without naming a person."""

    kind: ShopifyErrorKind
    scope: ShopifyErrorScope
    happened: str
    then: str | None = None

    @property
    def merchant_text(self) -> str:
        return joined(self.happened, self.then) if self.then else self.happened


@dataclass(frozen=True, slots=True)
class UserError:
    """One of a mutation's `userErrors`: the field at fault, from outside in. `message` is Shopify's and may quote what
    was sent: not for logs."""

    path: tuple[str, ...]
    code: str
    message: str = field(repr=False)


_P, _T, _U = ShopifyErrorKind.PERMANENT, ShopifyErrorKind.TRANSIENT, ShopifyErrorKind.UNKNOWN_OUTCOME
_CALL, _SHOP, _APP = ShopifyErrorScope.CALL, ShopifyErrorScope.SHOP, ShopifyErrorScope.APP
BY_ITSELF = noted("It is tried again by itself.")
_OPEN = noted("Open Blossom in the Shopify admin once, and it goes on.")

FAULTS: dict[str, ShopifyFault] = {
    # Nothing was done; later it may be.
    "could_not_connect": ShopifyFault(_T, _CALL, noted("Shopify could not be reached."), BY_ITSELF),
    "no_answer": ShopifyFault(_T, _CALL, noted("Shopify didn't answer a question in time."), BY_ITSELF),
    "shopify_failed": ShopifyFault(_T, _CALL, noted("Shopify is out of order for the moment."), BY_ITSELF),
    "throttled": ShopifyFault(_T, _SHOP, noted("Shopify asked us to be slower."), BY_ITSELF),
    "access_busy": ShopifyFault(_T, _SHOP, noted("Access to Shopify is being renewed."), BY_ITSELF),
    # The mutation may have been done.
    "outcome_unknown": ShopifyFault(
        _U,
        _CALL,
        noted("Shopify's answer got lost, so the change may or may not have been made. We look before we repeat it."),
    ),
    # Access.
    "not_installed": ShopifyFault(_P, _SHOP, noted("Blossom is not installed in this shop.")),
    "access_lost": ShopifyFault(_P, _SHOP, noted("Shopify has ended our access to this shop."), _OPEN),
    "access_denied": ShopifyFault(
        _P,
        _SHOP,
        noted(
            "Shopify doesn't let Blossom see or do this. Grant the missing permissions; names and phone numbers also "
            "need Shopify's approval of the app for protected customer data."
        ),
    ),
    "shop_frozen": ShopifyFault(_P, _SHOP, noted("Shopify has frozen this shop. Settle its bill with Shopify first.")),
    "shop_closed": ShopifyFault(_P, _SHOP, noted("Shopify says that this shop is closed or gone.")),
    "grant_refused": ShopifyFault(
        _P, _SHOP, noted("Shopify didn't accept this session. Open Blossom again in the admin.")
    ),
    "refresh_refused": ShopifyFault(_P, _SHOP, noted("Shopify has ended our access to this shop."), _OPEN),
    # Ours to mend.
    "app_refused": ShopifyFault(
        _P, _APP, noted("Shopify doesn't accept the app's own credentials. We have to mend that.")
    ),
    "wrong_address": ShopifyFault(_P, _APP, noted("Shopify answered with a redirect. We have to mend the address.")),
    "operation_invalid": ShopifyFault(_P, _CALL, noted("Shopify didn't understand our request. We have to mend that.")),
    "too_costly": ShopifyFault(
        _P, _CALL, noted("Our request asks Shopify for too much at once. We have to mend that.")
    ),
    "answer_unreadable": ShopifyFault(
        _P, _CALL, noted("Shopify's answer could not be understood. We have to mend that.")
    ),
    "export_gone": ShopifyFault(
        _P, _CALL, noted("The export that Shopify made for us is gone. It has to be made anew.")
    ),
    # Shopify understood, and refused.
    "not_found": ShopifyFault(_P, _CALL, noted("What was asked for is not at Shopify any more.")),
    "refused": ShopifyFault(_P, _CALL, noted("Shopify refused the change.")),
}


def trouble(code: str) -> str:
    """What went wrong, in a merchant's words. `code`: one of `FAULTS`, or the name of a fault of ours."""
    fault = FAULTS.get(code)
    return fault.merchant_text if fault else noted("Something broke on our side. It is tried again by itself.")


def final_trouble(code: str | None) -> str:
    """The same of what was given up."""
    fault = FAULTS.get(code or "")
    if fault is None:
        return noted("Something broke on our side, and went on doing so.")
    if fault.then == BY_ITSELF:
        return joined(fault.happened, noted("It was tried several times."))
    return fault.merchant_text


class ShopifyError(BlossomError):
    """A call to Shopify that didn't end well.

    `code` is a key of `FAULTS` and decides `kind`, `scope` and `merchant_text`. `http_status` is the answer's, None
    when there was none. `retry_after`: seconds that Shopify asked us to wait, None if it didn't say. `data`: what an
    answer brought in spite of its errors, holes being None. `user_errors`: why a mutation was `refused`.
    """

    def __init__(
        self,
        code: str,
        *,
        http_status: int | None = None,
        retry_after: float | None = None,
        data: Mapping[str, Any] | None = None,
        user_errors: Sequence[UserError] = (),
    ) -> None:
        fault = FAULTS[code]
        details: dict[str, Any] = {"kind": fault.kind.value, "scope": fault.scope.value, "http_status": http_status}
        if user_errors:
            details["refused"] = [{"field": list(error.path), "code": error.code} for error in user_errors]
        super().__init__(
            fault.merchant_text,
            code=code,
            status=502 if fault.kind is ShopifyErrorKind.PERMANENT else 503,
            details=details,
            actionable=fault.merchant_text,
        )
        self.kind = fault.kind
        self.scope = fault.scope
        self.merchant_text = fault.merchant_text
        self.http_status = http_status
        self.retry_after = retry_after
        self.data = data
        self.user_errors = tuple(user_errors)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders pickled; the default would call us with the message as the code.
        return _again, (self.code, self.http_status, self.retry_after, self.data, self.user_errors)


def _again(
    code: str,
    http_status: int | None,
    retry_after: float | None,
    data: Mapping[str, Any] | None,
    user_errors: tuple[UserError, ...],
) -> ShopifyError:
    return ShopifyError(code, http_status=http_status, retry_after=retry_after, data=data, user_errors=user_errors)
