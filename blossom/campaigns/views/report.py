"""The results of a campaign on paper."""

from __future__ import annotations

from datetime import datetime

from blossom.campaigns.views.results import Drawn, Results
from blossom.platform import clock, languages, localised, paper
from blossom.platform.languages import t
from blossom.platform.paper import BLACK, GREY, PALE, Colour, Page

_COLOURS: dict[str, Colour] = {
    "recipients": (138, 138, 138),
    "left": (43, 138, 198),
    "delivered": (4, 123, 93),
    "failed": (199, 10, 36),
    "clicked": (128, 81, 255),
}
_WIDTH = 170.0  # millimetres between the margins


def write(results: Results) -> bytes:
    """A PDF in the reader's language. `results.tally` must have been counted."""
    campaign, shop, tally = results.campaign, results.shop, results.tally
    assert tally is not None, "who asks has looked"
    page = paper.Page()
    page.set_title(f"{campaign.name} · Blossom")
    page.set_creator("Blossom")
    page.set_creation_date(clock.now())
    page.set_lang(languages.reader())
    page.add_page()
    page.line_of(campaign.name, size=18)
    page.line_of(f"{shop.name} ({shop.domain})", colour=GREY)
    page.ln(4)
    facts = [
        (t("Started"), _moment(results, campaign.started_at)),
        (t("Ended"), _moment(results, campaign.finished_at)),
        (t("As of"), _moment(results, results.figures.counted_at)),
        (t("Cost in credits"), _number(tally.credits)),
        (t("SMS segments"), _number(tally.segments)),
        (t("Unsubscribed"), _number(tally.unsubscribes)),
    ]
    rule = results.rule
    if rule is None:
        facts.append((t("The text"), campaign.body))
    else:
        for letter, body in zip(rule.letters, rule.bodies(campaign.body), strict=True):
            facts.append((t("Text %(letter)s", letter=letter), body))
    for name, value in facts:
        if value:
            page.fact(name, value)
    _write_funnel(page, results)
    _write_texts(page, results)
    _write_outcomes(page, results)
    for heading, drawn in ((t("Over time"), results.over_time), (t("Clicks over time"), results.clicks_over_time)):
        if drawn is not None:
            page.heading(heading)
            _draw(page, drawn)
    page.heading(t("By country"))
    page.rows(
        [50, 24, 24, 24, 24, 24],
        [
            [name, *map(_number, (c.recipients, c.delivered, c.failed, c.segments, c.credits))]
            for name, c in results.countries
        ],
        head=[t("Country"), t("Recipients"), t("Delivered"), t("Failed"), t("SMS segments"), t("Credits")],
    )
    if tally.causes:
        page.heading(t("Why texts failed"))
        for words, cause in results.causes:
            page.fact(_number(cause.messages), f"{t(words.happened)} {t(words.advice)}")
    return bytes(page.output())


def _write_funnel(page: Page, results: Results) -> None:
    page.heading(t("From recipients to phones"))
    for label, step in results.funnel:
        page.use(9, GREY)
        page.cell(50, 6, page.shown(label))
        page.use(9, BLACK)
        page.cell(30, 6, _number(step.number), align="R")
        page.set_fill_color(*_COLOURS[step.key])
        page.rect(page.get_x() + 4, page.get_y() + 1, max(86 * step.share / 100, 0.1), 4, style="F")
        page.ln(6)


def _write_texts(page: Page, results: Results) -> None:
    if results.test is None:
        return
    page.heading(t("The test of texts"))
    page.rows(
        [50, 30, 30, 30],
        [
            [
                f"{t('Text %(letter)s', letter=each.letter)}{' · ' + t('Winner') if each.is_winner else ''}",
                _number(each.recipients),
                _number(each.delivered),
                f"{_number(each.clicked)} ({_percent(each.clicked_rate)})",
            ]
            for each in results.test.texts
        ],
        head=[t("Text"), t("Recipients"), t("Delivered"), t("Opened a link")],
    )


def _write_outcomes(page: Page, results: Results) -> None:
    p = results.progress
    counts = (
        (t("Delivered"), p.delivered),
        (t("On their way"), p.sent),
        (t("Failed"), p.failed),
        (t("Skipped"), p.skipped),
        (t("Unconfirmed"), p.unconfirmed),
        (t("Cancelled"), p.cancelled),
        (t("Still to go"), p.pending + p.sending),
    )
    page.heading(t("Recipients by outcome"))
    page.rows([50, 30], [[label, _number(number)] for label, number in counts], head=[t("Outcome"), t("Recipients")])


def _draw(page: Page, drawn: Drawn) -> None:
    """The picture of the page: the same numbers, in millimetres."""
    chart = drawn.chart
    scale = _WIDTH / chart.width
    if page.will_page_break(chart.height * scale + 12):
        page.add_page()
    left, top = page.l_margin, page.get_y()
    page.set_draw_color(*PALE)
    page.set_line_width(0.15)
    page.use(7, GREY)
    for y, value in chart.lines:
        page.line(left + chart.left * scale, top + y * scale, left + _WIDTH, top + y * scale)
        page.set_xy(left, top + y * scale - 2)
        page.cell(chart.left * scale - 2, 4, _number(value), align="R")
    for bar in chart.bars:
        page.set_fill_color(*_COLOURS[bar.event])
        page.rect(left + bar.x * scale, top + bar.y * scale, bar.width * scale, bar.height * scale, style="F")
    for x, place in chart.ticks:
        page.set_xy(left + x * scale - 20, top + chart.bottom * scale + 1)
        page.cell(40, 4, drawn.labels[place], align="C")
    page.set_xy(left, top + chart.height * scale)
    for event, label in drawn.events.items():
        page.set_fill_color(*_COLOURS[event])
        page.rect(page.get_x(), page.get_y() + 1, 3, 3, style="F")
        page.set_x(page.get_x() + 4)
        page.use(8, GREY)
        page.cell(page.get_string_width(page.shown(label)) + 6, 5, page.shown(label))
    page.ln(5)
    told = [t("Each column is %(time)s.", time=drawn.lasts)]
    told += [
        t("%(event)s later: %(number)s.", event=drawn.events[event], number=_number(number))
        for event, number in drawn.series.later.items()
    ]
    page.line_of(" ".join(told), size=8, colour=GREY)


def _moment(results: Results, at: datetime | None) -> str:
    """Empty for none."""
    return localised.moment(at, results.shop.timezone, languages.reader()) if at else ""


def _percent(rate: float | None) -> str:
    return "–" if rate is None else localised.percent(100 * rate, languages.reader())


def _number(value: int) -> str:
    return localised.number(value, languages.reader())
