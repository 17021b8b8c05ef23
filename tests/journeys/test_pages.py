"""Each of the merchant's pages, in the admin's frame: by axe's rules of WCAG 2.2 AA in each language and scheme, within
320 pixels, and in Greek without a word of English. `bin/screens` has them drawn on the way."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import cast

import pytest
from PIL import Image
from playwright.sync_api import Browser, Frame, Page, expect
from pypdf import PdfReader

from blossom.platform import languages
from tests.journeys import gallery
from tests.journeys import world as worlds
from tests.journeys.test_accessible import OPTIONS, faults
from tests.journeys.town import Town
from tests.journeys.world import cookies

pytestmark = [pytest.mark.journey, pytest.mark.timeout(600)]

SCREENS = os.environ.get("BLOSSOM_SCREENS")
"""The folder for pictures; none are made without."""

WIDTHS = (1280, 390)
DARK = frozenset({"home", "compose", "watching", "results"})
COLOURS = {**OPTIONS, "runOnly": {"type": "rule", "values": ["color-contrast"]}}
"""All that another scheme can change."""

LOWEST = 1_600  # pixels of a page that a picture shows
NARROWEST = 320
SAME = """
Blossom Shopify Mitto SMS API CSV PDF UTF GSM UCS JavaScript emoji MB ISO Windows Mac domain https www example webhooks
START UNSTOP STOP UNSUBSCRIBE CANCEL END QUIT REVOKE OPT OUT HELP SUMMER mail Europe Athens UTC Redis
Expired Undelivered expired not delivered gift Phone
"""
"""What is the same in every language, and codes and references, which nobody translates."""

DATA = f"""
{gallery.DOMAIN} {gallery.TEXT} {gallery.LINKED} {" ".join(f"{first} {last}" for first, last in gallery.NAMES)}
Autumn sale Winter Black Friday New roasts Spring Petros Makris Regulars in Greece Friends of the shop Town Weekly offer
Customers who bought twice New subscribers
hello customers vip not a number Yes Maria Jones example nothing
Yes, Blue-Coffee may send me marketing texts (offers and news) at this number, also by automated means. Consent is not
a condition of any purchase. I can end this at any time, and message and data rates may apply.
"""
"""What the shop at hand, its people and texts are called, and what shoppers read in English."""

_SHOWN = """() => {
  const skip = 'code, script, style, noscript, template, blockquote, s-app-nav, [lang]:not(html):not(body), time';
  const said = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const inside = walk.currentNode.parentElement;
    if (!inside.closest(skip) && !inside.closest('textarea, [data-verbatim]')) said.push(walk.currentNode.data);
  }
  for (const name of ['aria-label', 'title', 'placeholder']) {
    for (const each of document.querySelectorAll(`[${name}]`)) {
      if (!each.closest(skip)) said.push(each.getAttribute(name));
    }
  }
  return said.join('\\n');
}"""
_FRAMED = """async (address) => {
  const admin = new DOMParser().parseFromString(await (await fetch(address)).text(), 'text/html');
  document.getElementById('app').src = admin.getElementById('app').src;
}"""
"""Loads what the admin frames at its address. The admin itself is the same around each page: to load it anew for each
took a fifth of the CPU."""

_AXE_AGAIN = "options => axe.run(document, options)"
"""Where `faults` has brought axe: half a megabyte of script, which is read once a page."""

_STICKS_OUT = """() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide) return null;
  const out = [...document.querySelectorAll('body *')].filter((each) => each.getBoundingClientRect().right > wide + 1);
  return out.map((each) => each.outerHTML.slice(0, 120)).slice(-3).join(' … ');
}"""


_WORD = re.compile(r"(?<![\w/.@-])[A-Za-z]{3,}(?![\w@/])")
_NOT_SAID = re.compile(r"\{[{%].*?[%}]\}|https?://\S+")


@pytest.fixture(scope="module")
def paths(built_town: Town, browser: Browser) -> dict[str, str]:
    return gallery.furnish(built_town, browser)


NO_PAGES = {
    "admin.begin_grant": "leads to Shopify",
    "admin.end_grant": "comes back from it",
    "admin.bounce": "fetches a session and goes on",
    "campaigns.campaign_events": "a stream",
    "campaigns.recipients_csv": "a file",
    "campaigns.report_pdf": "a file",
    "healthz": "for machines",
    "people.proof_pdf": "a file",
    "people.reading": "a part of a segment's page",
    "readyz": "for machines",
    "static": "files",
    "uploads.refused_lines": "a file",
}
OTHERS = ("/api", "storefront.", "mitto_webhooks.")
"""Of machines; and of shoppers, whose pages `test_accessible` opens."""


def test_no_page_is_left_out(built_town: Town, paths: dict[str, str]) -> None:
    routes = built_town.world.app.url_map
    shown = {routes.bind("").match(path.partition("?")[0])[0] for path in paths.values()}
    there = {route.endpoint for route in routes.iter_rules() if "GET" in (route.methods or ())}
    pages = {endpoint for endpoint in there if not endpoint.startswith(OTHERS)} - NO_PAGES.keys()
    assert pages - shown == set(), "each page stands in the gallery, and is judged"
    assert NO_PAGES.keys() <= there, "nothing is excused that isn't there"


@pytest.mark.parametrize("locale", languages.supported())
def test_every_page_is_for_everybody(built_town: Town, paths: dict[str, str], browser: Browser, locale: str) -> None:
    tab, _, seen = worlds.open_admin(browser, built_town.world, shop=gallery.DOMAIN, color_scheme="light")
    inner = _frame(tab)
    found: list[str] = []
    for what, path in paths.items():
        tab.emulate_media(color_scheme="light")
        expect(tab.locator("#save-bar, dialog[open]")).to_be_hidden()  # nothing of the page before stands around it
        with inner.expect_navigation():
            tab.evaluate(_FRAMED, _address(built_town, path, locale))
        expect(inner.locator("main h1, dialog[open] h2").first).to_be_visible()
        assert inner.locator("html").get_attribute("lang") == locale, what
        found += [f"{fault} ({locale})" for fault in faults(inner, what)]
        if locale != languages.SOURCE:
            found += [f"{what}: not in {locale}: {words}" for words in _foreign(inner)]
        if SCREENS and locale == languages.SOURCE:
            _draw(tab, inner, what, "light")
        tab.emulate_media(color_scheme="dark")
        dark = inner.evaluate(_AXE_AGAIN, COLOURS)["violations"]
        found += [f"{what}, dark: {node['target']} {node['failureSummary']}" for rule in dark for node in rule["nodes"]]
        if SCREENS and locale == languages.SOURCE and what in DARK:
            _draw(tab, inner, what, "dark")
        tab.set_viewport_size({"width": NARROWEST, "height": 700})
        if out := inner.evaluate(_STICKS_OUT):
            found.append(f"{what}: wider than {NARROWEST} ({locale}): {out}")
        tab.set_viewport_size({"width": WIDTHS[0], "height": 800})
    assert [complaint for complaint in seen.complaints if "404" not in complaint] == []
    tab.context.close()
    assert not found, "\n".join(found)


def _address(town: Town, path: str, locale: str) -> str:
    return town.world.page_in_admin(f"{path}{'&' if '?' in path else '?'}locale={locale}", gallery.DOMAIN)


def _frame(tab: Page) -> Frame:
    (inner,) = [each for each in tab.frames if each.name == "app-iframe"]
    return inner


def _foreign(inner: Frame) -> list[str]:
    """Lines that the page shows with a word of Latin letters in them that is nobody's name."""
    same = {word.casefold() for word in re.findall(r"[A-Za-z]+", SAME + DATA)}
    return [
        line.strip()
        for line in str(inner.evaluate(_SHOWN)).splitlines()
        if any(word.casefold() not in same for word in _WORD.findall(_NOT_SAID.sub("", line)))
    ]


