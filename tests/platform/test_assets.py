"""Static files by version, and answers packed for the way."""

from __future__ import annotations

import gzip
import mimetypes
import os
import re
from pathlib import Path

import brotli
import pytest
from flask import Flask, Response, url_for
from flask.testing import FlaskClient

from blossom.platform import assets

STYLE = "main { color: red }\n" * 100
PAGE = "<!doctype html><title>ok</title>" + "<p>Sale today</p>" * 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "main.css").write_text(STYLE)
    (tmp_path / ".stamp").write_text(STYLE)
    (tmp_path / "css" / ".stamp").write_text(STYLE)
    (tmp_path / "main.js").write_text("const answer = 42;\n" * 100)
    (tmp_path / "main.svg").write_text(f"<svg>{'<path/>' * 200}</svg>")
    return tmp_path


@pytest.fixture
def site(folder: Path) -> Flask:
    app = Flask("a_site", static_folder=str(folder), static_url_path="/static")
    assets.init(app)
    for path in ("/page", "/proxy/page"):
        app.add_url_rule(path, path, lambda: PAGE)
    app.add_url_rule("/api/list", "list", lambda: {"answer": PAGE})
    app.add_url_rule("/small", "small", lambda: "<p>ok</p>")
    app.add_url_rule("/events", "events", lambda: Response(iter(["data: 1\n\n"] * 999), mimetype="text/event-stream"))
    app.add_url_rule("/file", "file", lambda: Response("a,b\n" * 999, mimetype="text/csv"))
    app.add_url_rule("/odd", "odd", lambda: (PAGE, 500))
    return app


def released(folder: Path, style: str) -> FlaskClient:
    """A process of another release: of equal size, and from a builder that gives all files one time."""
    folder.joinpath("css").mkdir(parents=True)
    folder.joinpath("css", "main.css").write_text(style)
    os.utime(folder / "css" / "main.css", ns=(1, 1))
    app = Flask("a_release", static_folder=str(folder), static_url_path="/static")
    assets.init(app)
    return app.test_client()


@pytest.fixture
def browser(site: Flask) -> FlaskClient:
    return site.test_client()


def address(site: Flask, filename: str = "css/main.css") -> str:
    with site.test_request_context():
        return url_for("static", filename=filename)


def test_a_file_is_named_by_what_is_in_it_and_kept_for_good(site: Flask, browser: FlaskClient, folder: Path) -> None:
    before = address(site)
    assert re.fullmatch(r"/static/css/main\.css\?v=[0-9a-f]{16}", before)
    assert browser.get(before).headers["Cache-Control"] == assets.FOREVER

    changed = folder / "css" / "main.css"
    changed.write_text(STYLE.replace("red", "tan"))  # of the same size
    os.utime(changed, ns=(1, 1))
    after = address(site)
    assert after != before
    assert browser.get(after).headers["Cache-Control"] == assets.FOREVER
    assert browser.get(after).text == STYLE.replace("red", "tan")


@pytest.mark.parametrize("asked", ["", "?v=", "?v=0123456789abcdef", "?v=%00", "?V=1", "?v=a&v=b"])
def test_a_file_asked_for_as_of_another_version_is_given_and_not_kept(browser: FlaskClient, asked: str) -> None:
    """As pages of the version before ask while a release rolls out."""
    answer = browser.get(f"/static/css/main.css{asked}")
    assert (answer.status_code, answer.text) == (200, STYLE)
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "filename", ["css/nothing.css", "css", ".stamp", "css/.stamp", "../secret", "/etc/passwd", "a\0b", "x" * 300]
)
def test_what_is_not_there_has_no_version(site: Flask, browser: FlaskClient, filename: str) -> None:
    assert "v=" not in address(site, filename)
    answer = browser.get(address(site, filename))
    assert answer.status_code in (308, 404)
    assert assets.FOREVER not in answer.headers.values()


def test_a_browser_that_has_it_is_told_so(site: Flask, browser: FlaskClient) -> None:
    for accepts in ("br", "gzip", "identity"):
        first = browser.get(address(site), headers={"Accept-Encoding": accepts})
        known = {"Accept-Encoding": accepts, "If-None-Match": first.headers["ETag"]}
        again = browser.get(address(site), headers=known)
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["Cache-Control"] == assets.FOREVER


@pytest.mark.parametrize("accepts", ["br", "gzip", "identity"])
def test_while_a_release_rolls_out_no_old_content_is_kept_under_the_new_version(tmp_path: Path, accepts: str) -> None:
    old, new = released(tmp_path / "old", STYLE), released(tmp_path / "new", STYLE.replace("red", "tan"))
    with new.application.test_request_context():
        named = url_for("static", filename="css/main.css")
    first = old.get(named, headers={"Accept-Encoding": accepts})
    assert first.headers["Cache-Control"] == "no-cache"
    known = {"Accept-Encoding": accepts, "If-None-Match": first.headers["ETag"]}
    if "Last-Modified" in first.headers:
        known["If-Modified-Since"] = first.headers["Last-Modified"]
    second = new.get(named, headers=known)
    assert second.status_code == 200, "it has another content"


