"""The settings change what texts are sent by."""

from __future__ import annotations

import re
from datetime import time

import pytest

from blossom.audit.models import AuditEntry
from blossom.platform.db import session
from blossom.shops import queries as shops
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor, statements
from tests.factories.campaigns import add_messages, create_completed, make_ready
from tests.factories.contacts import create_contact

GOOD = {
    "sender": "BlueShop",
    "contact_line": "help@blue.example",
    "opt_out_text": "STOP to end",
    "quiet_hours_on": "on",
    "quiet_from": "21:30",
    "quiet_until": "08:00",
    "daily_cap": "2",
    "weekly_cap": "",
    "default_country": "GR",
    "trial_numbers": "",
}


class TestEveryPage:
    @pytest.mark.parametrize(
        ("page", "most"),
        [
            ("/import", 9),
            ("/settings", 7),
            ("/settings/consent", 8),
            ("/settings/staff", 6),
            ("/settings/keys", 6),
        ],
    )
    def test_asks_as_often_for_much_as_for_little(self, visitor: Visitor, ours: Shop, page: str, most: int) -> None:
        def ask() -> int:
            with statements() as seen:
                assert visitor.fetch(page).status_code == 200
            return len(seen)

        make_ready(ours, subscribers=1)
        add_messages(create_completed(ours), delivered=1)
        ask()
        little = ask()
        for _ in range(5):
            create_contact(ours)
            add_messages(create_completed(ours), delivered=2, failed=1)
        assert ask() <= little <= most