def _draw(tab: Page, inner: Frame, what: str, scheme: str) -> None:
    """The page as the admin's frame shows it, down to `LOWEST`; in so few colours that the repository can keep it."""
    for width in WIDTHS:
        tab.set_viewport_size({"width": width, "height": 800})
        high = min(int(inner.evaluate("() => document.documentElement.scrollHeight")), LOWEST)
        tab.set_viewport_size({"width": width, "height": high + 80})
        drawn = tab.locator("iframe").screenshot(animations="disabled")
        name = "-".join((*re.findall(r"\w+", what.lower()), str(width), *(["dark"] if scheme == "dark" else [])))
        _in_few_colours(Image.open(io.BytesIO(drawn)).convert("RGB")).save(
            Path(str(SCREENS)) / f"{name}.png", optimize=True
        )
    tab.set_viewport_size({"width": WIDTHS[0], "height": 800})


def _in_few_colours(picture: Image.Image) -> Image.Image:
    """Its commonest colours as they are, and the nearest of them for the edges of letters. The usual ways mix colours:
    a red square among much grey came out maroon, and a grey page green."""
    counted = cast("list[tuple[int, tuple[int, int, int]]]", picture.getcolors(picture.width * picture.height))
    colours = sorted(counted, reverse=True)[:160]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in colours for part in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def test_a_language_is_kept_over_faults_links_menus_files_and_streams(
    built_town: Town, paths: dict[str, str], browser: Browser
) -> None:
    tab, frame, _ = worlds.open_admin(
        browser, built_town.world, f"{paths['settings']}?locale=el", gallery.DOMAIN, locale="en-GB"
    )
    frame.get_by_label("Αποστολέας").fill("no good!")
    frame.get_by_role("button", name="Αποθήκευση").click()
    expect(frame.get_by_text("Αποστολέας: πρέπει να είναι 3 έως 11 γράμματα")).to_be_visible()
    assert faults(_frame(tab), "settings with a fault") == []

    frame.get_by_role("link", name="Συγκατάθεση", exact=True).click()
    expect(frame.get_by_role("heading", name="Πού εγγράφονται οι πελάτες")).to_be_visible()
    assert cookies(tab.context) == []

    tab.goto(_address(built_town, paths["proof"], "el"))
    with tab.expect_download() as download:
        frame.get_by_role("link", name="Λήψη ως PDF").click()
    paper = PdfReader(io.BytesIO(download.value.path().read_bytes()))
    assert "Απόδειξη συγκατάθεσης" in paper.pages[0].extract_text()
    tab.get_by_role("navigation", name="Blossom").get_by_role("link", name="Επαφές").click()
    expect(frame.get_by_role("heading", name="Επαφές", level=1)).to_be_visible()

    tab.goto(_address(built_town, paths["watching"], "el"))
    before = frame.locator("[data-count=sent]").text_content()
    built_town.send_a_little()
    expect(frame.locator("[data-count=sent]")).not_to_have_text(str(before))
    expect(frame.get_by_role("heading", name="Πρόοδος")).to_be_visible()
    tab.context.close()
