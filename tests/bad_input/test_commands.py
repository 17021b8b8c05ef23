"""What an operator types wrongly: a sentence that says what to do, never a traceback."""

from __future__ import annotations

import gzip
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from blossom import supervisor, surroundings
from blossom.app import create_app
from blossom.platform import db
from blossom.platform.config import Config
from tests.architecture.tree import ROOT
from tests.bad_input.commands import Ended, blossom
from tests.conftest import Services, config_for
from tests.factories.shops import create_shop

OURS = "ours.myshopify.com"
NEW = "new.myshopify.com"


@pytest.fixture(scope="module")
def installation(services: Services, template_database: str) -> Iterator[Config]:
    """A database that commands find, with one shop in it."""
    name = "blossom_commands"
    services.run(f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    app = create_app(config_for(services, name))
    with app.app_context():
        with db.transaction():
            create_shop(domain=OURS)
        db.engine().dispose()
    yield config_for(services, name)
    services.drop(name)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, content in {
        "good.csv": b"Phone\n6984303406\n",
        "empty.csv": b"",
        "header.csv": b"Phone,First Name\n",
        "doubled.csv": b"Phone,Phone\n6984303406,6974303406\n",
        "zipped.csv": b"PK\x03\x04",
        "gzipped.csv": gzip.compress(b"Phone\n6984303406\n"),
        "greek.csv": "Phone,Όνομα\n6984303406,Ελένη\n".encode("cp1253"),
        "other.csv": b"Nr,Wer\n1,Eleni\n",
    }.items():
        (folder / name).write_bytes(content)
    return folder


def told(ended: Ended) -> str:
    """What a person read of a command that failed."""
    assert ended.status in (1, 2), ended
    assert ended.printed == ""
    assert "Traceback" not in ended.said
    return ended.said


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("empty.csv", "The file is empty. Export the customers again"),
        ("header.csv", "no customer follows. Export the customers again"),
        ("doubled.csv", "More than one column is called “Phone”, so that it can't be told which one counts. Rename"),
        ("zipped.csv", "This file is an Excel workbook or a zip archive, not a CSV. Save the sheet as “CSV UTF-8”"),
        ("gzipped.csv", "This file is a gzip archive, not a CSV. Save the sheet as “CSV UTF-8”"),
        ("greek.csv", "Line 1 is not UTF-8, so its letters can't be told. In Excel save as “CSV UTF-8”; or name"),
        ("other.csv", "No column of the file is known to hold phone numbers. Say which"),
        (".", "Is a directory"),
        ("nowhere.csv", "No such file or directory"),
    ],
)
def test_a_file_that_is_no_list_of_customers(installation: Config, files: Path, file: str, words: str) -> None:
    assert words in told(blossom(installation, "shop", "import", OURS, str(files / file)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shop", "import", NEW, __file__], f"No shop is called {NEW}. `blossom shop create` makes one."),
        (["shop", "api-key", NEW], f"No shop is called {NEW}. `blossom shop create` makes one."),
        (["shop", "api-key", OURS, "--scope", "fly"], "scopes: has no such right: fly"),
        (["shop", "link", OURS, "4711"], "There is no such campaign in this shop."),
        (["shop", "link", OURS, "one"], "'CAMPAIGN_ID'"),
        (["shop", "link", OURS, "9" * 20], "is not in the range"),
        (["shop", "data-request", OURS, "9" * 20], "is not in the range"),
        (["webhooks", "replay", "9" * 20], "is not in the range"),
        (["webhooks", "dead", "--after", "9" * 20], "is not in the range"),
        (["keys", "rotate", NEW], f"No shop is called {NEW}."),
        (["keys", "prune", NEW], f"No shop is called {NEW}."),
        (["shop", "create", "my shop", "--name", "S", "--sender", "Shop"], "domain: must be the shop's address"),
        (["shop", "create", NEW, "--name", "", "--sender", "Shop"], "name: must have 1 to 100 characters"),
        (["shop", "create", NEW, "--name", "S", "--sender", "S"], "sender: must be 3 to 11 letters"),
        (["shop", "create", NEW, "--name", "S", "--sender", "Shop", "--timezone", "Mars"], "timezone: must be a time"),
        (["shop", "create", NEW, "--name", "S", "--sender", "Shop", "--country", "Greece"], "two capital letters"),
        (["shop", "create", NEW, "--name", "S", "--sender", "Shop", "--credits", "-1"], "-1 is not in the range"),
        (["shop", "create", NEW, "--name", "S", "--sender", "Shop", "--credits", "9" * 30], "is not in the range"),
        (["new-master-key", "--id", "-1"], "-1 is not in the range"),
        (["shop", "create", OURS, "--name", "S", "--sender", "Shop"], f"{OURS} is here already."),
        (["fly"], "No such command 'fly'"),
        (["web", "--port", "99999999"], "99999999 is not in the range 1<=x<=65535"),
        (["web", "--port", "0"], "0 is not in the range 1<=x<=65535"),
    ],
)
def test_what_is_not_there_or_can_not_be(installation: Config, arguments: list[str], words: str) -> None:
    assert words in told(blossom(installation, *arguments))


