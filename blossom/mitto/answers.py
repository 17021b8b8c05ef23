"""What an answer of Mitto's, or its absence, means for the texts of the call. docs/mitto.md has it as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from blossom.mitto import payloads
from blossom.mitto.errors import SendError
from blossom.platform import wire
from blossom.platform.wire import Answer, CallFailed

T = TypeVar("T")

# By status, for a call that was refused and whose body names no accepted text. Other 4xx are in `_refusal`.
_NOTHING_TAKEN = {
    301: "wrong_address",  # "repeat it over there" says that it wasn't handled here; 302 and 303 don't say so
    307: "wrong_address",
    308: "wrong_address",
    401: "unauthorized",
    402: "payment_required",
    403: "forbidden",
    404: "not_found",
    413: "batch_too_large",
    425: "provider_busy",
    429: "rate_limited",
    503: "provider_busy",
}


def send_error_without_answer(failed: CallFailed) -> SendError:
    """Only if no byte had left can nothing have been taken."""
    if not failed.begun:
        return SendError("could_not_connect")
    return SendError("no_answer_in_time" if failed.timed_out else "connection_lost")


def send_error(answer: Answer, *, texts: int) -> SendError:
    """The error that a status other than 2xx means for a call with so many `texts`."""
    status = answer.status
    refused = status in _NOTHING_TAKEN or (400 <= status < 500 and status != 408)
    if not refused or (status == 503 and answer.body is None):
        # 408 comes from a gateway that has lost patience as well as from a server that got half a request.
        return SendError("provider_failed", http_status=status)
    if answer.body is not None and payloads.names_accepted_texts(answer.body):
        return SendError("refused_but_taken", http_status=status)
    code = _NOTHING_TAKEN.get(status) or _refusal(answer, texts)
    return SendError(code, http_status=status, retry_after=wire.retry_after(answer))


def read(answer: Answer, parse: Callable[[bytes], T]) -> T:
    """The parsed body of a 2xx; `SendError` (outcome unknown) when it can't be read or doesn't match."""
    if answer.body is None:
        code = "answer_too_large" if answer.oversized else "answer_incomplete"
        if answer.timed_out:
            code = "no_answer_in_time"
        raise SendError(code, http_status=answer.status)
    try:
        return parse(answer.body)
    except payloads.UnmatchedAnswer:
        raise SendError("answer_mismatched", http_status=answer.status) from None
    except payloads.PayloadError:
        raise SendError("answer_unreadable", http_status=answer.status) from None


def _refusal(answer: Answer, texts: int) -> str:
    """A refused call of several texts doesn't say which one it is about; that of a single one may say why."""
    if texts > 1:
        return "batch_refused"
    return payloads.refusal_code_of_body(answer.body or b"")
