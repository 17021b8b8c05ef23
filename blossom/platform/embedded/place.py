"""Where the embedded servers live and who they run as: account, folders, sockets, binaries.

Postgres refuses to run as root. When we are root, both servers run as the account `nobody`: nothing is added to the
machine and nothing outside the data folder is opened up. `nobody` then needs to reach the data folder, the sockets and
the binaries; what it can't reach is copied (binaries) or refused with advice (the data folder).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).resolve().parents[3]
# A clean environment: PGPORT and the like of the caller must not steer the servers, nor its secrets reach them.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
# The address of a unix socket holds 104 bytes on macOS, 108 on Linux, with its closing zero.
_LONGEST_SOCKET_PATH = 103
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


class EmbeddedError(Exception):
    """The embedded servers can't be started; the message says why and what helps."""


@dataclass(frozen=True)
class Account:
    """The account that the servers run as; both None: whoever we are."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def for_servers(cls) -> Account:
        """`nobody` when we are root, else ourselves."""
        if os.geteuid() != 0:
            return cls()
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise EmbeddedError(
                "Postgres does not run as root, and this machine has no account nobody to run it as: "
                "start Blossom as a normal user, or set DATABASE_URL and REDIS_URL."
            ) from None
        return cls(entry.pw_uid, entry.pw_gid)

    @property
    def is_other(self) -> bool:
        return self.uid is not None

    def spawn(self, command: Sequence[str | Path], log: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start `command` in a session of its own, so that Ctrl-C in our terminal does not reach it."""
        return subprocess.Popen(  # noqa: S603  (our own binaries, no shell)
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
            user=self.uid,
            group=self.gid,
            extra_groups=[] if self.is_other else None,
        )

    def can_run(self, command: Sequence[str | Path]) -> bool:
        """Whether `command`, run as this account, ends well."""
        try:
            return self.spawn(command, subprocess.DEVNULL).wait(timeout=30) == 0
        except (PermissionError, FileNotFoundError):
            return False

    def own(self, path: Path) -> None:
        """Make `path`, which we have just created, this account's."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def default_folder(data_home: Path | None = None) -> Path:
    """The data folder of this checkout where none is set; two checkouts never share one. Creates nothing.

    `data_home` is `XDG_DATA_HOME`, if set. Root's default is below /var/lib, because `nobody` can't enter root's home.
    """
    if data_home is None:
        data_home = Path("/var/lib") if os.geteuid() == 0 else Path.home() / ".local" / "share"
    return data_home / "blossom" / f"{CHECKOUT.name}-{_digest(CHECKOUT)[:8]}"


def prepare_folder(folder: Path, account: Account) -> None:
    """Create the data folder, closed to others, and make sure that `account` can enter it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            path.chmod(0o711 if account.is_other else 0o700)
        if account.is_other and (not any(folder.iterdir()) or (folder / "lock").exists()):
            folder.chmod(folder.stat().st_mode | 0o011)  # made for us by mkdtemp, say; never somebody's full folder
    except OSError as error:
        raise EmbeddedError(f"The data folder {folder} can't be created ({error}). Set BLOSSOM_DATA.") from error
    if account.is_other and not account.can_run(["/bin/sh", "-c", 'cd -- "$1"', "sh", folder]):
        raise EmbeddedError(
            f"Postgres does not run as root, and the account nobody, which it runs as instead, can't enter {folder}. "
            f"Set BLOSSOM_DATA to a folder that others may enter, such as {default_folder()}."
        )


def own_folder(path: Path, account: Account) -> Path:
    """The folder `path`, created if need be, that only `account` (and root) can enter."""
    if not path.exists():
        path.mkdir(mode=0o700)
        account.own(path)
    return path


def socket_folder(folder: Path, account: Account) -> Path:
    """An empty folder for the sockets that only `account` (and root) can enter: who reaches a socket may use it.

    It lies in the data folder or, where that makes the address too long for a unix socket, in /tmp.
    """
    path = folder / "sockets"
    if len(os.fsencode(path / _LONGEST_SOCKET_NAME)) > _LONGEST_SOCKET_PATH:
        # S108 warns of foreign files in /tmp: ownership and mode are checked right below.
        path = Path("/tmp") / f"blossom-{os.geteuid()}-{_digest(folder)[:16]}"  # noqa: S108
    own_folder(path, account)
    expected = os.geteuid() if account.uid is None else account.uid
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise EmbeddedError(f"{path} should be a folder of ours for sockets ({error}): remove it.") from error
    try:
        found = os.fstat(handle)
        if found.st_uid != expected or stat.S_IMODE(found.st_mode) != 0o700:
            raise EmbeddedError(f"{path} should belong to account {expected} with mode 0700: remove it.")
        for name in os.listdir(handle):  # left by a kill -9; by handle, so that a swapped path can't mislead root
            os.unlink(name, dir_fd=handle)
    finally:
        os.close(handle)
    return path


def binaries(folder: Path, account: Account, package: str, binary: str) -> Path:
    """The path of `binary` (relative to the installed `package`) or of its copy beside the data.

    A copy is made, once for each version, when `account` can't run the original: a virtual environment in a home of
    mode 0700, say.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(f"The package {package} is not installed: run bin/setup.")
    source = Path(spec.submodule_search_locations[0])
    if not account.is_other or account.can_run([source / binary, "--version"]):
        return source / binary
    target = folder / "binaries" / f"{package}-{importlib.metadata.version(package)}"
    if not target.exists():
        for outdated in target.parent.glob(f"{package}-*"):
            shutil.rmtree(outdated)
        partial = target.with_suffix(".partial")
        # auditwheel puts a package's libraries beside it, and its binaries look for them there.
        for part in (source, source.with_name(f"{package}.libs")):
            if part.exists():
                shutil.copytree(part, partial / part.name, symlinks=True, copy_function=_copy_readable)
        for path in (target.parent, partial, *(path for path in partial.rglob("*") if path.is_dir())):
            path.chmod(0o755)
        partial.rename(target)
    return target / package / binary


def _copy_readable(source: str, target: str) -> None:
    """Copy a file and let everyone do with it what its owner may, writing aside."""
    shutil.copy2(source, target, follow_symlinks=False)
    if not os.path.islink(target):
        mode = os.stat(target).st_mode & 0o700
        os.chmod(target, mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()
