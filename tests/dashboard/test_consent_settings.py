"""A merchant decides how shoppers are asked for their consent, and in which words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from blossom.audit.models import AuditEntry
from blossom.consent import queries as consents
from blossom.consent import service as consent
from blossom.consent.rules import Settings
from blossom.dashboard import rules
from blossom.platform.db import session
from blossom.shops.models import Shop
from tests.admin.conftest import API_KEY, Visitor, member, token
from tests.architecture.tree import ROOT

GREEK = "Ναι, θέλω προσφορές από το κατάστημα με SMS."
GOOD = {
    "double_opt_in": "on",
    "privacy_url": "https://blue.example/privacy",
    "wording-en": "",
    "wording-el": f" {GREEK}\r\nΕυχαριστώ ",
    "join_keywords": "Summer, ΚΑΛΟΚΑΙΡΙ",
    "stop_keywords": "basta, ΦΤΑΝΕΙ;basta\nhalt",
}


def page(visitor: Visitor) -> str:
    return visitor.document("/settings/consent").get_data(as_text=True)


def save(visitor: Visitor, **changes: str) -> Any:
    return visitor.fetch("/settings/consent", method="POST", data={**GOOD, **changes})


def test_shows_what_is_stored_and_our_words_where_there_are_none(visitor: Visitor, ours: Shop) -> None:
    consent.update_settings(ours.id, double_opt_in=True, wordings={"el": GREEK}, privacy_url="https://blue.example")
    ours.stop_keywords = ["basta", "<halt>"]
    html = page(visitor)
    assert re.search(r'name="double_opt_in" [^>]*checked', html)
    assert re.search(rf'<textarea id="wording-el"[^>]*>\n{GREEK}</textarea>', html)
    assert "While this is empty, they read: “Yes, Ours may send me marketing texts" in html
    assert 'value="basta, &lt;halt&gt;"' in html
    assert 'value="https://blue.example"' in html


def test_what_is_pasted_is_never_cut_by_the_browser(visitor: Visitor, ours: Shop) -> None:
    assert "maxlength" not in page(visitor)
    refused = save(visitor, **{"wording-en": "I agree. " * 200}).get_data(as_text=True)
    assert "must have 20 to 1000 characters" in refused


def test_leads_to_the_form_and_to_the_theme_editor(visitor: Visitor, ours: Shop) -> None:
    html = page(visitor)
    assert 'href="https://ours.myshopify.com/apps/blossom/consent"' in html
    editor = f"https://ours.myshopify.com/admin/themes/current/editor?context=apps&amp;activateAppId={API_KEY}/consent"
    assert f'href="{editor}" target="_top"' in html
    ours.primary_domain, ours.proxy_path = "blue.example", "/a/sms"
    assert 'href="https://blue.example/a/sms/consent"' in page(visitor), "where it stands by now"
    assert 'href="/settings/consent"' in visitor.document("/settings").get_data(as_text=True)


def test_the_theme_editor_is_told_a_block_that_is_there() -> None:
    assert (ROOT / "extensions/consent-form/blocks/consent.liquid").exists()
    assert rules.places("https://x/apps/blossom", "https://x", "key").theme_editor.endswith("=key/consent")


def test_are_saved_together_and_written_down(visitor: Visitor, ours: Shop) -> None:
    for _ in range(2):  # the second time nothing changes
        response = save(visitor)
        assert response.status_code == 200
    assert "Consent settings saved" in response.headers["HX-Trigger"]
    assert consents.settings(ours.id) == Settings(
        double_opt_in=True,
        in_theme=False,
        wordings={"el": f"{GREEK}\nΕυχαριστώ"},
        privacy_url="https://blue.example/privacy",
        join_keywords=["Summer", "ΚΑΛΟΚΑΙΡΙ"],
    )
    assert ours.stop_keywords == ["basta", "ΦΤΑΝΕΙ", "halt"]
    (entry,) = session.query(AuditEntry).filter_by(action="consent.settings_changed")
    assert entry.actor.startswith("staff:")
    assert entry.details == {
        "settings": ["double_opt_in", "in_theme", "join_keywords", "privacy_url", "wordings", "stop_keywords"]
    }


def test_words_in_a_language_that_the_form_does_not_show_are_kept(visitor: Visitor, ours: Shop) -> None:
    german = "Ja, ich möchte Angebote per SMS bekommen."
    consent.update_settings(ours.id, wordings={"de": german, "en": "Yes, I want your marketing texts."})
    save(visitor)
    assert dict(consents.settings(ours.id).wordings) == {"de": german, "el": f"{GREEK}\nΕυχαριστώ"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wording-en", "Too short"), ("wording-el", "ν" * 1_001),
        ("privacy_url", "http://blue.example"), ("privacy_url", "javascript:alert(1)"), ("privacy_url", "x"),
        ("stop_keywords", "a"), ("stop_keywords", ",".join(f"word{n}" for n in range(21))),
        ("join_keywords", "a"), ("join_keywords", "please"), ("join_keywords", "STOP"), ("join_keywords", "Halt"),
        ("join_keywords", ",".join(f"word{n}" for n in range(11))),
    ],
)  # fmt: skip
def test_nothing_is_saved_when_one_is_wrong_and_what_was_typed_stays(
    visitor: Visitor, ours: Shop, field: str, value: str
) -> None:
    response = save(visitor, **{field: value})
    assert response.status_code == 422
    html = response.get_data(as_text=True)
    assert f'id="{field}-fault"' in html
    assert html.count("aria-invalid") == 1
    assert GREEK in html or field == "wording-el"
    assert 'value="https://blue.example/privacy"' in html or field == "privacy_url"
    assert not consents.settings(ours.id).double_opt_in
    assert ours.stop_keywords == []


def test_are_not_for_who_may_only_look(visitor: Visitor, ours: Shop) -> None:
    member(ours, scopes=("read_customers",), user_id=7)
    looking = token(sub="7")
    html = visitor.fetch("/settings/consent", looking).get_data(as_text=True)
    assert "may look at these settings, not change them" in html
    assert "<button" not in html
    refused = visitor.fetch("/settings/consent", looking, method="POST", data=GOOD)
    assert refused.status_code == 403
    assert not consents.settings(ours.id).double_opt_in


def test_of_another_shop_stay_as_they_are(visitor: Visitor, theirs: Shop) -> None:
    save(visitor)
    assert not consents.settings(theirs.id).double_opt_in
    assert theirs.stop_keywords == []


def test_a_form_that_is_none_switches_nothing_off(visitor: Visitor, ours: Shop) -> None:
    save(visitor)
    before = consents.settings(ours.id)
    for options in ({"data": b"\xff\xfe"}, {"json": GOOD}, {"data": {}}, {"data": {"privacy_url": ""}}):
        assert visitor.fetch("/settings/consent", method="POST", **options).status_code == 422
    assert consents.settings(ours.id) == before


def test_the_word_that_texts_tell_people_to_send_can_t_be_taken_away(visitor: Visitor, ours: Shop) -> None:
    ours.stop_keywords, ours.opt_out_text = ["basta"], "Reply BASTA to opt out"
    answer = save(visitor, stop_keywords="halt")
    assert answer.status_code == 422
    assert "Reply BASTA to opt out" in answer.get_data(as_text=True)
    assert ours.stop_keywords == ["basta"]
