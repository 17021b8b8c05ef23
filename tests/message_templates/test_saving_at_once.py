"""Two people save one template at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import TestResponse

from blossom.message_templates.models import MessageTemplate
from blossom.platform import db
from blossom.shops.models import Shop
from tests.admin.conftest import Visitor
from tests.faults.processes import until
from tests.message_templates.saved import create_template


@pytest.fixture
def app(committed_app: Flask) -> Flask:
    """Instead of the one that is undone: two connections must see the same rows."""
    return committed_app


def test_the_second_sees_what_the_first_has_written(app: Flask, visitor: Visitor, ours: Shop) -> None:
    made = create_template(ours.id)
    template_id, seen = made.id, made.updated_at
    db.session.commit()

    def save() -> TestResponse:
        data = {"name": "Mine", "body": "Mine. Reply STOP", "language": "en", "seen": seen.isoformat()}
        with app.app_context():
            return visitor.fetch(f"/templates/{template_id}", method="POST", data=data)

    with ThreadPoolExecutor(1) as pool:
        with db.engine().begin() as first:
            write = text("UPDATE message_templates SET body = 'Theirs. Reply STOP', updated_at = :at WHERE id = :id")
            first.execute(write, {"id": template_id, "at": seen + timedelta(seconds=1)})
            second = pool.submit(save)
            with db.engine().connect() as looking:
                waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                until(lambda: looking.execute(waiting).scalar(), "the second waits for the first")
        assert second.result(timeout=60).status_code == 409
    db.session.expire_all()
    assert db.session.get_one(MessageTemplate, template_id).body == "Theirs. Reply STOP"
