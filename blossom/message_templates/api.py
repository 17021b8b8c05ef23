"""JSON: the saved texts, what a text can say, and the preview as it is typed."""

from __future__ import annotations

from collections.abc import Iterable

from blossom.message_templates import queries, service
from blossom.message_templates.forms import (
    ChangeAnswer,
    CureAnswer,
    FindingAnswer,
    NonGsmAnswer,
    PreviewAnswer,
    PreviewInput,
    TemplateAnswer,
    TemplateInput,
    TemplatesQuery,
    UnrenderedAnswer,
    VariableAnswer,
    VariablesAnswer,
    VariablesQuery,
)
from blossom.message_templates.models import MessageTemplate
from blossom.message_templates.rules import linter
from blossom.message_templates.rules.catalogue import SENDING_NOW, Trigger, VariableType, variables
from blossom.message_templates.rules.characters import Cure, explain
from blossom.message_templates.rules.filters import FILTERS
from blossom.message_templates.rules.linter import Finding
from blossom.message_templates.rules.preview import Preview
from blossom.message_templates.rules.preview import preview as preview_text
from blossom.platform.api import Api, Page, Principal, encode_cursor
from blossom.platform.errors import InvalidInput
from blossom.shops import queries as shops
from blossom.shops.models import Shop

api = Api("templates")

_EXAMPLE = {
    "name": "Summer sale",
    "body": 'Hi {{ first_name | default: "there" }}, 20% off until Sunday: https://shop.example/sale',
    "trigger": "campaign",
    "language": "en",
}
_REFUSED = {"invalid_text": 422, "unknown_variable": 422, "unknown_filter": 422, "unknown_tag": 422}
_REFUSED |= {"invalid_link": 422, "control_character": 422, "text_too_long": 422, "template_name_taken": 409}


@api.get(
    "/templates", scope="templates:read", query=TemplatesQuery, answer=Page[TemplateAnswer], summary="List templates"
)
def list_templates(caller: Principal, query: TemplatesQuery) -> Page[TemplateAnswer]:
    shop = shops.get_shop(caller.shop_id)
    found = queries.list_templates(
        caller.shop_id, trigger=query.trigger, before=query.cursor, offset=query.offset, limit=query.page_size + 1
    )
    shown = found[: query.page_size]
    return Page[TemplateAnswer](
        items=[_template(template, shop) for template in shown],
        page=None if query.cursor else query.page,
        page_size=query.page_size,
        total=queries.count_templates(caller.shop_id, trigger=query.trigger),
        next_cursor=encode_cursor(shown[-1].id) if len(found) > len(shown) else None,
    )


@api.post(
    "/templates",
    scope="templates:write",
    body=TemplateInput,
    answer=TemplateAnswer,
    status=201,
    summary="Save a template",
    description="A text that can't be sent as it is written is refused, with line and column in `details`.",
    errors=_REFUSED,
    body_example=_EXAMPLE,
)
def create_template(caller: Principal, body: TemplateInput) -> TemplateAnswer:
    template = service.create_template(
        caller.shop_id,
        name=body.name,
        body=body.body,
        trigger=body.trigger,
        language=body.language,
        actor=caller.actor,
    )
    return _template(template, shops.get_shop(caller.shop_id))


@api.get("/templates/<int:template_id>", scope="templates:read", answer=TemplateAnswer, summary="Read a template")
def get_template(caller: Principal, template_id: int) -> TemplateAnswer:
    return _template(queries.get_template(caller.shop_id, template_id), shops.get_shop(caller.shop_id))


@api.put(
    "/templates/<int:template_id>",
    scope="templates:write",
    body=TemplateInput,
    answer=TemplateAnswer,
    summary="Replace a template",
    description="Campaigns made from it keep their text.",
    errors=_REFUSED,
    body_example=_EXAMPLE,
)
def update_template(caller: Principal, template_id: int, body: TemplateInput) -> TemplateAnswer:
    template = service.update_template(
        caller.shop_id,
        template_id,
        name=body.name,
        body=body.body,
        trigger=body.trigger,
        language=body.language,
        actor=caller.actor,
    )
    return _template(template, shops.get_shop(caller.shop_id))


@api.delete("/templates/<int:template_id>", scope="templates:write", summary="Delete a template")
def delete_template(caller: Principal, template_id: int) -> None:
    service.delete_template(caller.shop_id, template_id, actor=caller.actor)


