"""What people type, in addresses and forms: read by Flask as ever, but for what no table can keep."""

from __future__ import annotations

from typing import Any

from htmx_flask.requests import HtmxAwareRequest
from werkzeug.datastructures import ImmutableMultiDict, iter_multi_items

from blossom.platform.lines import TURNING

_NAMES = frozenset({"name", "contact_line"})
"""Fields of one line that others read: without `TURNING`. Names of people lose it wherever they come from, and in
texts it stays: the linter judges it there."""

_WITHOUT_TURNING = dict.fromkeys(map(ord, TURNING))


class Typed(ImmutableMultiDict[str, Any]):
    """Names and values without NUL: Postgres keeps it in no text, and nobody's keyboard has it.

    What proves who asks (signatures of Shopify and of Mitto) is verified on the raw bytes, and not on these.
    """

    def __init__(self, mapping: Any = None) -> None:
        items = iter_multi_items(mapping) if mapping else ()
        super().__init__([_storable(name, value) for name, value in items])


class Request(HtmxAwareRequest):  # type: ignore[misc]  # it comes without types
    parameter_storage_class = Typed


def _storable(name: str, value: Any) -> tuple[str, Any]:
    name = name.replace("\0", "")
    if not isinstance(value, str):
        return name, value
    return name, value.replace("\0", "").translate(_WITHOUT_TURNING if name in _NAMES else {})
