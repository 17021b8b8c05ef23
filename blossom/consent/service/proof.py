"""Proof of consent as a PDF, which a merchant can hand to a person, an authority or a carrier. Decision 0022."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from blossom.consent.rules import Proof, ProofEntry, State
from blossom.platform import paper

_STATES = {
    State.NEVER_SUBSCRIBED: "Never subscribed",
    State.PENDING: "Asked to confirm, not confirmed yet",
    State.OPTED_IN: "Opted in",
    State.OPTED_OUT: "Opted out",
}


def proof_pdf(proof: Proof) -> bytes:
    """The proof on A4. What the font can't show (emoji, some scripts) stands as its code point, `[U+1F600]`, so that a
    wording is never silently another one."""
    page = paper.Page()
    page.set_title(f"Proof of consent, contact {proof.contact_id}")
    page.set_creator("Blossom")
    page.set_creation_date(proof.made_at)
    page.set_lang("en")
    page.add_page()
    page.line_of("Proof of consent", size=18)
    page.line_of(f"{proof.shop_name} ({proof.shop_domain})", colour=paper.GREY)
    page.ln(4)
    for name, value in (
        ("Person", proof.name or "no name known"),
        ("Number", proof.phone or "none"),
        ("Contact", str(proof.contact_id)),
        ("State", _STATES[proof.state]),
        ("Marketing texts", "allowed" if proof.marketing_allowed else "not allowed"),
        ("Texts on own orders", "allowed" if proof.transactional_allowed else "not allowed"),
        ("Made", _moment(proof.made_at, proof.timezone)),
    ):
        page.fact(name, value)
    page.ln(4)
    page.line_of("All that was recorded, oldest first", size=13)
    if not proof.entries:
        page.line_of("Nothing: this number has never subscribed and never opted out.")
    for number, entry in enumerate(proof.entries, 1):
        _write_entry(page, number, entry, proof.timezone)
    return bytes(page.output())


def _write_entry(page: paper.Page, number: int, entry: ProofEntry, timezone: str) -> None:
    page.ln(3)
    page.line_of(f"{number}. {_STATES[entry.from_state]} → {_STATES[entry.to_state]}", size=11)
    facts = [("When", _moment(entry.occurred_at, timezone))]
    if entry.recorded_at != entry.occurred_at:
        facts.append(("Recorded", _moment(entry.recorded_at, timezone)))
    facts.append(("By way of", entry.source.value))
    for name, value in (
        ("Words shown", entry.wording),
        ("IP address", entry.ip),
        ("Browser", entry.user_agent),
        ("Done by", entry.actor),
    ):
        if value:
            facts.append((name, value))
    facts += [(str(name).replace("_", " ").capitalize(), str(value)) for name, value in entry.details.items()]
    for name, value in facts:
        page.fact(name, value)


def _moment(at: datetime, timezone: str) -> str:
    there = at.astimezone(ZoneInfo(timezone))
    return f"{there:%Y-%m-%d %H:%M:%S} ({timezone}), {at:%Y-%m-%dT%H:%M:%SZ}"
