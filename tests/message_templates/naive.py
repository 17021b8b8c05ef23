"""An independent count of parts, written from the standard with no regard for speed, to hold the real one against."""

from __future__ import annotations

# 3GPP TS 23.038 §6.2.1: by column of the table, 0x00 to 0x7F. None is the escape to the extension table.
TABLE: dict[int, str | None] = {}
_rows = [
    (0x00, ["@", "£", "$", "¥", "è", "é", "ù", "ì", "ò", "Ç", "\n", "Ø", "ø", "\r", "Å", "å"]),
    (0x10, ["Δ", "_", "Φ", "Γ", "Λ", "Ω", "Π", "Ψ", "Σ", "Θ", "Ξ", None, "Æ", "æ", "ß", "É"]),
    (0x20, [" ", "!", '"', "#", "¤", "%", "&", "'", "(", ")", "*", "+", ",", "-", ".", "/"]),
    (0x30, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", ":", ";", "<", "=", ">", "?"]),
    (0x40, ["¡", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O"]),
    (0x50, ["P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "Ä", "Ö", "Ñ", "Ü", "§"]),
    (0x60, ["¿", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o"]),
    (0x70, ["p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "ä", "ö", "ñ", "ü", "à"]),
]
for _start, _chars in _rows:
    for _offset, _char in enumerate(_chars):
        TABLE[_start + _offset] = _char
# §6.2.1.1: the extension table.
EXTENSION = {
    0x0A: "\f", 0x14: "^", 0x28: "{", 0x29: "}", 0x2F: "\\", 0x3C: "[", 0x3D: "~", 0x3E: "]", 0x40: "|", 0x65: "€",
}  # fmt: skip


def cost(char: str, gsm: bool) -> int:
    if gsm:
        return 2 if char in EXTENSION.values() else 1
    return 2 if ord(char) > 0xFFFF else 1


def pack(text: str) -> list[str]:
    """The parts, filled one character at a time."""
    gsm = all(char in TABLE.values() or char in EXTENSION.values() for char in text)
    total = sum(cost(char, gsm) for char in text)
    if total == 0:
        return []
    if total <= (160 if gsm else 70):
        return [text]
    room = 153 if gsm else 67
    parts, used = [""], 0
    for char in text:
        if used + cost(char, gsm) > room:
            parts.append("")
            used = 0
        parts[-1] += char
        used += cost(char, gsm)
    return parts


def fewest_parts(text: str) -> int:
    """The fewest parts of any way to cut the text, found by trying all of them (dynamic programming)."""
    gsm = all(char in TABLE.values() or char in EXTENSION.values() for char in text)
    costs = [cost(char, gsm) for char in text]
    if sum(costs) <= (160 if gsm else 70):
        return 1 if text else 0
    room = 153 if gsm else 67
    best = [0] + [len(text) + 1] * len(text)
    for end in range(1, len(text) + 1):
        used = 0
        for start in range(end - 1, -1, -1):
            used += costs[start]
            if used > room:
                break
            best[end] = min(best[end], best[start] + 1)
    return best[-1]
