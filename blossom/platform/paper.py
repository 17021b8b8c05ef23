"""PDFs: A4 with one font that knows Latin, Greek and Cyrillic, and a footer that numbers the pages. Decision 0022."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, XPos, YPos
from fpdf.fonts import TTFFont

_FONT = Path(__file__).resolve().parents[2] / "static" / "fonts" / "DejaVuSans.ttf"

Colour = tuple[int, int, int]
_NAMES = 50.0
"""Millimetres for the names of facts."""

GREY: Colour = (90, 90, 90)
BLACK: Colour = (20, 20, 20)
PALE: Colour = (205, 205, 205)


class Page(FPDF):
    """Text on A4. What the font can't show (emoji, some scripts) stands as its code point, `[U+1F600]`, so that a
    wording is never silently another one."""

    def __init__(self) -> None:
        super().__init__(format="A4")
        self.add_font("DejaVu", fname=_FONT)
        self.set_auto_page_break(auto=True, margin=20)
        self.set_margins(20, 18, 20)
        self.alias_nb_pages()

    def footer(self) -> None:
        self.set_y(-14)
        self.use(8, GREY)
        self.cell(0, 6, f"{self.page_no()} / {{nb}}", align="R")

    def line_of(self, text: str, *, size: int = 10, colour: Colour = BLACK) -> None:
        self.use(size, colour)
        self.multi_cell(0, size * 0.55, self.shown(text), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def fact(self, name: str, value: str) -> None:
        """A name, and beside it its value on as many lines as it takes."""
        self.use(9, GREY)
        height = self.multi_cell(_NAMES, 5.5, name, align="L", dry_run=True, output=MethodReturnValue.HEIGHT)
        assert isinstance(height, float)
        if self.will_page_break(height + 0.5):
            self.add_page()
        top, number = self.get_y(), self.page_no()
        self.multi_cell(_NAMES, 5.5, name, align="L", new_x=XPos.RIGHT, new_y=YPos.TOP)
        self.use(9, BLACK)
        self.multi_cell(0, 5.5, self.shown(value), align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if self.page_no() == number:  # a name may take more lines than its value
            self.set_y(max(self.get_y(), top + height))

    def heading(self, text: str) -> None:
        """Of a part of the document; not left alone at the foot of a page."""
        if self.will_page_break(24):
            self.add_page()
        self.ln(4)
        self.line_of(text, size=13)
        self.ln(1)

    def rows(self, columns: Sequence[float], lines: Iterable[Sequence[str]], *, head: Sequence[str]) -> None:
        """A table: the first column of text, the others of numbers; `columns`: their widths in millimetres. The head
        stands on each page again."""
        self._row(columns, head, GREY)
        for line in lines:
            if self.will_page_break(6):
                self.add_page()
                self._row(columns, head, GREY)
            self._row(columns, line, BLACK)

    def _row(self, columns: Sequence[float], cells: Sequence[str], colour: Colour) -> None:
        self.use(9, colour)
        self.set_draw_color(*PALE)
        self.set_line_width(0.15)
        for place, (width, cell) in enumerate(zip(columns, cells, strict=True)):
            self.cell(width, 6, self.shown(self._cut(cell, width)), border="B", align="R" if place else "L")
        self.ln(6)

    def _cut(self, text: str, width: float) -> str:
        """As much of it as there is room for."""
        if self.get_string_width(text) <= width - 2:
            return text
        while text and self.get_string_width(f"{text}…") > width - 2:
            text = text[:-1]
        return f"{text}…"

    def shown(self, text: str) -> str:
        font = self.current_font
        assert isinstance(font, TTFFont), "the one that was added"
        known = font.cmap
        return "".join(c if c == "\n" or ord(c) in known else f"[U+{ord(c):04X}]" for c in text)

    def use(self, size: int, colour: Colour) -> None:
        self.set_font("DejaVu", size=size)
        self.set_text_color(*colour)
