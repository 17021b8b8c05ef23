"""Proof of consent as a PDF, which a merchant can hand to a person, an authority or a carrier. Decision 0022."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from blossom.consent.rules import Proof, ProofEntry, State

_FONT = Path(__file__).resolve().parents[3] / "static" / "fonts" / "DejaVuSans.ttf"
_STATES = {
    State.NEVER_SUBSCRIBED: "Never subscribed",
    State.PENDING: "Asked to confirm, not confirmed yet",
    State.OPTED_IN: "Opted in",
    State.OPTED_OUT: "Opted out",
}
_GREY, _BLACK = (90, 90, 90), (20, 20, 20)


def proof_pdf(proof: Proof) -> bytes:
    """The proof on A4. What the font can't show (emoji, some scripts) stands as its code point, `[U+1F600]`, so that a
    wording is never silently another one."""
    page = _Page()
    page.set_title(f"Proof of consent, contact {proof.contact_id}")
    page.set_creator("Blossom")
    page.set_creation_date(proof.made_at)
    page.set_lang("en")
    page.add_page()
    page.line_of("Proof of consent", size=18)
    page.line_of(f"{proof.shop_name} ({proof.shop_domain})", colour=_GREY)
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


def _write_entry(page: _Page, number: int, entry: ProofEntry, timezone: str) -> None:
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


class _Page(FPDF):
    """A4 with one font, and a footer that numbers the pages."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        self.add_font("DejaVu", fname=_FONT)
        self.set_auto_page_break(auto=True, margin=20)
        self.set_margins(20, 18, 20)
        self.alias_nb_pages()

    def footer(self) -> None:
        self.set_y(-14)
        self._use(8, _GREY)
        self.cell(0, 6, f"{self.page_no()} / {{nb}}", align="R")

    def line_of(self, text: str, *, size: int = 10, colour: tuple[int, int, int] = _BLACK) -> None:
        self._use(size, colour)
        self.multi_cell(0, size * 0.55, self._shown(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def fact(self, name: str, value: str) -> None:
        """A name, and beside it its value on as many lines as it takes."""
        if self.will_page_break(6):
            self.add_page()
        self._use(9, _GREY)
        self.cell(42, 5.5, name, new_x=XPos.RIGHT, new_y=YPos.TOP)
        self._use(9, _BLACK)
        self.multi_cell(0, 5.5, self._shown(value), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _shown(self, text: str) -> str:
        font = self.current_font
        assert isinstance(font, TTFFont), "the one that was added"
        known = font.cmap
        return "".join(c if c == "\n" or ord(c) in known else f"[U+{ord(c):04X}]" for c in text)

    def _use(self, size: int, colour: tuple[int, int, int]) -> None:
        self.set_font("DejaVu", size=size)
        self.set_text_color(*colour)
