"""A file's parts and what else is done to it meanwhile, on real connections."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from blossom.platform.db import session, transaction
from blossom.platform.errors import NotFound
from blossom.uploads import rules, service
from blossom.uploads.models import Upload, UploadPart
from blossom.uploads.service import content, receiving, running
from tests.factories.shops import create_shop

LONG_ENOUGH_TO_COMMIT_SECONDS = 0.5


def begun() -> tuple[int, int]:
    """A shop, and a file of three bytes that is coming in."""
    with transaction():
        shop = create_shop()
        return shop.id, service.begin(shop.id, "people.csv", 3, actor="staff:1").id


def discard(app: Flask, shop_id: int, upload_id: int) -> None:
    with app.app_context(), transaction():
        service.discard(shop_id, upload_id)


def kept() -> tuple[int, int]:
    with transaction():
        return session.query(Upload).count(), session.query(UploadPart).count()


def test_a_part_that_comes_as_its_file_is_discarded_breaks_nothing(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part has seen its file; before the part is kept, another tab lets go of the file."""
    shop_id, upload_id = begun()
    real = content.sealed
    with ThreadPoolExecutor(1) as pool:
        discarding: list[Future[None]] = []

        def sealed(*given: Any) -> bytes:
            discarding.append(pool.submit(discard, committed_app, shop_id, upload_id))
            wait_for(discarding, LONG_ENOUGH_TO_COMMIT_SECONDS)
            return real(*given)

        monkeypatch.setattr(receiving.content, "sealed", sealed)
        with transaction():
            service.receive_part(shop_id, upload_id, 0, b"abc")
        discarding[0].result(20)
    assert kept() == (0, 0)


def test_a_part_of_a_file_that_was_discarded_is_told_so(committed_app: Flask) -> None:
    shop_id, upload_id = begun()
    discard(committed_app, shop_id, upload_id)
    with transaction(), pytest.raises(NotFound):
        service.receive_part(shop_id, upload_id, 0, b"abc")


def test_a_file_stays_in_hand_while_one_chunk_takes_longer_than_its_time(
    committed_app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed worker's file waits for is short; what a slow worker needs is as long as it takes."""
    monkeypatch.setattr(rules, "IN_HAND", timedelta(seconds=1))
    monkeypatch.setattr(running, "BEAT_SECONDS", 0.1)
    with transaction():
        shop_id = create_shop().id
        data = b"Phone\n+306944000001\n"
        upload_id = service.begin(shop_id, "people.csv", len(data), actor="staff:1").id
        service.receive_part(shop_id, upload_id, 0, data)
        service.end_receiving(shop_id, upload_id, actor="staff:1")
        service.choose_columns(shop_id, upload_id, {"phone": "Phone"}, everybody_agreed=False)
    begun, others = list[int](), list[int]()
    real = running._Turn._is_counted

    def slowly(turn: Any) -> bool:
        begun.append(turn._run.turn)
        if len(begun) == 1:
            time.sleep(1.5)  # longer than the file is in hand
            others.append(service.run_due())
        return real(turn)

    monkeypatch.setattr(running._Turn, "_is_counted", slowly)
    assert service.run_due() == 1
    assert others == [0], "nobody else took it"
    with transaction():
        upload = session.get_one(Upload, upload_id)
        assert (upload.state, upload.turn, upload.in_hand_until) == ("checked", 1, None)
