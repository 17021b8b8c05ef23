"""Proof of consent as a PDF, which a merchant can hand to a person, an authority or a carrier. Decision 0022."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from blossom.consent.rules import Proof, ProofEntry
from blossom.people.rules import SOURCE_WORDS, STATE_WORDS, facts, happening, phone_shown
from blossom.platform import languages, paper
from blossom.platform.languages import t


def proof_pdf(proof: Proof) -> bytes:
    """The proof on A4, in the reader's language; what a person was shown stands as they were shown it. What the font
    can't show (emoji, some scripts) stands as its code point, `[U+1F600]`, so that a wording is never silently another
    one."""
    page = paper.Page()
    page.set_title(t("Proof of consent"))
    page.set_creator("Blossom")
    page.set_creation_date(proof.made_at)
    page.set_lang(languages.reader())
    page.add_page()
    page.line_of(t("Proof of consent"), size=18)
    page.line_of(f"{proof.shop_name} ({proof.shop_domain})", colour=paper.GREY)
    page.ln(4)
    for name, value in (
        (t("Person"), proof.name or t("no name known")),
        (t("Number"), phone_shown(proof.phone) or t("none")),
        (t("Contact"), str(proof.contact_id)),
        (t("Consent"), t(STATE_WORDS[proof.state])),
        (t("Marketing texts"), t("allowed") if proof.marketing_allowed else t("not allowed")),
        (t("Texts on their own orders"), t("allowed") if proof.transactional_allowed else t("not allowed")),
        (t("As of"), _moment(proof.made_at, proof.timezone)),
    ):
        page.fact(name, value)
    page.ln(4)
    page.line_of(t("All that was recorded, oldest first"), size=13)
    if not proof.entries:
        page.line_of(t("Nothing: this number has never subscribed and never opted out."))
    for number, entry in enumerate(proof.entries, 1):
        _write_entry(page, number, entry, proof.timezone)
    return bytes(page.output())


def _write_entry(page: paper.Page, number: int, entry: ProofEntry, timezone: str) -> None:
    page.ln(3)
    page.line_of(f"{number}. {t(STATE_WORDS[entry.from_state])} → {t(STATE_WORDS[entry.to_state])}", size=11)
    page.fact(t("When"), _moment(entry.occurred_at, timezone))
    if entry.recorded_at != entry.occurred_at:
        page.fact(t("Recorded"), _moment(entry.recorded_at, timezone))
    page.fact(t("How"), f"{t(happening(entry))} {t(SOURCE_WORDS[entry.source])}")
    if entry.wording:
        page.fact(t("Words shown"), entry.wording)
    for name, value in facts(entry):
        page.fact(t(name), t(value))


def _moment(at: datetime, timezone: str) -> str:
    """To the second, on the shop's clock and in UTC: on a proof nobody should have to reckon."""
    there = at.astimezone(ZoneInfo(timezone))
    return f"{there:%Y-%m-%d %H:%M:%S} ({timezone}), {at:%Y-%m-%dT%H:%M:%SZ}"