@api.post(
    "/templates/<int:template_id>/duplicate",
    scope="templates:write",
    answer=TemplateAnswer,
    status=201,
    summary="Copy a template under a free name",
)
def duplicate_template(caller: Principal, template_id: int) -> TemplateAnswer:
    template = service.duplicate_template(caller.shop_id, template_id, actor=caller.actor)
    return _template(template, shops.get_shop(caller.shop_id))


@api.get(
    "/templates/variables",
    scope="templates:read",
    query=VariablesQuery,
    answer=VariablesAnswer,
    summary="What a text for a trigger can say",
)
def list_variables(caller: Principal, query: VariablesQuery) -> VariablesAnswer:
    return VariablesAnswer(
        trigger=query.trigger,
        sent_now=query.trigger in SENDING_NOW,
        variables=[
            VariableAnswer(
                name=variable.name,
                type=variable.type,
                source=variable.source,
                nullable=variable.nullable,
                example=str(variable.example_en),
            )
            for variable in variables(query.trigger).values()
        ],
        filters={name: spec.usage for name, spec in FILTERS.items()},
    )


@api.post(
    "/templates/preview",
    scope="templates:read",
    body=PreviewInput,
    answer=PreviewAnswer,
    summary="See a text as somebody would get it",
    description="For use while typing: a text with faults is answered with its findings, not refused.",
    body_example={"body": _EXAMPLE["body"], "values": {"first_name": "Zoë"}},
)
def preview(caller: Principal, body: PreviewInput) -> PreviewAnswer:
    _check_values(body.trigger, body.values)
    shop = shops.get_shop(caller.shop_id)
    seen = preview_text(
        body.body,
        body.trigger,
        language=body.language,
        values={"shop_name": shop.name, "sender": shop.sender} | body.values,
        opt_out_line=shop.opt_out_text,
        keywords=shop.stop_keywords,
        add_opt_out=body.add_opt_out,
        site=shops.proxy_address(shop.id),
    )
    return _preview(seen)


def _check_values(trigger: Trigger, values: Iterable[str]) -> None:
    known = variables(trigger)
    texts = [name for name, variable in known.items() if variable.type in (VariableType.TEXT, VariableType.URL)]
    faults = {f"values.{name}": f"is not one of {', '.join(texts)}" for name in values if name not in texts}
    if faults:
        raise InvalidInput(faults)


def _template(template: MessageTemplate, shop: Shop) -> TemplateAnswer:
    findings = linter.lint(
        template.body,
        Trigger(template.trigger),
        language=template.language,
        opt_out_line=shop.opt_out_text,
        keywords=shop.stop_keywords,
        site=shops.proxy_address(shop.id),
    )
    return TemplateAnswer(
        id=template.id,
        name=template.name,
        body=template.body,
        trigger=Trigger(template.trigger),
        language=template.language,
        created_at=template.created_at,
        updated_at=template.updated_at,
        can_send=not linter.blocks_sending(findings),
        findings=_findings(findings),
    )


def _findings(findings: Iterable[Finding]) -> list[FindingAnswer]:
    return [
        FindingAnswer(
            level=found.level,
            code=found.code,
            message=found.message,
            line=found.line,
            column=found.column,
            actionable=found.actionable,
        )
        for found in findings
    ]


def _preview(seen: Preview) -> PreviewAnswer:
    error = seen.unrendered
    return PreviewAnswer(
        body=seen.source,
        text=seen.text,
        unrendered=UnrenderedAnswer(code=error.code, message=error.message, actionable=error.actionable)
        if error
        else None,
        can_send=seen.can_send,
        encoding=seen.size.encoding,
        units=seen.size.units,
        segments=seen.size.segments,
        per_segment=seen.size.per_segment,
        units_left=seen.size.units_left,
        parts=list(seen.parts),
        non_gsm=[
            NonGsmAnswer(char=item.char, position=item.position, why=explain(item.char)) for item in seen.size.non_gsm
        ],
        findings=_findings(seen.findings),
        cures={name: _cure(cure) for name, cure in seen.cures.items()},
    )


def _cure(cure: Cure) -> CureAnswer:
    return CureAnswer(
        body=cure.text,
        changes=[
            ChangeAnswer(char=change.char, replacement=change.replacement, count=change.count, why=change.why)
            for change in cure.changes
        ],
        segments_before=cure.segments_before,
        segments_after=cure.segments_after,
    )
