"""Why Mitto didn't take texts, as a closed table: what it means for a second try, for whom, and in a merchant's words.

The classes are those of spec §3. No provider text enters these errors: it may quote a phone number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from blossom.platform.errors import BlossomError


class SendErrorKind(StrEnum):
    """What may be done about a failed call."""

    PERMANENT = "permanent"  # the same call would be refused again
    TRANSIENT = "transient"  # nothing was taken: the same call may be made again
    UNKNOWN_OUTCOME = "unknown_outcome"  # it may have been taken: never repeat it blindly


class SendErrorScope(StrEnum):
    """Whom a failure is about."""

    MESSAGE = "message"  # the one text of this call, or of this entry
    BATCH = "batch"  # something in the call: it can be split until the culprit is alone
    ACCOUNT = "account"  # every call of this account: splitting or waiting changes nothing


@dataclass(frozen=True)
class SendFault:
    """A row of the table. `merchant_text` says what happened and what to do, without naming a person."""

    kind: SendErrorKind
    scope: SendErrorScope
    merchant_text: str


_P, _T, _U = SendErrorKind.PERMANENT, SendErrorKind.TRANSIENT, SendErrorKind.UNKNOWN_OUTCOME
_MESSAGE, _BATCH, _ACCOUNT = SendErrorScope.MESSAGE, SendErrorScope.BATCH, SendErrorScope.ACCOUNT
_UNCONFIRMED = "It is marked unconfirmed until a receipt tells, and is not sent again by itself."

FAULTS: dict[str, SendFault] = {
    # Nothing left, or nothing was taken.
    "could_not_connect": SendFault(_T, _BATCH, "Mitto could not be reached. Sending goes on by itself."),
    "rate_limited": SendFault(_T, _BATCH, "Mitto asked us to send more slowly. Sending goes on by itself."),
    "provider_busy": SendFault(_T, _BATCH, "Mitto is out of service for the moment. Sending goes on by itself."),
    # Refused, and would be again.
    "unauthorized": SendFault(_P, _ACCOUNT, "Mitto doesn't accept our API key. Check it in the settings."),
    "forbidden": SendFault(
        _P, _ACCOUNT, "This Mitto account may not send. Ask Mitto to allow it for your traffic account."
    ),
    "payment_required": SendFault(
        _P, _ACCOUNT, "This Mitto account has no credit left. Top it up with Mitto, then send again."
    ),
    "wrong_address": SendFault(
        _P, _ACCOUNT, "Mitto has moved: the configured address answers with a redirect. Correct the address."
    ),
    "batch_refused": SendFault(_P, _BATCH, "Mitto refused these texts together. They are tried in smaller groups."),
    "batch_too_large": SendFault(
        _P, _BATCH, "This group of texts is too large for Mitto. It is tried in smaller groups."
    ),
    "not_found": SendFault(
        _P, _ACCOUNT, "Mitto doesn't know this traffic account or address. Check both in the settings."
    ),
    "message_refused": SendFault(
        _P, _MESSAGE, "Mitto refused this text without saying why. Check the number and the wording."
    ),
    "invalid_number": SendFault(
        _P, _MESSAGE, "Mitto can't text this phone number. Correct it in the contact, then send again."
    ),
    "blocked_content": SendFault(_P, _MESSAGE, "Mitto blocked the wording of this text. Change it, then send again."),
    "sender_refused": SendFault(
        _P, _MESSAGE, "Mitto doesn't allow this sender name. Choose another one in the settings."
    ),
    # It went out; what became of it is not known.
    "no_answer_in_time": SendFault(_U, _BATCH, f"Mitto didn't answer in time. {_UNCONFIRMED}"),
    "connection_lost": SendFault(
        _U, _BATCH, f"The connection to Mitto broke after the text had gone out. {_UNCONFIRMED}"
    ),
    "provider_failed": SendFault(_U, _BATCH, f"Mitto failed while it had the text. {_UNCONFIRMED}"),
    "answer_incomplete": SendFault(_U, _BATCH, f"Mitto's answer was cut short. {_UNCONFIRMED}"),
    "answer_unreadable": SendFault(_U, _BATCH, f"Mitto's answer could not be understood. {_UNCONFIRMED}"),
    "answer_too_large": SendFault(_U, _BATCH, f"Mitto's answer was too large to be read. {_UNCONFIRMED}"),
    "answer_mismatched": SendFault(_U, _BATCH, f"Mitto's answer doesn't match what was sent. {_UNCONFIRMED}"),
    "refused_but_taken": SendFault(
        _U, _BATCH, f"Mitto refused the call, yet seems to have taken texts of it. {_UNCONFIRMED}"
    ),
}


class SendError(BlossomError):
    """A call to Mitto that didn't end well.

    `code` is a key of `FAULTS` and decides `kind`, `scope` and `merchant_text`. `http_status` is the answer's,
    None when there was none. `retry_after`: seconds that Mitto asked us to wait, None if it didn't say.
    """

    def __init__(self, code: str, *, http_status: int | None = None, retry_after: float | None = None) -> None:
        fault = FAULTS[code]
        super().__init__(
            fault.merchant_text,
            code=code,
            status=502 if fault.kind is SendErrorKind.PERMANENT else 503,
            details={"kind": fault.kind.value, "scope": fault.scope.value, "http_status": http_status},
            actionable=fault.merchant_text,
        )
        self.kind = fault.kind
        self.scope = fault.scope
        self.merchant_text = fault.merchant_text
        self.http_status = http_status
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders pickled; the default would call us with the message as the code.
        return _again, (self.code, self.http_status, self.retry_after)


def _again(code: str, http_status: int | None, retry_after: float | None) -> SendError:
    return SendError(code, http_status=http_status, retry_after=retry_after)