class TestSettings:
    def test_shows_what_is_stored(self, visitor: Visitor, ours: Shop) -> None:
        ours.sender, ours.quiet_from, ours.daily_cap = "Blue", time(22, 15), 7
        html = visitor.document("/settings").get_data(as_text=True)
        for name, value in (("sender", "Blue"), ("quiet_from", "22:15"), ("daily_cap", "7"), ("weekly_cap", "")):
            assert re.search(rf'name="{name}" type="\w+" value="{value}"', html), name

    def test_are_saved_together_and_a_toast_says_so(self, visitor: Visitor, ours: Shop) -> None:
        response = visitor.fetch("/settings", method="POST", data=GOOD)
        assert response.status_code == 200
        assert response.headers["HX-Trigger"] == '{"toast": {"words": "Settings saved"}}'
        assert (ours.sender, ours.contact_line, ours.opt_out_text) == ("BlueShop", "help@blue.example", "STOP to end")
        assert (ours.quiet_hours_on, ours.quiet_from, ours.quiet_until) == (True, time(21, 30), time(8, 0))
        assert (ours.daily_cap, ours.weekly_cap) == (2, None)

    def test_the_opt_out_words_may_hold_each_texts_own_link(self, visitor: Visitor, ours: Shop) -> None:
        given = {**GOOD, "opt_out_text": "{{ shop_name }}, no more: {{ opt_out_link }}"}
        assert visitor.fetch("/settings", method="POST", data=given).status_code == 200
        assert ours.opt_out_text == given["opt_out_text"]

    def test_who_changed_which_is_written_down(self, visitor: Visitor, ours: Shop) -> None:
        for _ in range(2):  # the second time nothing changes
            visitor.fetch("/settings", method="POST", data={**GOOD, "contact_line": ours.contact_line})
        (entry,) = session.query(AuditEntry).filter_by(shop_id=ours.id, action="shops.settings_changed")
        assert entry.actor.startswith("staff:")
        assert "sender" in entry.details["settings"]
        assert "contact_line" not in entry.details["settings"]

    def test_an_unticked_box_switches_quiet_hours_off(self, visitor: Visitor, ours: Shop) -> None:
        ours.quiet_hours_on = True
        given = {name: value for name, value in GOOD.items() if name != "quiet_hours_on"}
        assert visitor.fetch("/settings", method="POST", data=given).status_code == 200
        assert ours.quiet_hours_on is False

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("sender", "no good!"), ("sender", ""), ("sender", "ä" * 400), ("opt_out_text", ""),
            ("opt_out_text", "Hello"), ("opt_out_text", "Reply ARRET to opt out"),
            ("opt_out_text", "STOP {{ shop_name"), ("opt_out_text", "{{ first_name }}: STOP to end"),
            ("contact_line", "x" * 101),
            ("quiet_from", ""), ("quiet_from", "25:00"), ("quiet_from", "8"),
            ("quiet_until", "21:30"), ("quiet_until", "21:29"),
            ("default_country", ""), ("default_country", "gr"), ("default_country", "ZZ"),
            ("trial_numbers", "12"), ("trial_numbers", ",".join(f"+3069123456{n}" for n in range(10, 21))),
            ("daily_cap", "0"), ("daily_cap", "-1"), ("daily_cap", "1e3"), ("weekly_cap", "9999"),
            ("weekly_cap", "1"), ("sender", "a\0b"),
        ],
    )  # fmt: skip
    def test_nothing_is_saved_when_one_is_wrong_and_what_was_typed_stays(
        self, visitor: Visitor, ours: Shop, field: str, value: str
    ) -> None:
        response = visitor.fetch("/settings", method="POST", data={**GOOD, field: value})
        assert response.status_code == 422
        html = response.get_data(as_text=True)
        assert f'id="{field}-fault"' in html
        assert html.count("aria-invalid") == 1
        typed = "help@blue.example" if field != "contact_line" else "BlueShop"
        assert f'value="{typed}"' in html
        assert (ours.sender, ours.quiet_from) == ("Ours", time(20, 0))

    @pytest.mark.parametrize("line", ["STOP {{ shop_name", "{{ first_name }}: STOP to end", "Hello"])
    def test_says_what_is_wrong_in_the_readers_language(self, visitor: Visitor, line: str) -> None:
        response = visitor.fetch("/settings?locale=el", method="POST", data={**GOOD, "opt_out_text": line})
        (fault,) = re.findall(r'id="opt_out_text-fault">([^<]*)<', response.get_data(as_text=True))
        assert not re.search("must|can|added|Close", fault), fault

    @pytest.mark.parametrize(
        ("field", "value", "fault"),
        [
            ("sender", "Blue Shop Athens", "Sender must be 3 to 11 letters"),
            ("sender", "BlueShopAthens", "Sender may have 11 letters and digits at most; these are 14."),
            ("sender", "00306912345678", "Sender must be a number with its country code, such as +306912345678."),
            ("sender", "+30 691 234 5678", "Sender must be a number with its country code, such as +306912345678."),
            ("trial_numbers", "6912345678, 123, 6912345679", "numbers hold “123”, which is no number"),
            ("trial_numbers", "6912345678, 123, ²²², x", "numbers hold some that can&#39;t be texted: 123, ²²², x."),
            ("opt_out_text", "Reply STOP {{ x }}", "There is: first_name, last_name, full_name, shop_name, sender, "),
            ("opt_out_text", "Reply STOP {% raw", "Close it with “%}”.</span>"),
        ],
    )
    def test_says_which_one_is_wrong_and_in_which_way(
        self, visitor: Visitor, field: str, value: str, fault: str
    ) -> None:
        response = visitor.fetch("/settings", method="POST", data={**GOOD, field: value})
        (told,) = re.findall(rf'id="{field}-fault">([^<]*</span>)', response.get_data(as_text=True))
        assert fault in told
        assert "..<" not in told

    def test_what_is_pasted_is_never_cut_by_the_browser(self, visitor: Visitor) -> None:
        assert "maxlength" not in visitor.fetch("/settings").get_data(as_text=True)

    def test_a_contact_line_turns_no_letters_round(self, visitor: Visitor, ours: Shop) -> None:
        visitor.fetch(
            "/settings", method="POST", data={**GOOD, "contact_line": "call \u202e54321\u202c \u2066now\u2069"}
        )
        assert ours.contact_line == "call 54321 now"

    def test_a_form_that_is_none_changes_nothing(self, visitor: Visitor, ours: Shop) -> None:
        for options in ({"data": b"\xff\xfe"}, {"json": {"sender": "Blue"}}, {"data": {}}):
            assert visitor.fetch("/settings", method="POST", **options).status_code == 422
        assert ours.sender == "Ours"

    def test_the_shop_s_own_numbers_are_read_by_its_country(self, visitor: Visitor, ours: Shop) -> None:
        given = {**GOOD, "default_country": "GR", "trial_numbers": "691 234 5678\r\n+1 212 555 1000, 6912345678\n"}
        response = visitor.fetch("/settings", method="POST", data=given)
        assert response.status_code == 200
        assert shops.trial_numbers(ours.id) == ["+306912345678", "+12125551000"]
        assert "+30 691 234 5678\n+1 212-555-1000</textarea>" in response.get_data(as_text=True)
        (entry,) = session.query(AuditEntry).filter_by(shop_id=ours.id, action="shops.settings_changed")
        assert "trial_numbers" in entry.details["settings"]
        assert "691" not in str(entry.details)

    def test_offers_the_own_numbers_for_a_test(self, visitor: Visitor, ours: Shop) -> None:
        visitor.fetch("/settings", method="POST", data={**GOOD, "trial_numbers": "+12125551000"})
        assert 'value="+12125551000"' in visitor.document("/campaigns/new").get_data(as_text=True)

    def test_the_country_is_one_of_those_with_phones(self, visitor: Visitor, ours: Shop) -> None:
        assert visitor.fetch("/settings", method="POST", data={**GOOD, "default_country": "CY"}).status_code == 200
        assert ours.default_country == "CY"
        assert '<option value="CY" selected>Cyprus (+357)' in visitor.fetch("/settings").get_data(as_text=True)

    def test_warns_of_opt_out_words_that_nobody_can_follow(self, visitor: Visitor, ours: Shop) -> None:
        def warned(**changes: str) -> bool:
            visitor.fetch("/settings", method="POST", data={**GOOD, **changes})
            return "Nobody can answer a name" in visitor.document("/settings").get_data(as_text=True)

        assert warned()
        assert not warned(sender="+306912345678")
        assert not warned(opt_out_text="No more: {{ opt_out_link }}")
