"""The merchant's pages and partials, and how each is asked: every route of `app.VIEWS` stands in one of these tables.

`tests/architecture/test_page_queries.py` fails for a route that stands in none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flask

from benchmarks.page_data import DOMAIN, PHONE, SCOPES
from blossom.platform import clock
from blossom.sandbox.shopify import signing

API_KEY, SECRET, USER = "bench-client-id", "bench-hush", "42"
ENVIRONMENT = {
    "SHOPIFY_API_KEY": API_KEY,
    "SHOPIFY_API_SECRET": SECRET,
    "SHOPIFY_SCOPES": ",".join(SCOPES),
    "BLOSSOM_OPERATOR_SHOPS": DOMAIN,
}


@dataclass(frozen=True)
class Page:
    """`path`: with things of `page_data.fill` in braces. `queries`: the most that it may take, whatever the size.

    `form`: what is posted, for the parts of pages that are asked so; `what`: that in words. `reads_audience`: it counts
    everybody whom a campaign or a segment is for, as it must: its time is shown, and has no goal.
    """

    endpoint: str
    path: str
    queries: int
    form: Mapping[str, str] | None = None
    what: str = ""
    reads_audience: bool = False

    @property
    def name(self) -> str:
        """Each has another."""
        words = f"{'GET' if self.form is None else 'POST'} {re.sub(r'[{}]', '', self.path)}"
        return f"{words} {self.what}" if self.what else words

    @property
    def ways(self) -> tuple[bool, ...]:
        """Whether it is asked as a document, as a partial: a form is htmx's alone."""
        return (True, False) if self.form is None else (False,)


@dataclass(frozen=True)
class Request:
    """As the browser sends it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str] | None

    def send(self, client: Any) -> Any:
        return client.open(
            self.path, method=self.method, query_string=dict(self.query), headers=dict(self.headers), data=self.form
        )


def token() -> str:
    """A session token of the shop's, good for an hour."""
    now = int(clock.now().timestamp())
    return signing.id_token(
        SECRET,
        {"iss": f"https://{DOMAIN}/admin", "dest": f"https://{DOMAIN}", "aud": API_KEY, "sub": USER, "exp": now + 3600,
         "nbf": now, "iat": now, "jti": signing.random_id(), "sid": signing.random_id()},
    )  # fmt: skip


def request(page: Page, things: Mapping[str, str], *, as_document: bool) -> Request:
    """The page as a whole (`as_document`, as the admin loads it), or its partial, as htmx asks."""
    path, _, asked = page.path.format_map(things).partition("?")
    query = dict(part.split("=", 1) for part in asked.split("&")) if asked else {}
    form = None if page.form is None else {name: value.format_map(things) for name, value in page.form.items()}
    if as_document:
        query |= {"embedded": "1", "shop": DOMAIN, "host": "YWRtaW4", "id_token": token()}
        return Request("GET", path, query, {}, None)
    headers = {"HX-Request": "true", "Authorization": f"Bearer {token()}"}
    return Request("GET" if form is None else "POST", path, query, headers, form)


_COMPOSED = {
    "page": "6c1c4e26-3f5a-4f2b-9c39-0d6f1c2b3a4d", "turn": "1", "name": "Sale", "who": "everybody",
    "body": "Hi {{{{ first_name | default: 'there' }}}}, 20% off until Sunday. Reply STOP to opt out",
}  # fmt: skip
_SEVERAL = {**_COMPOSED, "texts": "2", "body-b": "Only today. Reply STOP", "share-a": "33", "share-b": "33"}
_RULE = {"field-0": "orders", "operator-0": "at_least", "value-0": "3"}

