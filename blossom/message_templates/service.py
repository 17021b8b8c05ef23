"""Writing the saved texts of a shop. Flushes; the caller's transaction commits."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from blossom.audit import service as audit
from blossom.message_templates import queries
from blossom.message_templates.errors import TemplateNameTaken
from blossom.message_templates.models import MessageTemplate
from blossom.message_templates.rules import naming
from blossom.message_templates.rules.catalogue import Trigger
from blossom.message_templates.rules.language import compile_text
from blossom.platform import clock
from blossom.platform.db import session


def create_template(
    shop_id: int, *, name: str, body: str, trigger: Trigger, language: str, actor: str
) -> MessageTemplate:
    """A new template. Raises `TextError` if its text can't be sent as written, `TemplateNameTaken`."""
    moment = clock.now()
    template = MessageTemplate(shop_id=shop_id, created_at=moment, updated_at=moment)
    _write(template, name, body, trigger, language)
    _record(template, "created", actor)
    return template


def update_template(
    shop_id: int, template_id: int, *, name: str, body: str, trigger: Trigger, language: str, actor: str
) -> MessageTemplate:
    """The template with all this in place of what it had. Raises `NotFound`, `TextError`, `TemplateNameTaken`."""
    template = queries.get_template(shop_id, template_id)
    _write(template, name, body, trigger, language)
    _record(template, "updated", actor)
    return template


def duplicate_template(shop_id: int, template_id: int, *, actor: str) -> MessageTemplate:
    """A copy under a free name: “Welcome (2)” of “Welcome”. Raises `NotFound`."""
    original = queries.get_template(shop_id, template_id)
    return create_template(
        shop_id,
        name=naming.free_name(original.name, queries.name_keys(shop_id)),
        body=original.body,
        trigger=Trigger(original.trigger),
        language=original.language,
        actor=actor,
    )


def delete_template(shop_id: int, template_id: int, *, actor: str) -> None:
    """Raises `NotFound`. Campaigns made from it keep their text."""
    template = queries.get_template(shop_id, template_id)
    session.delete(template)
    session.flush()
    _record(template, "deleted", actor)


def _write(template: MessageTemplate, name: str, body: str, trigger: Trigger, language: str) -> None:
    compiled = compile_text(body, trigger, language)
    try:
        with session.begin_nested():  # so that a taken name leaves the caller's transaction usable
            template.name = name
            template.name_key = naming.name_key(name)
            template.trigger = trigger
            template.body = compiled.source
            template.language = language
            template.updated_at = clock.now()
            session.add(template)
    except IntegrityError as error:
        if "name_key" in str(error.orig):
            raise TemplateNameTaken(name) from None
        raise


def _record(template: MessageTemplate, deed: str, actor: str) -> None:
    audit.record(
        template.shop_id,
        f"template.{deed}",
        actor=actor,
        subject_type="template",
        subject_id=template.id,
        details={"name": template.name},
    )
