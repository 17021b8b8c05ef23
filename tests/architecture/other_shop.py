"""Each route of the app with what somebody who came in for `ours` may try there on `theirs`, and what they must get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.inbound.conftest import shopify_headers

PHONE, EMAIL = "+306977777777", "eleni@zyxon.example"
"""Of a person of theirs."""

FIGURES = ("/status", "/progress", "/stats")
"""Of a campaign, in numbers only."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """A request and the status that it must get. Arguments in the path, and texts like `{template_id}` in query, body
    and form, stand for things of theirs; those of ours begin with `our_`.

    `signed`: as Shopify's proxy signs what comes from our storefront.
    """

    method: str
    route: str
    status: int
    query: Values = field(default_factory=dict)
    body: Any = None
    form: Values | None = None
    headers: Values = field(default_factory=dict)
    arguments: Values = field(default_factory=dict)
    signed: bool = False

    @property
    def is_page(self) -> bool:
        """Whether a person looks at it in the admin's frame, or on the way there."""
        return not self.route.startswith(("/api/", "/webhooks/", "/proxy/", "/healthz", "/readyz", "/static/"))

    @property
    def is_merchants(self) -> bool:
        """Whether it needs a session of the admin's (or a key)."""
        return self.route.startswith("/api/") or (self.is_page and not self.route.startswith(("/auth", "/session/")))


SHOPIFY = shopify_headers(b"{}", "customers/update", Hmac_Sha256=None)
CONTACT = "/contacts/<int:contact_id>"
KEY = "/settings/keys/<int:key_id>/revoke"
SAVED = "/templates/<int:template_id>"
UPLOAD = "/contacts/imports/<int:upload_id>"
SEGMENT = "/segments/<int:segment_id>"
CAMPAIGN, TEMPLATE = "/api/campaigns/<int:campaign_id>", "/api/templates/<int:template_id>"
OURS, DRAFT = {"campaign_id": "{our_campaign_id}"}, {"campaign_id": "{our_draft_id}"}
WRITTEN = {"name": "Ours too", "body": "Hello. Reply STOP to opt out"}
THEIR_PEOPLE = {"segments": ["{segment_id}"]}
SETTINGS = {"sender": "Ours", "contact_line": "us@ours.example", "opt_out_text": "STOP to end", "quiet_from": "21:00",
            "quiet_until": "09:00", "daily_cap": "", "weekly_cap": "", "default_country": "GR",
            "trial_numbers": "+306912345678", "shop": "theirs.myshopify.com", "shop_id": "{shop_id}"}  # fmt: skip
CONSENT = {"double_opt_in": "on", "in_theme": "on", "privacy_url": "", "wording-en": "", "wording-el": "",
           "join_keywords": "", "stop_keywords": "", "shop_id": "{shop_id}"}  # fmt: skip
COMPOSED = {"page": "6c1c4e26-3f5a-4f2b-9c39-0d6f1c2b3a4d", "turn": "1", "name": "Ours too", "body": "Hello",
            "who": "segments"}  # fmt: skip

