"""`/templates`: the saved texts of a shop, each written beside what its reader gets, and how to say it for less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, make_response, redirect, request, url_for

from blossom.message_templates import forms, queries, service
from blossom.message_templates.errors import TemplateNameTaken, TextError
from blossom.message_templates.forms import TemplateForm
from blossom.message_templates.models import MessageTemplate
from blossom.message_templates.rules import linter, opt_out
from blossom.message_templates.rules.capitals import greek_values
from blossom.message_templates.rules.catalogue import MARKETING, Trigger, examples, variables
from blossom.message_templates.rules.cures import CureOffer, cures_of
from blossom.message_templates.rules.mending import Mend, mend
from blossom.message_templates.rules.preview import Preview, measured, preview
from blossom.message_templates.rules.values import full_name
from blossom.message_templates.rules.wording import CURE_WORDS, TRIGGER_WORDS, VARIABLE_WORDS, snippets
from blossom.platform import htmx, languages, localised, pages
from blossom.platform.access import Principal
from blossom.platform.languages import noted, t
from blossom.shops import queries as shops
from blossom.shops.models import Shop

views = Blueprint("templates", __name__)

PAGE_SIZE = 20
LONGEST_SEARCH = 100

_TEMPLATE = "/templates/<int:template_id>"


@dataclass(frozen=True)
class Row:
    """A template of the list, and what is to be said about its text as most people would get it."""

    template: MessageTemplate
    segments: int
    can_send: bool


@dataclass(frozen=True)
class Look:
    """A text as somebody gets it. `mends`: of each finding, in order. `sums`: nobody is texted here, so nothing is
    summed."""

    text: Preview
    mends: Sequence[Mend | None]
    offers: Sequence[CureOffer]
    sums: None = None


@views.get("/templates")
def template_list() -> Response:
    """The newest first; `?q=` finds by name."""
    return _list(pages.caller_with("templates:read"))


@views.get("/templates/new")
def new_template() -> Response:
    return _page(pages.caller_with("templates:write"), None, TemplateForm(language=languages.reader()))


@views.post("/templates/new")
def create_template() -> Response:
    caller = pages.caller_with("templates:write")
    form = forms.read_template(request.form, Trigger.CAMPAIGN, languages.supported())
    return _save(caller, None, form)


@views.get(_TEMPLATE)
def template_page(template_id: int) -> Response:
    caller = pages.caller_with("templates:read")
    found = queries.get_template(caller.shop_id, template_id)
    return _page(caller, found, _as_typed(found))


@views.post(_TEMPLATE)
def save_template(template_id: int) -> Response:
    """Saves over what the page showed; what somebody else has saved since is not overwritten unseen (409)."""
    caller = pages.caller_with("templates:write")
    found = queries.get_template(caller.shop_id, template_id, hold=True)
    form = forms.read_template(request.form, Trigger(found.trigger), _locales(found))
    mine, theirs = (form.name, form.body, form.language), (found.name, found.body, found.language)
    if form.seen != _state_of(found) and mine != theirs:
        return _page(caller, found, replace(form, seen=_state_of(found)), changed=True)
    return _save(caller, found, form)


@views.post("/templates/preview")
def preview_template() -> Response:
    """All parts of the page that follow from what is typed. Saves nothing."""
    caller = pages.caller_with("templates:read")
    given = request.form.get("trigger", "")
    trigger = Trigger(given) if given in list(Trigger) else Trigger.CAMPAIGN
    form = forms.read_template(request.form, trigger, {*languages.supported(), request.form.get("stored", "")})
    shop = shops.get_shop(caller.shop_id)
    context = _shown(shop, form, trigger)
    return htmx.page_or_partial("message_templates/_live.html", "message_templates/_live.html", **context)


@views.post(f"{_TEMPLATE}/duplicate")
def duplicate_template(template_id: int) -> Response:
    caller = pages.caller_with("templates:write")
    made = service.duplicate_template(caller.shop_id, template_id, actor=caller.actor)
    return _done(caller, t("Duplicated as “%(name)s”", name=made.name), made.id)


@views.get(f"{_TEMPLATE}/delete")
def ask_to_delete(template_id: int) -> Response:
    caller = pages.caller_with("templates:write")
    found = queries.get_template(caller.shop_id, template_id)
    return htmx.page_or_partial(
        "message_templates/delete.html",
        "message_templates/_delete.html",
        shop=shops.get_shop(caller.shop_id),
        template=found,
    )


@views.post(f"{_TEMPLATE}/delete")
def delete_template(template_id: int) -> Response:
    caller = pages.caller_with("templates:write")
    service.delete_template(caller.shop_id, template_id, actor=caller.actor)
    return _done(caller, t("Template deleted"))


def _list(caller: Principal, focused: int | None = None) -> Response:
    """`focused`: the row that was just made, and takes the focus."""
    asked = request.args if request.method == "GET" else {}
    words = " ".join(asked.get("q", "").split())[:LONGEST_SEARCH]
    before = pages.row_asked("before") if request.method == "GET" else None
    shop = shops.get_shop(caller.shop_id)
    found = queries.list_templates(caller.shop_id, words=words, before=before, limit=PAGE_SIZE + 1)
    return htmx.page_or_partial(
        "message_templates/list.html",
        "message_templates/_list.html",
        shop=shop,
        rows=[_row(shop, each) for each in found[:PAGE_SIZE]],
        words=words,
        before=before,
        older_than=found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
        focused=focused,
        triggers=TRIGGER_WORDS,
        may_write="templates:write" in caller.scopes,
        may_compose="campaigns:write" in caller.scopes,
    )


def _row(shop: Shop, template: MessageTemplate) -> Row:
    trigger, site = Trigger(template.trigger), shops.proxy_address(shop.id)
    findings = linter.lint(
        template.body,
        trigger,
        language=template.language,
        opt_out_line=shop.opt_out_text,
        keywords=shop.stop_keywords,
        site=site,
    )
    sent = _as_sent(shop, template.body, trigger, template.language)
    size = linter.example_segments(sent, trigger, template.language, site)
    return Row(template, size, not linter.blocks_sending(findings))


def _done(caller: Principal, told: str, focused: int | None = None) -> Response:
    """The list anew, and a word."""
    if not htmx.wants_partial():
        return make_response(redirect(url_for("templates.template_list"), 303))
    response = _list(caller, focused)
    response.headers["HX-Push-Url"] = url_for("templates.template_list")
    return htmx.toast(response, told)


def _save(caller: Principal, found: MessageTemplate | None, form: TemplateForm) -> Response:
    if form.faults:
        return _page(caller, found, form)
    trigger = Trigger(found.trigger) if found else Trigger.CAMPAIGN
    values: dict[str, Any] = {"name": form.name, "body": form.body, "trigger": trigger, "language": form.language}
    try:
        if found is None:
            saved = service.create_template(caller.shop_id, **values, actor=caller.actor)
        else:
            saved = service.update_template(caller.shop_id, found.id, **values, actor=caller.actor)
    except TemplateNameTaken:
        return _page(caller, found, replace(form, faults={"name": noted("is another template's already")}))
    except TextError:  # what, and where, is told beneath the text, as while typing
        return _page(caller, found, replace(form, faults={"body": noted("can't be sent as it is written")}))
    address = url_for("templates.template_page", template_id=saved.id)
    if not htmx.wants_partial():
        return make_response(redirect(address, 303))
    response = _page(caller, saved, replace(form, body=saved.body, seen=_state_of(saved)), saved=True)
    response.headers["HX-Replace-Url"] = address
    return htmx.toast(response, t("Template saved"))


def _page(
    caller: Principal,
    found: MessageTemplate | None,
    form: TemplateForm,
    *,
    saved: bool = False,
    changed: bool = False,
) -> Response:
    trigger = Trigger(found.trigger) if found else Trigger.CAMPAIGN
    shop = shops.get_shop(caller.shop_id)
    names = localised.forms(languages.reader()).languages
    response = htmx.page_or_partial(
        "message_templates/template.html",
        "message_templates/_template.html",
        **_shown(shop, form, trigger),
        template=found,
        saved=saved,
        changed=changed,
        triggers=TRIGGER_WORDS,
        variables=snippets(trigger),
        locales=[(locale, names.get(locale, locale)) for locale in _locales(found)],
        may_write="templates:write" in caller.scopes,
        may_compose="campaigns:write" in caller.scopes and trigger is Trigger.CAMPAIGN,
    )
    response.status_code = 422 if form.faults else 409 if changed else 200
    return response


def _shown(shop: Shop, form: TemplateForm, trigger: Trigger) -> dict[str, Any]:
    """What follows from what is typed."""
    known = variables(trigger)
    return {
        "shop": shop,
        "form": form,
        "trigger": trigger,
        "look": _look(shop, form, trigger),
        "asked": [
            (name, VARIABLE_WORDS[name], str(known[name].example(form.language))) for name in forms.askable(trigger)
        ],
        "cure_words": CURE_WORDS,
    }


def _look(shop: Shop, form: TemplateForm, trigger: Trigger) -> Look:
    site = shops.proxy_address(shop.id)
    values = {"shop_name": shop.name, "sender": shop.sender, **_values(form, trigger)}
    text = preview(
        form.body,
        trigger,
        language=form.language,
        values=values,
        opt_out_line=shop.opt_out_text,
        keywords=shop.stop_keywords,
        site=site,
    )

    person = examples(trigger, form.language) | values

    def measure(source: str) -> int:
        return measured(source, trigger, language=form.language, values=person, site=site)

    cures = {}
    if text.text and trigger in MARKETING:  # what saves is measured with the opt-out line, which others don't have
        cures = cures_of(
            form.body,
            measure,
            line=_line(shop, form.language),
            keywords=shop.stop_keywords,
            greek=greek_values(person),
        )
    mends = [mend(form.body, finding, trigger, t("there")) for finding in text.findings]
    return Look(text, mends, [CureOffer(name, cure, None) for name, cure in cures.items()])


def _values(form: TemplateForm, trigger: Trigger) -> dict[str, str | None]:
    """What stands in for the examples."""
    values: dict[str, str | None] = {}
    if form.nameless:
        values = {name: None for name, variable in variables(trigger).items() if variable.nullable}
    values |= form.values
    if {"first_name", "last_name"} & form.values.keys():
        values["full_name"] = full_name(form.values.get("first_name"), form.values.get("last_name"))
    return values


def _as_sent(shop: Shop, body: str, trigger: Trigger, language: str) -> str:
    if trigger not in MARKETING:
        return body
    return opt_out.with_opt_out(body, _line(shop, language), keywords=shop.stop_keywords)


def _line(shop: Shop, language: str) -> str:
    return opt_out.line_of(shop.opt_out_text, shop.stop_keywords, language=language)


def _as_typed(found: MessageTemplate) -> TemplateForm:
    return TemplateForm(name=found.name, body=found.body, language=found.language, seen=_state_of(found))


def _state_of(found: MessageTemplate) -> str:
    return found.updated_at.isoformat()


def _locales(found: MessageTemplate | None) -> list[str]:
    """The languages to choose among: ours, and one that the API has given the template."""
    return list(dict.fromkeys([*languages.supported(), *([found.language] if found else [])]))