PAGES = (
    Page("home.home", "/", 21),
    Page("home.going", "/going", 6),
    Page("campaigns.campaigns", "/campaigns", 6),
    Page("campaigns.campaigns", "/campaigns?state=completed", 6),
    Page("campaigns.campaigns", "/campaigns?sort=name", 7),
    Page("campaigns.campaigns", "/campaigns?q=gn 1", 6),
    Page("campaigns.campaigns", "/campaigns?q=nowhere", 5),
    Page("campaigns.campaign_row", "/campaigns/{sending}/row", 6),
    Page("campaigns.ask_row", "/campaigns/{sending}/row/cancel", 7),
    Page("campaigns.ask_row", "/campaigns/{draft}/row/delete", 5),
    # First, for what is counted is kept for the pages after it: in a large shop by a job, while nobody is asked.
    Page("campaigns.count_audience", "/campaigns/count", 8, {**_COMPOSED, "again": "1"}, "again"),
    Page("campaigns.count_audience", "/campaigns/count", 8, _COMPOSED, "as kept"),
    Page("campaigns.new_campaign", "/campaigns/new", 8),
    Page("campaigns.edit_campaign", "/campaigns/{draft}/edit", 15),
    Page("campaigns.preview_campaign", "/campaigns/preview", 10, _COMPOSED, "for everybody"),
    Page("campaigns.preview_campaign", "/campaigns/preview", 10,
         {**_COMPOSED, "who": "segments", "include": "{segment}", "person_phone": PHONE}, "for a segment"),
    Page("campaigns.edit_campaign", "/campaigns/{test_draft}/edit", 15),
    Page("campaigns.edit_campaign", "/campaigns/{shopify_draft}/edit", 16),
    Page("campaigns.preview_campaign", "/campaigns/preview", 10, _SEVERAL, "of two texts"),
    Page("campaigns.confirmation", "/campaigns/{draft}/confirm", 14),
    Page("campaigns.confirmation", "/campaigns/{test_draft}/confirm", 15),
    Page("campaigns.confirmation", "/campaigns/{shopify_draft}/confirm", 20),
    Page("campaigns.campaign_page", "/campaigns/{campaign}", 9),
    Page("campaigns.campaign_page", "/campaigns/{sending}", 9),
    Page("campaigns.campaign_page", "/campaigns/{tested}", 13),
    Page("campaigns.ask_pause", "/campaigns/{sending}/pause", 10),
    Page("campaigns.ask_resume", "/campaigns/{paused}/resume", 10),
    Page("campaigns.ask_cancel", "/campaigns/{sending}/cancel", 10),
    Page("campaigns.ask_winner", "/campaigns/{tested}/winner/b", 14),
    Page("campaigns.ask_retry_failed", "/campaigns/{campaign}/retry-failed", 10),
    Page("campaigns.ask_retry_unconfirmed", "/campaigns/{campaign}/retry-unconfirmed", 10),
    Page("campaigns.recipients", "/campaigns/{campaign}/recipients", 8),
    *(
        Page("campaigns.recipients", f"/campaigns/{{campaign}}/recipients?state={state}", 8)
        for state in ("delivered", "failed", "unconfirmed", "skipped", "cancelled")
    ),
    Page("campaigns.recipients", "/campaigns/{sending}/recipients?state=pending", 8),
    Page("campaigns.search_recipients", "/campaigns/{campaign}/recipients", 8, {"phone": PHONE}, "by phone"),
    Page("campaigns.message", "/campaigns/{campaign}/recipients/{message}", 12),
    Page("campaigns.results", "/campaigns/{campaign}/results", 8),
    Page("campaigns.results", "/campaigns/{tested}/results", 12),
    Page("people.contacts", "/contacts", 7),
    *(
        Page("people.contacts", f"/contacts?state={state}", 8)
        for state in ("opted_in", "opted_out", "pending", "never_subscribed")
    ),
    Page("people.contacts", "/contacts?segment={segment}", 8),
    Page("people.contacts", "/contacts?segment={list}&state=opted_in", 8),
    Page("people.search", "/contacts", 8, {"query": PHONE}, "by phone"),
    Page("people.search", "/contacts", 7, {"query": "nobody@bench.example"}, "by e-mail"),
    Page("people.contact", "/contacts/{contact}", 18),
    Page("people.texts", "/contacts/{contact}/texts", 16),
    Page("people.proof", "/contacts/{contact}/proof", 13),
    Page("people.ask_opt_out", "/contacts/{contact}/opt-out", 13),
    Page("people.new_contact", "/contacts/new", 4),
    *(Page("people.replies", f"/replies?show={kept}", 6) for kept in ("replies", "unread", "all")),
    Page("people.search_replies", "/replies", 7, {"query": PHONE}, "by phone"),
    Page("people.all_segments", "/segments", 7),
    Page("people.new_segment", "/segments/new", 4),
    Page("people.segment", "/segments/{segment}", 5),
    Page("people.segment", "/segments/{list}", 8),
    Page("people.segment", "/segments/{shopify}", 8),
    Page("people.reading", "/segments/{shopify}/reading", 6),
    Page("people.ask_delete", "/segments/{segment}/delete", 6),
    Page("people.count_people", "/segments/count", 8, _RULE, "roughly"),
    Page("people.count_people", "/segments/count", 9, {**_RULE, "exactly": "yes", "again": "yes"}, "exactly"),
    Page("people.count_people", "/segments/count", 9, {**_RULE, "exactly": "yes"}, "exactly as kept"),
    Page("uploads.uploads", "/contacts/imports", 6),
    Page("uploads.upload", "/contacts/imports/{upload}", 7),
    Page("templates.template_list", "/templates", 5),
    Page("templates.template_list", "/templates?q=template 1", 5),
    Page("templates.template_page", "/templates/{template}", 5),
    Page("templates.new_template", "/templates/new", 4),
    Page("templates.ask_to_delete", "/templates/{template}/delete", 5),
    Page("templates.preview_template", "/templates/preview", 4, {"name": "Sale", "body": _COMPOSED["body"]}),
    Page("credits.wallet", "/wallet", 16),
    Page("credits.cost", "/wallet/cost", 8, {"text": "Hello", "people": "5", "country": "GR"}),
    Page("dashboard.settings", "/settings", 5),
    Page("dashboard.consent_settings", "/settings/consent", 6),
    Page("dashboard.staff", "/settings/staff", 5),
    Page("dashboard.api_keys", "/settings/keys", 5),
    Page("dashboard.ask_to_revoke", "/settings/keys/{key}/revoke", 5),
    Page("dashboard.customers_import", "/import", 7),
    Page("inbound.show_queue", "/queue", 7),
    Page("inbound.show_given_up", "/queue/given-up", 5),
)  # fmt: skip

