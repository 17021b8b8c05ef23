"""What each page of the merchant's costs with a million contacts and ten million texts, beside a shop of hundreds.

`python -m benchmarks.pages --json`: a table, and the last line is one JSON object. Every page and partial of
`page_table.PAGES` is asked of two databases in turn, so that both see the same minute of the machine: server time from
the request's first line of Python to its last byte, and the number of queries. Goals: p50 with the large data at most
1.5 of that with the small, p95 below 50 ms, as many queries. Pages that read a whole audience by their nature are shown
beside the others. `--data FOLDER` keeps the databases for the next run (10 GB).
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import brotli
import orjson
import psycopg
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import event, text

from benchmarks import page_data
from benchmarks.ground import MASTER_KEY
from benchmarks.page_data import LARGE, SMALL, Size
from benchmarks.page_table import ENVIRONMENT, PAGES, Page, Request, request
from blossom.app import create_app
from blossom.campaigns import jobs as _jobs  # noqa: F401 -- names them
from blossom.people import jobs as _people_jobs  # noqa: F401 -- as above
from blossom.platform import db, queue
from blossom.platform.config import Config
from blossom.platform.embedded import EmbeddedServices
from blossom.schema import upgrade

GOAL_RATIO, GOAL_MS, GOAL_BYTES = 1.5, 50.0, 120_000
YES = "POST /campaigns/draft/confirm yes"
WARMED = 3
"""Rounds before the first that counts; of these the very first is `first_ms`."""


@dataclass(frozen=True)
class PutBack:
    """Make a campaign that was said yes to the draft that it was."""

    campaign_id: int


@dataclass(frozen=True)
class Answered:
    status: int
    seconds: float
    queries: int
    body: bytes  # as it leaves
    packed: bool

    @property
    def text(self) -> str:
        return (brotli.decompress(self.body) if self.packed else self.body).decode()


def _installation(pipe: Connection, folder: Path, size: Size) -> None:  # pragma: no cover -- a process of its own
    """A database of that size, made or found in `folder`, and an app on it that answers what comes through `pipe`."""
    made = folder / "made.json"
    if not made.exists():
        shutil.rmtree(folder, ignore_errors=True)  # what was begun and not ended
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    with EmbeddedServices.start(folder, durable=False) as services:
        environment = {
            "PATH": os.environ["PATH"],
            "BLOSSOM_ENV": "development",
            "DATABASE_URL": str(services.database_url),
            "REDIS_URL": str(services.redis_url),
            "BLOSSOM_MASTER_KEYS": f"1:{MASTER_KEY}",
            "LOG_LEVEL": "WARNING",
            **ENVIRONMENT,
        }
        app = create_app(Config.from_environment(environment))
        with app.app_context():
            upgrade()
            if not made.exists():
                plain = str(services.database_url).replace("postgresql+psycopg://", "postgresql://")
                with psycopg.connect(plain, autocommit=True) as connection:
                    made.write_bytes(orjson.dumps(page_data.fill(connection, size)))
            with db.transaction() as session:  # as if Shopify's segment had just been read, for five minutes
                session.execute(text("UPDATE shopify_segments SET read_at = now() WHERE read_at IS NOT NULL"))
            engine = db.engine()
        seen = [0]

        def count(*_: Any) -> None:
            seen[0] += 1

        event.listen(engine, "before_cursor_execute", count)
        pipe.send((orjson.loads(made.read_bytes()), environment))
        client = app.test_client()
        client.environ_base["HTTP_ACCEPT_ENCODING"] = "br"  # as every browser's over https
        gc.collect()  # as ops/gunicorn_conf.py has a web process do
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        while True:
            asked: Request | PutBack | None = pipe.recv()
            if asked is None:
                return
            if isinstance(asked, PutBack):
                with app.app_context():
                    put_back(asked.campaign_id)
                pipe.send(None)
                continue
            seen[0] = 0
            began = time.perf_counter()
            answer = asked.send(client)
            body = answer.get_data()
            packed = answer.headers.get("Content-Encoding") == "br"
            pipe.send(Answered(answer.status_code, time.perf_counter() - began, seen[0], body, packed))
            with app.app_context():
                work()


def work() -> None:
    """What an answer has asked to have counted or done, before the next question comes: what asks nobody outside."""
    waiting = queue.rq_queue("default")
    while waiting.count:
        asked = Job.fetch(str(waiting.pop_job_id()), connection=queue.connection(), serializer=JSONSerializer)
        name, given, _ = asked.args
        if name.startswith(("campaigns.", "people.")):
            queue.registered()[name](**given)
        asked.delete()


def put_back(campaign_id: int) -> None:
    """Before anybody's text was prepared, for no worker prepares here."""
    with db.transaction() as session:
        found = session.scalar(text("SELECT dispatch_id FROM campaigns WHERE id = :id"), {"id": campaign_id})
        session.execute(text("DELETE FROM campaign_yeses WHERE campaign_id = :id"), {"id": campaign_id})
        session.execute(
            text("UPDATE campaigns SET state = 'draft', dispatch_id = NULL, started_at = NULL WHERE id = :id"),
            {"id": campaign_id},
        )
        session.execute(text("DELETE FROM link_targets WHERE dispatch_id = :id"), {"id": found})
        session.execute(text("DELETE FROM dispatches WHERE id = :id"), {"id": found})


