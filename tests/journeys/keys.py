"""Somebody who has a keyboard and no mouse."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

_MOST = 90
"""Presses of Tab that nobody wants to go beyond on one page."""

_IS_SEEN = """(element) => {
  const ring = element.closest('label') ?? element;
  return [element, ring].some((each) => {
    const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(each);
    return (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none';
  });
}"""


class Keys:
    """At the keyboard of a tab. What they want to use they go to with Tab, and see where they are."""

    def __init__(self, tab: Page) -> None:
        self.tab = tab

    def go(self, target: Locator, *, back: bool = False) -> None:
        """Press Tab (with Shift: `back`) until `target` has the focus."""
        expect(target).to_be_visible()
        for _ in range(_MOST):
            if target.evaluate("(element) => element === element.ownerDocument.activeElement"):
                assert target.evaluate(_IS_SEEN), f"where the focus is can't be seen: {target}"
                return
            self.tab.keyboard.press("Shift+Tab" if back else "Tab")
        raise AssertionError(f"no way leads to {target}")

    def press(self, target: Locator, *, back: bool = False) -> None:
        """Go to a button or a link, and use it."""
        self.go(target, back=back)
        self.tab.keyboard.press("Enter")

    def tick(self, target: Locator) -> None:
        """Go to a box or a choice, and take it."""
        self.go(target)
        self.tab.keyboard.press("Space")
        expect(target).to_be_checked()

    def type(self, words: str) -> None:
        """Where the focus is."""
        self.tab.keyboard.type(words)

    def fill(self, target: Locator, words: str) -> None:
        """Go to a field, and type there instead of what it holds."""
        self.go(target)
        self.tab.keyboard.press("Control+a")
        self.type(words)

    def choose(self, target: Locator, words: str) -> None:
        """Go to a list, and down to the choice of these words."""
        self.go(target)
        for _ in range(target.locator("option").count()):
            if words in target.evaluate("(list) => list.selectedOptions[0].textContent"):
                return
            self.tab.keyboard.press("ArrowDown")
        raise AssertionError(f"“{words}” is no choice")