FILES = frozenset(
    {"campaigns.recipients_csv", "campaigns.report_pdf", "people.proof_pdf", "uploads.refused_lines"}
)  # fmt: skip
"""Downloads, as long as what they list; and pictures of it."""

STREAMS = frozenset({"campaigns.campaign_events"})
"""`benchmarks.streams`."""

DEEDS = frozenset(
    {
        "campaigns.begin_campaign", "campaigns.save_campaign", "campaigns.confirm", "campaigns.pause",
        "campaigns.resume", "campaigns.cancel", "campaigns.retry_failed", "campaigns.retry_unconfirmed",
        "campaigns.refresh", "campaigns.do_row", "campaigns.choose_winner", "people.opt_out", "people.add_contact",
        "people.change_lists",
        "people.mark_reply", "people.mark_replies", "people.read_conversation",
        "people.make_segment", "people.make_list", "people.change_segment", "people.delete_segment",
        "people.add_member", "people.read_again", "people.remove_member", "uploads.announce", "uploads.receive_part",
        "uploads.end_receiving", "uploads.name_encoding", "uploads.choose_columns", "uploads.change_columns",
        "uploads.start", "uploads.discard", "templates.create_template", "templates.save_template",
        "templates.duplicate_template", "templates.delete_template", "dashboard.save_settings",
        "dashboard.save_consent_settings", "dashboard.import_again", "dashboard.create_api_key",
        "dashboard.revoke_api_key", "inbound.replay",
    }
)  # fmt: skip
"""What changes something, and answers with a page that stands above."""


def untold(app: flask.Flask) -> tuple[set[str], set[str]]:
    """Routes of the merchant's pages that stand in no table; and what stands in one and is no route."""
    from blossom.app import VIEWS

    blueprints = {views.name for views in VIEWS}
    served = {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.split(".")[0] in blueprints}
    told = {page.endpoint for page in PAGES} | FILES | STREAMS | DEEDS
    return served - told, told - served