class Installation:
    """The app on a database of its own, in a process of its own. `things`: what is in it, for `page_table.request`."""

    def __init__(self, folder: Path, size: Size) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_installation, args=(theirs, folder, size))
        self._process.start()
        theirs.close()
        self.things, self.environment = self._pipe.recv()

    def ask(self, asked: Request) -> Answered:
        self._pipe.send(asked)
        answered: Answered = self._pipe.recv()
        return answered

    def put_back(self, campaign_id: str) -> None:
        self._pipe.send(PutBack(int(campaign_id)))
        self._pipe.recv()

    def end(self) -> None:
        self._pipe.send(None)
        self._process.join()


@contextmanager
def installations(folder: Path | None, sizes: dict[str, Size]) -> Iterator[dict[str, Installation]]:
    """One for each size, made one after the other; what was made in a folder of our own is gone afterwards."""
    own = folder is None
    place = Path(tempfile.mkdtemp(prefix="blossom-pages-")) if folder is None else folder
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o711)
    with ExitStack() as stack:
        if own:
            stack.callback(shutil.rmtree, place)
        made = {}
        for name, size in sizes.items():
            began = time.monotonic()
            made[name] = Installation(place / name, size)
            stack.callback(made[name].end)
            print(f"{name}: {size.contacts:,} contacts, {size.messages:,} texts, {time.monotonic() - began:.0f} s")
        yield made


def measure(made: dict[str, Installation], page: Page, *, as_document: bool, rounds: int) -> dict[str, Any]:
    """Both sizes in turn, round by round."""
    times: dict[str, list[float]] = {name: [] for name in made}
    queries: dict[str, int] = {}
    for _ in range(WARMED + rounds):
        for name, installation in made.items():
            answered = installation.ask(request(page, installation.things, as_document=as_document))
            if answered.status >= 300:
                raise RuntimeError(f"{page.name}, {name}: {answered.status} {answered.text[:600]}")
            times[name].append(1000 * answered.seconds)
            queries[name] = answered.queries
    return _row(page.name + ("" if as_document else " (partial)"), times, queries, reads_audience=page.reads_audience)


def measure_yes(made: dict[str, Installation], rounds: int) -> dict[str, Any]:
    """The yes to the question before a draft is sent: the question is asked before and the campaign put back after it,
    beside the time."""
    times: dict[str, list[float]] = {name: [] for name in made}
    queries: dict[str, int] = {}
    asking = Page("campaigns.confirmation", "/campaigns/{draft}/confirm", 0)
    for _ in range(WARMED + rounds):
        for name, installation in made.items():
            question = request(asking, installation.things, as_document=False)
            installation.ask(question)  # has them counted
            html = installation.ask(question).text
            given = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))
            typed = re.search(r'data-number="recipients">([^<]*)<', html)
            if typed is None:
                raise RuntimeError(f"{YES}, {name}: no question: {html[:600]}")
            yes = Request("POST", question.path, {}, question.headers, {**given, "yes": "yes", "typed": typed[1]})
            answered = installation.ask(yes)
            if answered.status >= 300:
                raise RuntimeError(f"{YES}, {name}: {answered.status} {answered.text[:600]}")
            installation.put_back(installation.things["draft"])
            times[name].append(1000 * answered.seconds)
            queries[name] = answered.queries
    return _row(YES, times, queries)