TABLE = [
    # Campaigns and templates: theirs are not there.
    *[Ask("GET", f"{CAMPAIGN}{part}", 404) for part in ("", "/preview", "/recipients", *FIGURES)],
    *[
        Ask("POST", f"{CAMPAIGN}/{deed}", 404)
        for deed in ("enqueue", "pause", "resume", "cancel", "duplicate", "retry-failed", "retry-unconfirmed")
    ],
    Ask("POST", f"{CAMPAIGN}/winner", 404, body={"text": "B"}),
    Ask("POST", f"{CAMPAIGN}/test-send", 404, body={"phones": ["+306912345678"]}),
    Ask("PUT", CAMPAIGN, 404, body=WRITTEN),
    Ask("DELETE", CAMPAIGN, 404),
    Ask("PUT", f"{CAMPAIGN}/schedule", 404, body={"at": "2027-01-01T10:00:00"}),
    Ask("DELETE", f"{CAMPAIGN}/schedule", 404),
    Ask("GET", TEMPLATE, 404),
    Ask("PUT", TEMPLATE, 404, body=WRITTEN),
    Ask("DELETE", TEMPLATE, 404),
    Ask("POST", f"{TEMPLATE}/duplicate", 404),
    # Theirs, named beside what is ours.
    Ask("POST", "/api/campaigns", 422, body={"name": "Ours", "audience": THEIR_PEOPLE}),
    Ask("PUT", CAMPAIGN, 422, arguments=DRAFT, body={"audience": {"all": True, "exclude": ["{segment_id}"]}}),
    Ask("POST", f"{CAMPAIGN}/retry-failed", 409, arguments=OURS, body={"messageIds": ["{message_id}"]}),
    Ask("GET", f"{CAMPAIGN}/recipients", 200, arguments=OURS, query={"cursor": "{before_message}"}),
    Ask("GET", "/api/campaigns/stats", 200, query={"ids": "{campaign_id}"}),
    Ask("POST", "/api/mitto/refresh-status", 404, body={"providerMessageId": "{provider_id}"}),
    Ask("POST", "/api/mitto/refresh-status-bulk", 404, body={"campaignId": "{campaign_id}"}),
    Ask("GET", "/api/campaigns", 200, query={"cursor": "{after_campaign}", "withStats": "true"}),
    Ask("GET", "/api/templates", 200, query={"cursor": "{after_template}"}),
    Ask("GET", "/api/segments", 200, query={"cursor": "{after_segment}"}),
    # What names nothing is about ours.
    Ask("GET", "/api/campaigns", 200, query={"pageSize": "100", "withStats": "true"}),
    Ask("POST", "/api/campaigns", 201, body=WRITTEN),
    Ask("GET", "/api/templates", 200, query={"pageSize": "100"}),
    Ask("POST", "/api/templates", 409, body={**WRITTEN, "name": "Summer sale"}),  # a name that one of ours has
    Ask("POST", "/api/templates/preview", 200, body={"body": "{{ shop_name }} {{ sender }}. Reply STOP"}),
    Ask("GET", "/api/templates/variables", 200),
    Ask("GET", "/api/campaigns/queue/stats", 403),  # the whole installation's, so no shop's
    Ask("GET", "/api/openapi.json", 200),
    # The merchant's pages.
    Ask("GET", "/", 200),
    Ask("GET", "/going", 200),
    Ask("GET", "/campaigns/<int:campaign_id>", 404),
    Ask("GET", "/campaigns/<int:campaign_id>/events", 404),
    *[
        Ask(method, f"/campaigns/<int:campaign_id>/{deed}", 404)
        for deed in ("pause", "resume", "cancel", "retry-failed", "retry-unconfirmed")
        for method in ("GET", "POST")
    ],
    *[
        Ask(method, "/campaigns/<int:campaign_id>/winner/<any(a, b, c, d):letter>", 404, arguments={"letter": "a"})
        for method in ("GET", "POST")
    ],
    Ask("POST", "/campaigns/<int:campaign_id>/refresh", 404),
    Ask("POST", "/campaigns/<int:campaign_id>/retry-failed", 409, arguments=OURS, form={"message": "{message_id}"}),
    Ask("GET", "/campaigns/<int:campaign_id>/recipients", 404),
    Ask("POST", "/campaigns/<int:campaign_id>/recipients", 404, form={"phone": PHONE}),
    Ask("POST", "/campaigns/<int:campaign_id>/recipients", 200, arguments=OURS, form={"phone": PHONE}),
    *[
        Ask("GET", f"/campaigns/<int:campaign_id>/{part}", 404)
        for part in ("recipients/<int:message_id>", "recipients.csv", "results", "report.pdf")
    ],
    Ask("GET", "/campaigns", 200),
    Ask("GET", "/campaigns", 200, query={"q": "z", "state": "sending"}),
    Ask("GET", "/campaigns/<int:campaign_id>/row", 404),
    Ask("GET", "/campaigns/<int:campaign_id>/row/<any(cancel, delete):deed>", 404, arguments={"deed": "cancel"}),
    *[
        Ask("POST", "/campaigns/<int:campaign_id>/row/<any(duplicate, pause, resume, cancel, delete):deed>", 404,
            arguments={"deed": deed})
        for deed in ("duplicate", "pause", "resume", "cancel", "delete")
    ],
    Ask("GET", "/campaigns/<int:campaign_id>/confirm", 404),
    Ask("POST", "/campaigns/<int:campaign_id>/confirm", 404, form={"deed": "send", "yes": "yes"}),
    Ask("GET", "/campaigns/new", 200),
    Ask("GET", "/campaigns/new", 404, query={"template": "{template_id}"}),
    Ask("GET", "/campaigns/new", 404, query={"segment": "{segment_id}"}),
    Ask("POST", "/campaigns/new", 200, form={**COMPOSED, "include": "{segment_id}", "exclude": "{segment_id}"}),
    Ask("GET", "/campaigns/<int:campaign_id>/edit", 404),
    Ask("POST", "/campaigns/<int:campaign_id>/edit", 404, form=COMPOSED),
    Ask("POST", "/campaigns/<int:campaign_id>/edit", 404, form={**COMPOSED, "do": "test", "phones": "+306912345678"}),
    Ask("POST", "/campaigns/preview", 200, form={**COMPOSED, "include": "{segment_id}", "person_phone": PHONE}),
    Ask("POST", "/campaigns/count", 200, form={**COMPOSED, "include": "{segment_id}"}),
    # The whole installation's queue is for its operator only.
    Ask("GET", "/queue", 403),
    Ask("GET", "/queue/given-up", 403),
    Ask("POST", "/queue/given-up", 403, form={"id": "1"}),
    Ask("GET", "/templates", 200),
    Ask("GET", "/templates", 200, query={"q": "z", "before": "{after_template_id}"}),
    Ask("GET", "/templates/new", 200),
    Ask("POST", "/templates/new", 422, form={**WRITTEN, "name": "Summer sale"}),  # a name that one of ours has
    Ask("POST", "/templates/preview", 200, form={**WRITTEN, "body": "{{ shop_name }} {{ sender }}. Reply STOP"}),
    Ask("GET", SAVED, 404),
    Ask("POST", SAVED, 404, form=WRITTEN),
    *[Ask(method, f"{SAVED}/delete", 404) for method in ("GET", "POST")],
    Ask("POST", f"{SAVED}/duplicate", 404),
    Ask("GET", "/wallet", 200),
    Ask("POST", "/wallet/cost", 200, form={"text": "Hello", "people": "5", "country": "GR", "shop_id": "{shop_id}"}),
    Ask("GET", "/settings", 200),
    Ask("POST", "/settings", 200, form=SETTINGS),
    Ask("GET", "/settings/staff", 200),
    Ask("GET", "/settings/keys", 200),
    Ask("POST", "/settings/keys", 200, form={"name": "Ours too", "scope": "shop:read", "shop_id": "{shop_id}"}),
    *[Ask(method, KEY, 404) for method in ("GET", "POST")],
    Ask("GET", "/settings/consent", 200),
    Ask("POST", "/settings/consent", 200, form=CONSENT),
    Ask("GET", "/import", 200),
    Ask("POST", "/import", 200),
    Ask("GET", "/contacts", 200),
    Ask("GET", "/contacts", 200, query={"state": "opted_in", "after": "{before_contact_id}"}),
    Ask("POST", "/contacts", 200, form={"query": PHONE}),
    Ask("POST", "/contacts", 200, form={"query": EMAIL}),
    *[Ask("GET", f"{CONTACT}{part}", 404) for part in ("", "/texts", "/proof", "/proof.pdf", "/opt-out")],
    Ask("POST", f"{CONTACT}/opt-out", 404),
    Ask("POST", f"{CONTACT}/read", 404),
    # What people texted them.
    *[Ask("GET", "/replies", 200, query={"show": show}) for show in ("replies", "unread", "all")],
    Ask("GET", "/replies", 200, query={"before": "{after_text_id}"}),
    Ask("POST", "/replies", 200, form={"query": PHONE}),
    Ask("POST", "/replies/read", 200, form={"up_to": "{text_id}"}),
    Ask("POST", "/replies/<int:text_id>/read", 404),
    Ask("POST", f"{CONTACT}/lists", 404, form={"add": "{segment_id}"}),
    Ask("GET", "/contacts", 404, query={"segment": "{segment_id}"}),
    Ask("GET", "/contacts/new", 200),
    Ask("POST", "/contacts/new", 200, form={"phone": "+306912340000"}),
    # Files of customers, segments and lists.
    Ask("GET", "/contacts/imports", 200),
    Ask("POST", "/contacts/imports", 201, form={"filename": "ours.csv", "size": "10"}),
    Ask("GET", UPLOAD, 404),
    Ask("GET", f"{UPLOAD}/refused.csv", 404),
    Ask("PUT", f"{UPLOAD}/parts/<int:number>", 404, arguments={"number": "1"}),
    *[
        Ask("POST", f"{UPLOAD}/{deed}", 404)
        for deed in ("received", "encoding", "columns", "back", "start", "discard")
    ],
    Ask("GET", "/segments", 200),
    *[
        Ask(method, f"{SEGMENT}{part}", 404, arguments={"segment_id": "{shopify_segment_id}"})
        for method, part in (("GET", ""), ("GET", "/reading"), ("POST", "/reading"))
    ],
    Ask("GET", "/segments/new", 200),
    Ask("POST", "/segments/new", 200),
    Ask("POST", "/segments/lists", 200, form={"name": "Ours"}),
    Ask("POST", "/segments/count", 200, form={"field-0": "orders", "operator-0": "at_least", "value-0": "0"}),
    *[Ask("GET", f"{SEGMENT}{part}", 404) for part in ("", "/delete")],
    *[Ask("POST", f"{SEGMENT}{part}", 404, form={"query": PHONE}) for part in ("", "/delete", "/members")],
    Ask("POST", f"{SEGMENT}/members/<int:contact_id>/remove", 404),
    # The way in. Who holds a session of ours installs nothing for them.
    Ask("GET", "/session/bounce", 400, query={"shopify-reload": "https://theirs.myshopify.com/"}),
    Ask("GET", "/auth", 302, query={"shop": "ours.myshopify.com"}),
    Ask("GET", "/auth/callback", 400, query={"shop": "theirs.myshopify.com", "code": "x", "hmac": "x", "state": "x"}),
    # The shopper's pages: codes and forms of their shop at ours; and a merchant's session proves no shopper.
    *[
        Ask(method, route, 404, signed=True)
        for route in ("/proxy/confirm/<code>", "/proxy/unsubscribe/<opt_out>", "/proxy/unsubscribe/<text_opt_out>")
        for method in ("GET", "POST")
    ],
    Ask("GET", "/proxy/s/<link>", 404, signed=True),
    Ask("GET", "/proxy/s/<link>", 401),
    Ask("GET", "/proxy/consent", 200, signed=True),
    Ask("POST", "/proxy/consent", 422, signed=True,
        form={"token": "{form_token}", "phone": "691 234 5678", "agreed": "yes", "country": "GR"}),
    *[
        Ask(method, route, 401)
        for route in ("/proxy/confirm/<code>", "/proxy/unsubscribe/<opt_out>", "/proxy/consent")
        for method in ("GET", "POST")
    ],
    # Programs of others: a merchant's session or key is no proof of theirs.
    *[
        Ask(method, f"/webhooks/mitto/{route}", 401, body=body)
        for path, methods, body in (
            ("dlr", ("GET", "POST"), {"messageId": "{provider_id}", "deliveryStatus": "Failure"}),
            ("inbound", ("POST",), {"from": PHONE, "to": "Zyxon", "text": "STOP"}),
        )
        for route in (path, f"{path}/<shop_domain>")
        for method in methods
    ],
    Ask("POST", "/webhooks/shopify", 401, body={}, headers={**SHOPIFY, "X-Shopify-Shop-Domain": "{shop_domain}"}),
    Ask("GET", "/healthz", 200),
    Ask("GET", "/readyz", 200),
    Ask("GET", "/static/<path:filename>", 404),
]  # fmt: skip
