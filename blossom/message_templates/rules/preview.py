"""A text as somebody would get it, with its size, advice, and the cheaper ways to write it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from blossom.message_templates.errors import RenderError
from blossom.message_templates.rules import linter, opt_out, segments
from blossom.message_templates.rules.capitals import greek_in_capitals, greek_values, variables_in_capitals
from blossom.message_templates.rules.catalogue import MARKETING, Trigger, examples
from blossom.message_templates.rules.characters import Cure, has_greek, replace_typographic
from blossom.message_templates.rules.cures import OF_VALUES
from blossom.message_templates.rules.language import examine
from blossom.message_templates.rules.linter import Finding
from blossom.message_templates.rules.segments import TextSize
from blossom.message_templates.rules.short_links import EXAMPLE_SITE
from blossom.message_templates.rules.values import Value


@dataclass(frozen=True, slots=True)
class Preview:
    """`source`: the text as it would be sent, opt-out line included. `text`: rendered; None if it can't be, for the
    reasons in `findings` or, for these values, in `unrendered`. `cures`: by name, those that would change something."""

    source: str
    text: str | None
    size: TextSize
    parts: tuple[str, ...]
    findings: tuple[Finding, ...]
    unrendered: RenderError | None
    cures: Mapping[str, Cure]

    @property
    def can_send(self) -> bool:
        return not linter.blocks_sending(self.findings)


def preview(
    source: str,
    trigger: Trigger,
    *,
    language: str = "en",
    values: Mapping[str, Value] | None = None,
    opt_out_line: str = "",
    keywords: Collection[str] = (),
    sender: str | None = None,
    add_opt_out: bool = True,
    site: str = EXAMPLE_SITE,
) -> Preview:
    """`values` stand in for the catalogue's examples, variable by variable; links lead nowhere yet. `site`: where they
    begin. `sender`: from whom it comes, where that is known."""
    keywords = tuple(keywords)
    findings = linter.lint(
        source, trigger, language=language, opt_out_line=opt_out_line, keywords=keywords, sender=sender, site=site
    )
    sent = source
    if add_opt_out and trigger in MARKETING and source.strip():
        sent = opt_out.with_opt_out(
            source, opt_out.line_of(opt_out_line, keywords, language=language), keywords=keywords
        )
    person = examples(trigger, language) | dict(values or {})
    text, unrendered = _rendered(sent, trigger, language, person, site)

    def measure(other: str) -> int:
        return measured(other, trigger, language=language, values=person, site=site)

    cures = {
        "typographic": replace_typographic(sent, measure=measure),
        "plain_letters": replace_typographic(sent, accents=True, measure=measure),
        "greek_capitals": greek_in_capitals(sent, measure=measure),
        OF_VALUES: variables_in_capitals(sent, greek_values(person), measure=measure),
    }
    if has_greek(sent):
        del cures[OF_VALUES]  # it goes with the words there
    if cures["plain_letters"].text == cures["typographic"].text:
        del cures["plain_letters"]
    return Preview(
        source=sent,
        text=text,
        size=segments.count(text or ""),
        parts=tuple(segments.split(text or "")),
        findings=tuple(findings),
        unrendered=unrendered,
        cures={name: cure for name, cure in cures.items() if cure.changes},
    )


def measured(
    source: str, trigger: Trigger, *, language: str = "en", values: Mapping[str, Value], site: str = EXAMPLE_SITE
) -> int:
    """Segments of what somebody with these `values` gets; 0 if that can't be made."""
    text, _ = _rendered(source, trigger, language, values, site)
    return segments.count(text or "").segments


def _rendered(
    source: str, trigger: Trigger, language: str, values: Mapping[str, Value], site: str
) -> tuple[str | None, RenderError | None]:
    compiled, _ = examine(source, trigger, language)
    if compiled is None:
        return None, None
    try:
        return compiled.render({**values, **compiled.stand_ins(site)}), None
    except RenderError as error:
        return None, error
