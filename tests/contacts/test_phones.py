"""How numbers are read: every way in which people and spreadsheets write them, and every reason to refuse."""

from __future__ import annotations

import pytest

from blossom.contacts.errors import PhoneRefused
from blossom.contacts.rules.phones import mask_phone, normalise_phone


@pytest.mark.parametrize(
    ("written", "country", "e164", "belongs_to"),
    [
        ("+306984303406", "GR", "+306984303406", "GR"),
        ("698 430 3406", "GR", "+306984303406", "GR"),
        ("698-430.3406", "GR", "+306984303406", "GR"),
        ("(698) 430 3406", "GR", "+306984303406", "GR"),
        ("306984303406", "GR", "+306984303406", "GR"),
        ("00306984303406", "GR", "+306984303406", "GR"),
        ("0030 698 4303406", "US", "+306984303406", "GR"),
        ("011 30 698 430 3406", "US", "+306984303406", "GR"),
        ("'+306984303406", "GR", "+306984303406", "GR"),
        ("’+306984303406", "GR", "+306984303406", "GR"),
        ('="+306984303406"', "GR", "+306984303406", "GR"),
        ("+30\u00a0698\u202f430\u20093406", "GR", "+306984303406", "GR"),
        ("\u202a+306984303406\u202c", "GR", "+306984303406", "GR"),
        ("＋３０６９８４３０３４０６", "GR", "+306984303406", "GR"),
        ("6984303406.0", "GR", "+306984303406", "GR"),
        ("tel:+30-698-430-3406", "GR", "+306984303406", "GR"),
        ("+30 698–430–3406", "GR", "+306984303406", "GR"),
        ("٠٥٠١٢٣٤٥٦٧", "AE", "+971501234567", "AE"),
        ("+۴۹۱۵۱۲۳۴۵۶۷۸۹", "GR", "+4915123456789", "DE"),
        ("0151 23456789", "DE", "+4915123456789", "DE"),
        ("+49 (0) 151 23456789", "GR", "+4915123456789", "DE"),
        ("+30 (0) 698 430 3406", "US", "+306984303406", "GR"),
        ("0030 (0)698-4303406", "GR", "+306984303406", "GR"),
        ("+30(0)6984303406", "GR", "+306984303406", "GR"),
        ("07400 123456", "GB", "+447400123456", "GB"),
        ("07911 123456", "GB", "+447911123456", "GG"),
        ("(201) 555-0123", "US", "+12015550123", "US"),
        ("६९८४३०३४०६", "GR", "+306984303406", "GR"),
        ("\u2067+306984303406\u2069", "GR", "+306984303406", "GR"),
        ("\u200f6984303406", "GR", "+306984303406", "GR"),
        ("=+306984303406", "GR", "+306984303406", "GR"),
        ("++306984303406", "GR", "+306984303406", "GR"),
        ("6984/303406\n", "GR", "+306984303406", "GR"),
        ("+1 506 234 5678", "US", "+15062345678", "CA"),
        ("+35796123456", "GR", "+35796123456", "CY"),
        ("+39 312 345 6789", "GR", "+393123456789", "IT"),
    ],
)
def test_a_number_is_read_however_it_is_written(written: str, country: str, e164: str, belongs_to: str) -> None:
    phone = normalise_phone(written, country)

    assert (phone.e164, phone.country) == (e164, belongs_to)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        (None, "phone_missing"),
        ("", "phone_missing"),
        ("   ", "phone_missing"),
        ("'", "phone_missing"),
        ("-", "phone_missing"),
        ("N/A", "phone_missing"),
        ("null", "phone_missing"),
        ("\u200b", "phone_missing"),
        ("call me", "phone_not_a_number"),
        ("1-800-FLOWERS", "phone_not_a_number"),
        ("eleni@example.com", "phone_not_a_number"),
        ("+30 698 430 3406 ext. 5", "phone_not_a_number"),
        ("😀", "phone_not_a_number"),
        ("1" * 100, "phone_not_a_number"),
        ("6984303406;ext=5", "phone_not_a_number"),
        ("6984303406#12", "phone_not_a_number"),
        ("tel:6984303406;phone-context=evil.example", "phone_not_a_number"),
        ('=HYPERLINK("tel:6984303406")', "phone_not_a_number"),
        ("=cmd|' /C calc'!A0", "phone_not_a_number"),
        ("@SUM(1+1)", "phone_not_a_number"),
        ("+3O6984303406", "phone_not_a_number"),
        ("BLOSSOM", "phone_not_a_number"),
        ("\ud800", "phone_not_a_number"),
        ("69843034⁰⁶", "phone_not_a_number"),
        ("⑥⑨⑧④③⓪③④⓪⑥", "phone_not_a_number"),
        ("698430340²", "phone_not_a_number"),
        ("(" * 50_000, "phone_not_a_number"),
        ("+", "phone_missing"),
        ("00", "phone_too_short"),
        ("112", "phone_too_short"),
        ("54321", "phone_too_short"),
        ("+44 698 430 3406", "phone_not_valid"),
        ("+1 698 430 3406", "phone_not_valid"),
        ("698430340.5", "phone_not_a_number"),
        ("6984303406\n6974303406", "phone_several"),
        ("6984303406 / 6974303406", "phone_several"),
        ("6984303406, 6974303406", "phone_several"),
        ("6984303406 or 6974303406", "phone_several"),
        ("3.0698E+11", "phone_digits_lost"),
        ("3,0698e11", "phone_digits_lost"),
        ("69843", "phone_too_short"),
        ("1", "phone_not_a_number"),
        ("+30698430340", "phone_too_short"),
        ("+4477009", "phone_too_short"),
        ("+30698430340611111", "phone_too_long"),
        ("+12345678901234567890", "phone_too_long"),
        ("+999 123 456 789", "phone_not_valid"),
        ("0000000000", "phone_not_valid"),
        ("+1 555 555 5555", "phone_not_valid"),
        ("+30 210 123 4567", "phone_not_mobile"),
        ("+1 800 555 0199", "phone_not_mobile"),
        ("+44 70 1234 5678", "phone_not_mobile"),
        ("+30 901 123 4567", "phone_not_mobile"),
        ("+800 1234 5678", "phone_not_mobile"),
        ("+44 90 1234 5678", "phone_not_mobile"),
        ("+1 900 555 1234", "phone_not_mobile"),
        ("800 123 4567", "phone_not_mobile"),
    ],
)
def test_what_can_not_be_texted_is_refused_with_its_reason(written: str | None, code: str) -> None:
    with pytest.raises(PhoneRefused) as refused:
        normalise_phone(written, "GR")

    assert refused.value.code == code
    assert refused.value.actionable


@pytest.mark.parametrize(
    ("written", "masked"),
    [("+30 698 430 3406", "+30…06"), ("6984303406", "698…06"), ("69843", "…"), ("", "…"), ("call me", "…")],
)
def test_a_masked_number_is_known_only_to_who_has_it(written: str, masked: str) -> None:
    assert mask_phone(written) == masked


def test_a_refusal_does_not_quote_the_number() -> None:
    with pytest.raises(PhoneRefused) as refused:
        normalise_phone("+30 210 123 4567", "GR")

    assert "4567" not in f"{refused.value.message}{refused.value.actionable}{refused.value.details}"
