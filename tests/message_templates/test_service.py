from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from blossom.audit.models import AuditEntry
from blossom.message_templates import queries, service
from blossom.message_templates.errors import TemplateNameTaken, TextError
from blossom.message_templates.models import MessageTemplate
from blossom.message_templates.rules.catalogue import Trigger
from blossom.platform import clock
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from tests.message_templates.saved import create_template, written
from tests.personas import Personas

noon = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_template_is_saved_as_it_compiles(personas: Personas) -> None:
    with clock.frozen_at(noon):
        made = create_template(personas.ours.id, body="one\r\ntwo", language="el-GR", trigger=Trigger.ORDER)
    session.expire_all()
    kept = queries.get_template(personas.ours.id, made.id)
    assert (kept.name, kept.body, kept.trigger, kept.language) == ("Summer sale", "one\ntwo", "order", "el-GR")
    assert (kept.created_at, kept.updated_at) == (noon, noon)


def test_a_text_that_cannot_be_sent_is_not_saved(personas: Personas) -> None:
    with pytest.raises(TextError):
        create_template(personas.ours.id, body="{{ frist_name }}")
    assert queries.count_templates(personas.ours.id) == 0


def test_a_variable_belongs_to_its_trigger(personas: Personas) -> None:
    create_template(personas.ours.id, body="{{ order_number }}", trigger=Trigger.ORDER)
    with pytest.raises(TextError):
        create_template(personas.ours.id, name="Other", body="{{ order_number }}", trigger=Trigger.CAMPAIGN)


@pytest.mark.parametrize("name", ["Καλοκαίρι", "ΚΑΛΟΚΑΊΡΙ", " καλοκαίρι "])
def test_a_name_is_taken_whatever_its_case(personas: Personas, name: str) -> None:
    create_template(personas.ours.id, name="Καλοκαίρι")
    with pytest.raises(TemplateNameTaken):
        create_template(personas.ours.id, name=name)
    # The caller's transaction goes on.
    create_template(personas.ours.id, name="Χειμώνας")
    create_template(personas.theirs.id, name="Καλοκαίρι")


def test_an_update_replaces_all_and_keeps_its_own_name(personas: Personas) -> None:
    with clock.frozen_at(noon):
        made = create_template(personas.ours.id)
    with clock.frozen_at(noon + timedelta(hours=1)):
        service.update_template(personas.ours.id, made.id, **{**written, "body": "New"}, actor="test")
    session.expire_all()
    kept = queries.get_template(personas.ours.id, made.id)
    assert (kept.body, kept.created_at, kept.updated_at) == ("New", noon, noon + timedelta(hours=1))


def test_an_update_to_a_taken_name_changes_nothing(personas: Personas) -> None:
    create_template(personas.ours.id, name="A")
    other = create_template(personas.ours.id, name="B")
    with pytest.raises(TemplateNameTaken):
        service.update_template(personas.ours.id, other.id, **{**written, "name": "a"}, actor="test")
    session.expire_all()
    assert queries.get_template(personas.ours.id, other.id).name == "B"


def test_a_duplicate_has_a_name_of_its_own(personas: Personas) -> None:
    first = create_template(personas.ours.id)
    names = [service.duplicate_template(personas.ours.id, first.id, actor="test").name for _ in range(2)]
    assert names == ["Summer sale (2)", "Summer sale (3)"]


def test_a_deleted_template_is_gone(personas: Personas) -> None:
    made = create_template(personas.ours.id)
    service.delete_template(personas.ours.id, made.id, actor="test")
    with pytest.raises(NotFound):
        queries.get_template(personas.ours.id, made.id)


def test_their_templates_are_not_ours(personas: Personas) -> None:
    theirs = create_template(personas.theirs.id)
    ours = personas.ours.id
    for attempt in (
        lambda: queries.get_template(ours, theirs.id),
        lambda: service.update_template(ours, theirs.id, **written, actor="test"),
        lambda: service.duplicate_template(ours, theirs.id, actor="test"),
        lambda: service.delete_template(ours, theirs.id, actor="test"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert queries.list_templates(ours) == []


def test_a_list_is_read_by_offset_and_by_id_and_by_trigger(personas: Personas) -> None:
    made = [create_template(personas.ours.id, name=f"T{n}") for n in range(5)]
    order = create_template(personas.ours.id, name="Order", trigger=Trigger.ORDER)
    newest_first = [each.id for each in reversed([*made, order])]
    assert [each.id for each in queries.list_templates(personas.ours.id, offset=1, limit=2)] == newest_first[1:3]
    assert [each.id for each in queries.list_templates(personas.ours.id, before=made[2].id)] == newest_first[4:]
    assert queries.list_templates(personas.ours.id, trigger=Trigger.ORDER) == [order]
    assert queries.count_templates(personas.ours.id) == 6
    assert queries.count_templates(personas.ours.id, trigger=Trigger.ORDER) == 1


def test_each_deed_is_written_down_with_who_did_it(personas: Personas) -> None:
    made = create_template(personas.ours.id, actor="api_key:7")
    service.update_template(personas.ours.id, made.id, **written, actor="api_key:8")
    service.delete_template(personas.ours.id, made.id, actor="api_key:9")
    session.flush()
    entries = session.scalars(
        select(AuditEntry).where(AuditEntry.shop_id == personas.ours.id, AuditEntry.subject_id == made.id)
    )
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("template.created", "api_key:7"),
        ("template.updated", "api_key:8"),
        ("template.deleted", "api_key:9"),
    ]


def test_the_database_knows_the_triggers(personas: Personas) -> None:
    for trigger in Trigger:
        create_template(personas.ours.id, name=trigger, body="Hi", trigger=trigger)
    with pytest.raises(IntegrityError, match="ck_message_templates_trigger"):
        session.execute(text("UPDATE message_templates SET trigger = 'birthday'"))


def test_the_database_refuses_a_doubled_name(personas: Personas) -> None:
    made = create_template(personas.ours.id)
    copy = MessageTemplate(
        shop_id=made.shop_id,
        name="x",
        name_key=made.name_key,
        trigger="order",
        body="x",
        language="en",
        created_at=noon,
        updated_at=noon,
    )
    session.add(copy)
    with pytest.raises(IntegrityError, match="name_key"):
        session.flush()
