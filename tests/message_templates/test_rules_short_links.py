"""Short links and the opt-out link in texts: what may be shortened, and that a text's size is known before its code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blossom.message_templates.errors import MissingValue, TextError
from blossom.message_templates.rules import estimate, linter, opt_out, segments, short_links
from blossom.message_templates.rules.catalogue import MARKETING, Trigger, variables
from blossom.message_templates.rules.language import compile_text
from blossom.message_templates.rules.preview import preview
from blossom.message_templates.rules.short_links import STAND_IN, fault_of

CAMPAIGN = Trigger.CAMPAIGN
SITE = "https://olive.example/apps/blossom"
CODE = "2".ljust(short_links.CODE_LENGTH, "z")
SHORT = f"{SITE}/s/{CODE}"
SALE = '{{ "https://shop.example/sale" | shortlink }}'


def test_an_address_is_numbered_once_and_its_short_one_put_in_its_place() -> None:
    text = compile_text(f"{SALE} {{{{ 'https://shop.example/new' | shortlink }}}} {SALE}", CAMPAIGN)
    assert [(link.number, link.address) for link in text.links] == [
        (1, "https://shop.example/sale"), (2, "https://shop.example/new"),
    ]  # fmt: skip
    assert text.is_plain
    assert text.variables == set()
    assert text.render({"link 1": "https://a.example/s/1", "link 2": "https://a.example/s/2"}) == (
        "https://a.example/s/1 https://a.example/s/2 https://a.example/s/1"
    )


def test_a_text_never_leaves_without_its_short_links() -> None:
    for source in (SALE, f"{{% if sender %}}{SALE}{{% endif %}}", "{{ opt_out_link }}"):
        with pytest.raises(MissingValue):
            compile_text(source, CAMPAIGN).render({"sender": "Olive"})


@pytest.mark.parametrize("slot", ["link 1", "link_1", '["link 1"]'])
def test_nobody_can_write_a_slot_themselves(slot: str) -> None:
    with pytest.raises(TextError):
        compile_text(f"{{{{ {slot} }}}}", CAMPAIGN)


@given(st.sampled_from([SALE, f"{{% if first_name %}}{SALE}{{% else %}}x {SALE}{{% endif %}}"]), st.text(max_size=30))
def test_the_short_way_and_liquid_give_the_same(source: str, name: str) -> None:
    text = compile_text(source + " {{ first_name | default: 'you' }} {{ opt_out_link }}", CAMPAIGN)
    present = text.cleaned({"first_name": name, **text.stand_ins(SITE)})
    assert text.render_cleaned(present) == text.render_with_liquid(present)


@given(st.integers(1, 300), st.sampled_from([SITE, "https://a-very-long-name.myshopify.com/community/texts_2"]))
def test_stand_ins_have_the_size_of_what_is_sent(words: int, site: str) -> None:
    text = compile_text("a" * words + f" {SALE} {{{{ opt_out_link }}}}", CAMPAIGN)
    real = {"link 1": f"{site}/s/{CODE}", "opt_out_link": f"{site}/unsubscribe/{CODE}"}
    expected = estimate.segments_for(text, text.stand_ins(site), {})
    assert expected == segments.count(text.render(real)).segments


def test_an_address_of_each_persons_own_is_shortened_where_there_is_one() -> None:
    text = compile_text('{{ tracking_url | shortlink | default: "soon" }}', Trigger.FULFILLMENT)
    assert [(link.address, link.variable) for link in text.links] == [(None, "tracking_url")]
    assert text.unprovided == ()
    assert text.render({"tracking_url": "https://track.example/1", **text.stand_ins(SITE)}) == f"{SITE}/s/{STAND_IN}"
    assert text.render(text.stand_ins(SITE)) == "soon"


@pytest.mark.parametrize(
    "address",
    [
        "https://shop.example",
        "https://shop.example/",
        "https://www.shop.example/a/b.html?c=%CE%B1&d[]=(e)#f",
        "https://xn--mxaaah.gr/x",
        "https://SHOP.example:443/'quoted'",
    ],
)
def test_what_a_browser_shows_as_an_address_is_one(address: str) -> None:
    assert fault_of(address) is None


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("", "begin with https"),
        ("http://shop.example", "begin with https"),
        ("HTTPS://shop.example", "begin with https"),
        ("//shop.example", "begin with https"),
        ("javascript:alert(1)", "begin with https"),
        ("https://", "can't hold|name a site"),
        ("https://localhost/x", "name a site"),
        ("https://127.0.0.1/x", "name a site"),
        ("https://[::1]/x", "name a site"),
        ("https://[::1/x", "can't be read"),
        ("https://shop.example:8443/x", "name a site"),
        ("https://shop.example:x/", "can't be read"),
        ("https://me:secret@shop.example", "name or a password"),
        ("https://shop.example@evil.example", "name or a password"),
        ("https://shop.example/a b", "can't hold"),
        ("https://shop.example\\@evil.example", "can't hold"),
        ("https://shop.example/\r\nSet-Cookie: a", "can't hold"),
        ("https://shop.example/προσφορά", "can't hold"),
        ("https://shop.example/" + "x" * 500, "longer than 500"),
    ],
)
def test_what_a_link_must_not_lead_to_is_refused(address: str, why: str) -> None:
    fault = fault_of(address)
    assert fault is not None
    assert any(part in fault for part in why.split("|"))


# The way out


def test_the_opt_out_link_is_offered_where_a_way_out_must_be() -> None:
    assert {trigger for trigger in Trigger if "opt_out_link" in variables(trigger)} == MARKETING


@pytest.mark.parametrize(
    "source",
    ["End: {{ opt_out_link }}", "{{opt_out_link}}", "End: {{ opt_out_link }}.\nBye", "Sale ({{ opt_out_link }})"],
)
def test_the_opt_out_link_is_a_way_out(source: str) -> None:
    assert opt_out.has_opt_out(source)
    assert opt_out.with_opt_out(source, "Reply STOP to opt out") == source
    assert linter.lint(source, CAMPAIGN) == []


@pytest.mark.parametrize(
    "source",
    [
        "{% if first_name %}{{ opt_out_link }}{% endif %}",
        "opt_out_link",
        "{{ opt_out_links }}",
        "( opt_out_link )",
        # It stands there, but nobody could tap it:
        "{{ opt_out_link | default: 'x' | upper }}",
        "{{ opt_out_link | default: 'x' | truncate: 20 }}",
        "{{ opt_out_link }}ends it",
        "{{ opt_out_link }}{{ sender }}",
        "{{ opt_out_link }}{% if sender %}{{ sender }}{% endif %}",
        "{{- opt_out_link -}} ends it",
        "End:{{ opt_out_link }}",
        "{{ sender }}{{ opt_out_link }}",
        "https://shop.example/{{ opt_out_link }}",
    ],
)
def test_a_link_that_not_everybody_can_tap_is_none(source: str) -> None:
    assert not opt_out.has_opt_out(source)


def test_a_shops_line_may_hold_the_link() -> None:
    seen = preview("Sale!", CAMPAIGN, opt_out_line="End: {{ opt_out_link }}", site=SITE)
    assert seen.text == f"Sale!\nEnd: {SITE}/unsubscribe/{STAND_IN}"
    assert seen.can_send
    assert opt_out.spoken_line("End: {{ opt_out_link }}") == "Reply STOP to opt out"
    assert opt_out.spoken_line("STOP ends it") == "STOP ends it"


def test_a_preview_shows_a_short_link_at_the_shops_address() -> None:
    seen = preview(f"Sale {SALE} Reply STOP to opt out", CAMPAIGN, site=SITE)
    assert seen.text == f"Sale {SITE}/s/{STAND_IN} Reply STOP to opt out"
    assert seen.findings == ()
