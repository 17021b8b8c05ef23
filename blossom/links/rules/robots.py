"""Who opens a link without a person reading what is behind it: previews, crawlers, scanners, programs.

Browsers have called themselves Mozilla (Opera Mini: Opera) for thirty years, so what begins otherwise is a program. For
those that pretend there is the list of crawler-user-agents (decision 0030).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import crawleruseragents

_BROWSERS = ("Mozilla/", "Opera/")
_LONGEST = 512
"""Characters that are looked at: the list's patterns take time by the length."""
_PURPOSES = ("Purpose", "Sec-Purpose", "X-Purpose", "X-Moz")
_AHEAD = ("prefetch", "preview", "prerender")


def is_person(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request, as far as it tells, is somebody's who has tapped a link. `headers` by their usual names."""
    if method != "GET":
        return False
    if any(word in headers.get(name, "").lower() for name in _PURPOSES for word in _AHEAD):
        return False
    return _is_browser(headers.get("User-Agent", "")[:_LONGEST])


@lru_cache(maxsize=4096)
def _is_browser(user_agent: str) -> bool:
    return user_agent.startswith(_BROWSERS) and not crawleruseragents.is_crawler(user_agent)