@pytest.mark.parametrize("path", ["/page", "/static/css/main.css", "/static/main.js", "/static/main.svg"])
def test_pages_and_files_are_packed_as_the_browser_can_open_them(browser: FlaskClient, path: str) -> None:
    plain = browser.get(path).data
    by_brotli = browser.get(path, headers={"Accept-Encoding": "gzip, deflate, br, zstd"})
    by_gzip = browser.get(path, headers={"Accept-Encoding": "gzip, deflate"})
    assert (by_brotli.headers["Content-Encoding"], by_gzip.headers["Content-Encoding"]) == ("br", "gzip")
    assert brotli.decompress(by_brotli.data) == gzip.decompress(by_gzip.data) == plain
    assert len(by_brotli.data) < len(plain) / 5
    for answer in (by_brotli, by_gzip, browser.get(path)):
        assert "Accept-Encoding" in answer.headers["Vary"], "a cache between keeps them apart"


@pytest.mark.parametrize("path", ["/small", "/events", "/file", "/odd", "/proxy/page", "/api/list"])
def test_all_else_goes_as_it_is(browser: FlaskClient, path: str) -> None:
    answer = browser.get(path, headers={"Accept-Encoding": "br"})
    assert "Content-Encoding" not in answer.headers
    assert answer.data == browser.get(path).data
    assert ("Vary" in answer.headers) is (path in ("/small", "/odd")), "what is never packed is one for all"


def test_a_part_of_a_file_is_that_part(browser: FlaskClient) -> None:
    part = browser.get("/static/css/main.css", headers={"Range": "bytes=0-599", "Accept-Encoding": "br"})
    assert (part.status_code, part.text) == (206, STYLE[:600])
    assert "Content-Encoding" not in part.headers


@pytest.mark.parametrize("accepts", ["", "*", "br;q=x", ";;;", "gzip" * 2000, "identity;q=0", "ä"])
def test_whatever_is_accepted_something_comes(browser: FlaskClient, accepts: str) -> None:
    answer = browser.get("/page", headers={"Accept-Encoding": accepts})
    assert answer.status_code == 200
    packed = answer.headers.get("Content-Encoding")
    opened = {"br": brotli.decompress, "gzip": gzip.decompress}[packed](answer.data) if packed else answer.data
    assert opened.decode() == PAGE


@pytest.mark.parametrize("refused", ["br;q=0", "*;q=0", "*;q=1, br;q=0", "gzip;q=0, br;q=0.0", "identity, *;q=0"])
@pytest.mark.parametrize("path", ["/page", "/static/css/main.css"])
def test_what_is_refused_is_not_sent(browser: FlaskClient, path: str, refused: str) -> None:
    answer = browser.get(path, headers={"Accept-Encoding": refused})
    assert (answer.status_code, answer.headers.get("Content-Encoding")) == (200, None)
    assert "Accept-Encoding" in answer.headers["Vary"], "who doesn't refuse gets another"


@pytest.mark.parametrize("filename", ["main.js", "main.svg", "css/main.css"])
def test_a_file_is_of_the_type_that_its_name_says_on_every_machine(
    site: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch, filename: str
) -> None:
    monkeypatch.setattr(mimetypes, "guess_type", lambda *_args, **_: ("application/odd", None))
    assert browser.get(address(site, filename)).mimetype == assets.TYPES[Path(filename).suffix]


def test_a_look_without_a_body_says_the_same(site: Flask, browser: FlaskClient) -> None:
    for accepts in ("br", "identity"):
        looked = browser.head(address(site), headers={"Accept-Encoding": accepts})
        given = browser.get(address(site), headers={"Accept-Encoding": accepts})
        assert looked.data == b""
        assert {**looked.headers, "Date": ""} == {**given.headers, "Date": ""}


def test_every_file_of_a_merchants_page_is_kept_for_good(app: Flask) -> None:
    layout = (Path(app.root_path).parent / "templates/ui/layout.html").read_text()
    named = set(re.findall(r"url_for\('static', filename='([^']+)'\)", layout))
    assert len(named) > 15
    for filename in named:
        with app.test_request_context():
            path = url_for("static", filename=filename)
        assert app.test_client().get(path).headers["Cache-Control"] == assets.FOREVER, filename
    assert "/static/" not in layout, "each by its version"