def _row(
    name: str, times: dict[str, list[float]], queries: dict[str, int], *, reads_audience: bool = False
) -> dict[str, Any]:
    counted = {name: sorted(each[WARMED:]) for name, each in times.items()}
    large, small = counted["large"], counted["small"]
    return {
        "page": name,
        "p50_ms": round(_at(large, 0.5), 2),
        "p95_ms": round(_at(large, 0.95), 2),
        "small_p50_ms": round(_at(small, 0.5), 2),
        "small_p95_ms": round(_at(small, 0.95), 2),
        "ratio": round(_at(large, 0.5) / _at(small, 0.5), 2),
        "first_ms": round(times["large"][0], 1),
        "queries": queries["large"],
        "small_queries": queries["small"],
        "reads_audience": reads_audience,
    }


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def misses(row: dict[str, Any]) -> list[str]:
    """What a page is over its goals with."""
    if row["reads_audience"]:
        return []
    found = []
    if row["ratio"] > GOAL_RATIO:
        found.append("ratio")
    if row["p95_ms"] >= GOAL_MS:
        found.append("p95")
    if row["queries"] > row["small_queries"]:
        found.append("queries")
    return found


def _line(row: dict[str, Any]) -> str:
    figures = f"{row['p50_ms']:8.1f} {row['p95_ms']:8.1f} {row['small_p50_ms']:8.1f} {row['ratio']:6.2f}"
    counted = f"{row['first_ms']:9.1f} {row['queries']:4} {row['small_queries']:4}"
    return f"{row['page']:64} {figures} {counted}  {' '.join(misses(row))}"


_OURS = re.compile(r'<(?:script|link)[^>]+(?:src|href)="(/static/[^"]+\.(?:js|css)[^"]*)"')


def weigh(installation: Installation, page: Page) -> dict[str, Any]:
    """The first visit's bytes of ours as they leave: the page, its scripts and styles."""
    parts = {page.name: installation.ask(request(page, installation.things, as_document=True))}
    for path in sorted(set(_OURS.findall(parts[page.name].text))):
        file, _, version = path.partition("?v=")
        parts[file] = installation.ask(Request("GET", file, {"v": version}, {}, None))
    bytes_of = {name: len(part.body) for name, part in parts.items()}
    unpacked = sum(len(part.text.encode()) for part in parts.values())
    return {"page": page.name, "bytes": sum(bytes_of.values()), "unpacked": unpacked, "parts": bytes_of}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--data", type=Path, help="Where the databases are, or are kept.")
    parser.add_argument("--part", type=int, default=1, help="The large data divided by this.")
    parser.add_argument("--only", default="", help="Pages whose name has this regular expression.")
    parser.add_argument("--json", action="store_true", help="Only the JSON object, as the last line.")
    options = parser.parse_args()
    large = replace(
        LARGE,
        contacts=LARGE.contacts // options.part,
        campaigns=LARGE.campaigns // options.part,
        crowd=LARGE.crowd // options.part,
        others=LARGE.others // options.part,
    )
    chosen = [page for page in PAGES if re.search(options.only, page.name)]
    rows = []
    with installations(options.data, {"small": SMALL, "large": large}) as made:
        for page in chosen:
            for as_document in page.ways:
                rows.append(measure(made, page, as_document=as_document, rounds=options.rounds))
                if not options.json:
                    print(_line(rows[-1]), flush=True)
        if re.search(options.only, YES):
            rows.append(measure_yes(made, options.rounds))
            if not options.json:
                print(_line(rows[-1]), flush=True)
        weight = [weigh(made["large"], page) for page in PAGES if page.path in ("/", "/campaigns", "/campaigns/new")]
    if not options.json:
        for each in weight:
            print(f"{each['page']:64} {each['bytes']:8,} bytes, {each['unpacked']:8,} unpacked")
    print(orjson.dumps({"pages": rows, "weight": weight}).decode())


if __name__ == "__main__":
    main()