def test_credits_of_a_used_reference_and_another_amount_are_refused(installation: Config) -> None:
    shop, given = "credited.myshopify.com", ["--reference", "order 7"]
    assert blossom(installation, "shop", "create", shop, "--name", "S", "--sender", "Shop").status == 0
    for _ in range(2):  # the second time it counts for nothing, as it says
        assert blossom(installation, "shop", "credit", shop, "10", *given).status == 0
    said = told(blossom(installation, "shop", "credit", shop, "20", *given))
    assert "With the reference order 7 the shop was given 10 credits before, not 20. Nothing was added." in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL: must be a URL that begins with postgres:// or postgresql://"),
        ({"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}, "The database can't be reached, or is too busy"),
        ({"BLOSSOM_MASTER_KEYS": "1:short"}, "BLOSSOM_MASTER_KEYS: must read id:key[,id:key], each key 32 bytes"),
        ({"BLOSSOM_ENV": "production", "MITTO_API_KEY": ""}, "MITTO_API_KEY: must be set in production"),
        ({"REDIS_URL": "", "BLOSSOM_DATA": "/proc/here"}, "The data folder /proc/here can't be created"),
    ],
    ids=["no address", "nobody there", "half a key", "production", "no folder"],
)
def test_an_environment_in_which_nothing_can_run(installation: Config, settings: dict[str, str], words: str) -> None:
    assert words in told(blossom(installation, "shop", "api-key", OURS, **settings))


def test_without_redis_a_worker_says_so(installation: Config) -> None:
    ended = blossom(installation, "worker", "--queue", "send", "--burst", REDIS_URL="redis://127.0.0.1:1")
    assert "Redis can't be reached, or is too busy" in told(ended)


def test_a_data_folder_that_is_a_file(installation: Config, files: Path) -> None:
    ended = blossom(installation, "shop", "api-key", OURS, BLOSSOM_MASTER_KEYS="", BLOSSOM_DATA=str(files / "good.csv"))
    assert "good.csv can't be a folder" in told(ended)


def test_bytes_that_are_no_text(installation: Config) -> None:
    assert "no text in UTF-8" in told(blossom(installation, "shop", "api-key", "a\udcff"))


def test_modules_in_the_folder_at_hand_are_not_ours(tmp_path: Path) -> None:
    for name in ("blossom", "platform"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a stranger')")
    command = [str(ROOT / "bin" / "blossom"), "new-master-key"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def empty_database(services: Services) -> Iterator[str]:
    services.run("CREATE DATABASE blossom_empty")
    yield str(config_for(services, "blossom_empty").database_url)
    services.drop("blossom_empty")


def test_a_database_without_tables(installation: Config, empty_database: str) -> None:
    address = empty_database.replace("postgresql+psycopg://", "postgresql://")
    assert "`blossom release` makes them." in told(blossom(installation, "shop", "api-key", OURS, DATABASE_URL=address))


def test_a_master_key_that_is_not_this_databases(installation: Config, files: Path) -> None:
    another = {"BLOSSOM_MASTER_KEYS": surroundings.new_master_key_text(7)}

    said = told(blossom(installation, "shop", "import", OURS, str(files / "good.csv"), **another))

    assert said == "The personal data can't be opened: master key 1 is not among BLOSSOM_MASTER_KEYS."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text", "Hi {{ first_name"], "This text can't be sent:\n“{{” is never closed. (line 1, column 4) Close it"),
        (["--text", " "], "The text is empty."),
        (["--text", "{{ a }} {{ b }}"], "(line 1, column 12)"),
        (["--text", "Hi", "--file", "header.csv"], "no customer follows"),
    ],
)
def test_material_is_judged_without_a_server(
    installation: Config, files: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(files)
    nobody = {"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1"}

    assert words in told(blossom(installation, "check", *arguments, **nobody))
    assert blossom(installation, "check", "--text", "Hi", "--file", "good.csv", **nobody).status == 0


def test_a_port_that_another_program_has(installation: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = blossom(installation, "web", "--port", str(port))

    assert (
        told(ended) == f"Port {port} can't be used (Address already in use). Choose another one by --port, or end"
        " what listens there."
    )
    assert ended.logged == [], "nothing was started"


def test_a_process_that_dies_at_its_start_three_times_is_given_up_and_its_log_is_json(
    installation: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies = supervisor.Program("web", ["false"])
    lives = supervisor.Program("other", ["sleep", "60"])
    monkeypatch.setattr(supervisor, "_RESTART_PAUSE", 0.01)
    monkeypatch.setattr(supervisor, "Program", lambda name, command: dies)
    real = supervisor.supervise
    monkeypatch.setattr(supervisor, "supervise", lambda children, **options: real([*children, lives], **options))

    ended = blossom(installation, "web")

    assert told(ended) == "web can't be started: it ended 3 times at once. See its own words above."
    assert [(line["event"], line["child"], line["status"]) for line in ended.logged] == [("child.died", "web", 1)] * 3
