"""The merchant of the demo's shop, who does in the admin what a browser would: installs Blossom, opens its pages."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlsplit

import requests

from blossom.sandbox.demo import store
from blossom.sandbox.demo.processes import DemoError
from blossom.sandbox.shopify.process import StandIn

_TIMEOUT = 60.0


class Merchant:
    """At work in the admin of `shopify`, which frames `app`. Addresses are those that a browser is given."""

    def __init__(self, shopify: StandIn, app: str) -> None:
        port = urlsplit(shopify.url).port
        self.admin = f"http://{store.HOSTS['admin']}:{port}/store/{store.HANDLE}/apps/blossom"
        self.storefront = f"http://{store.HANDLE}.{store.HOSTS['storefronts']}:{port}/"
        self._shopify, self._app = shopify, app
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the caller's is not for calls to ourselves

    def install(self) -> None:
        """Open Blossom in the admin, say yes to what it asks for, and let the frame load: it exchanges the token."""
        asked = self._in_admin("GET", "/")
        _Page.of(asked, "a form to install it with").the("form", method="post")
        self._in_admin("POST", "/install")
        framed = _Page.of(self._in_admin("GET", "/"), "a frame").the("iframe", id="app")
        answer = self._session.get(str(framed["src"]), headers={"Sec-Fetch-Dest": "iframe"}, timeout=_TIMEOUT)
        if not answer.ok or "id_token" not in framed["src"]:
            raise DemoError(f"Blossom answered {answer.status_code} in the admin's frame.")

    def allow_texts_at_any_time(self) -> None:
        """In Blossom's settings: no quiet hours and no caps, as who tries it would not wait for the morning."""
        fields = _Page.of(self._fetch("GET", "/settings"), "its form").fields
        fields.pop("quiet_hours_on", None)
        self._fetch("POST", "/settings", fields | {"daily_cap": "", "weekly_cap": ""})

    def ask_shoppers_to_confirm(self) -> None:
        """In Blossom's settings: whoever fills in the shop's form gets a text first, with a link."""
        fields = _Page.of(self._fetch("GET", "/settings/consent"), "its form").fields
        self._fetch("POST", "/settings/consent", fields | {"double_opt_in": "on"})

    def session_token(self) -> str:
        """A new one, as App Bridge gets it from the admin."""
        return self._shopify.id_token(store.DOMAIN)

    def _fetch(self, method: str, path: str, form: dict[str, str] | None = None) -> str:
        """What a script in the frame fetches, with the session token that App Bridge adds."""
        headers = {"Authorization": f"Bearer {self.session_token()}", "HX-Request": "true"}
        answer = self._session.request(method, self._app + path, data=form, headers=headers, timeout=_TIMEOUT)
        if not answer.ok:
            raise DemoError(f"{method} {path} in the admin's frame: {answer.status_code}.")
        return answer.text

    def _in_admin(self, method: str, path: str) -> str:
        """A page of the admin's. It is reached by its port: not every resolver knows names below localhost."""
        parts = urlsplit(self.admin + path)
        answer = self._session.request(
            method,
            f"{self._shopify.url}{parts.path}",
            headers={"Host": parts.netloc},
            timeout=_TIMEOUT,
            allow_redirects=False,
        )
        if answer.status_code >= 400:
            raise DemoError(f"The stand-in of the admin answered {answer.status_code}.")
        return answer.text


class _Page(HTMLParser):
    """The elements of a page, and what its fields would send as they stand."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted = wanted
        self.elements: list[tuple[str, dict[str, str]]] = []
        self._in_textarea = False

    @classmethod
    def of(cls, html: str, wanted: str) -> _Page:
        page = cls(wanted)
        page.feed(html)
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._in_textarea = tag == "textarea"

    def handle_data(self, data: str) -> None:
        if self._in_textarea:
            self.elements[-1][1]["value"] = data
            self._in_textarea = False

    def the(self, tag: str, **attributes: str) -> dict[str, str]:
        """The first such element; `DemoError` without one."""
        for found, having in self.elements:
            if found == tag and attributes.items() <= having.items():
                return having
        raise DemoError(f"The page lacks {self.wanted}.")

    @property
    def fields(self) -> dict[str, str]:
        """Name → value of each field; of boxes, those that are ticked; of choices, the chosen."""
        found, choice = dict[str, str](), ""
        for tag, having in self.elements:
            if tag == "select":
                choice = having.get("name", "")
            elif tag == "option" and choice and ("selected" in having or choice not in found):
                found[choice] = having.get("value", "")
            elif (
                tag in ("input", "textarea")
                and "name" in having
                and (having.get("type") not in ("checkbox", "radio") or "checked" in having)
            ):
                found[having["name"]] = having.get("value", "")
        return found
