"""Where files stand, and what became of their lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import func, select

from blossom.contacts import queries as contacts
from blossom.contacts.models import ImportRefusal
from blossom.contacts.rules import ImportReport
from blossom.platform.db import session
from blossom.platform.errors import NotFound
from blossom.uploads.models import Upload, UploadPart
from blossom.uploads.rules import OPEN, WORKING, State

ON_A_PAGE = 20
_AT_A_TIME = 500


@dataclass(frozen=True)
class Standing:
    """A file with what was counted of it. `check`: what an import would do; `report`: what it did, or has done so far.
    `has_refused_lines`: whether those that were refused can still be had."""

    upload: Upload
    check: ImportReport | None
    report: ImportReport | None

    @property
    def state(self) -> State:
        return State(self.upload.state)

    @property
    def is_working(self) -> bool:
        return self.state in WORKING

    @property
    def counted(self) -> ImportReport | None:
        """What the worker counts now, or counted last; None of an import that has not begun to count."""
        return self.report if self.report is not None or self.state is State.IMPORTING else self.check

    @property
    def first_lines(self) -> list[list[str]]:
        """The cells of the file's first lines."""
        found: list[list[str]] = orjson.loads(self.upload.sample or "[]")
        return found

    @property
    def has_refused_lines(self) -> bool:
        return bool(self.report and self.report.refused and self.upload.expires_at)


def upload(shop_id: int, upload_id: int, *, lock: bool = False) -> Upload:
    """Raises `NotFound`."""
    query = select(Upload).where(Upload.shop_id == shop_id, Upload.id == upload_id)
    found = session.scalars((query.with_for_update() if lock else query).execution_options(populate_existing=True))
    one = found.one_or_none()
    if one is None:
        raise NotFound("import")
    return one


def standing(shop_id: int, upload_id: int) -> Standing:
    """Raises `NotFound`."""
    return _standing(upload(shop_id, upload_id))


def recent(shop_id: int, before_id: int | None = None) -> tuple[list[Standing], int | None]:
    """A page of the shop's files, the newest first, and the id after which the next page begins."""
    query = select(Upload).where(Upload.shop_id == shop_id).order_by(Upload.id.desc()).limit(ON_A_PAGE + 1)
    if before_id is not None:
        query = query.where(Upload.id < before_id)
    found = session.scalars(query).all()
    shown = found[:ON_A_PAGE]
    reports = contacts.import_counts(shop_id, [each.import_id for each in shown if each.import_id is not None])
    return (
        [Standing(each, None, reports.get(each.import_id or 0)) for each in shown],
        shown[-1].id if len(found) > ON_A_PAGE else None,
    )


def open_count(shop_id: int) -> int:
    """How many files the shop has waiting."""
    states = [state.value for state in OPEN]
    query = (
        select(func.count())
        .select_from(Upload)
        .where(Upload.shop_id == shop_id, Upload.state.in_(states), Upload.expires_at.is_not(None))
    )
    return session.scalar(query) or 0


def received(shop_id: int, upload_id: int) -> tuple[int, int]:
    """How many parts of the file are here, and how many bytes."""
    query = select(func.count(), func.coalesce(func.sum(UploadPart.size), 0)).where(
        UploadPart.shop_id == shop_id, UploadPart.upload_id == upload_id
    )
    parts, size = session.execute(query).one()
    return parts, size


def refused_lines(shop_id: int, import_id: int) -> Iterator[ImportRefusal]:
    """Each line that was refused, in the file's order, a few hundred in memory at a time."""
    after = 0
    while several := contacts.refusals(shop_id, import_id, after_id=after, limit=_AT_A_TIME):
        yield from several
        after = several[-1].id
        for each in several:
            session.expunge(each)


def expired(now: datetime, limit: int = 200) -> Sequence[tuple[int, int]]:
    """Files (shop_id, id) that are, or whose refused lines are, to be let go of: the clock's question, of all shops."""
    query = (
        select(Upload.shop_id, Upload.id)
        .where(Upload.expires_at <= now, Upload.in_hand_until.is_(None))
        .order_by(Upload.expires_at)
        .limit(limit)
    )
    return [(row.shop_id, row.id) for row in session.execute(query)]


def _standing(found: Upload) -> Standing:
    return Standing(
        found,
        None if found.check_id is None else contacts.import_report(found.shop_id, found.check_id),
        None if found.import_id is None else contacts.import_report(found.shop_id, found.import_id),
    )
