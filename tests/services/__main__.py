"""`bin/test --services [--pooler] [pytest's arguments]`: the database and fault tests on servers of their own.

On those of DATABASE_URL and REDIS_URL, if both are set (the role must be allowed to create databases, and that Redis is
emptied); else on Debian's PostgreSQL 15 and Redis 7, started for the run. `--pooler` puts PgBouncer in transaction
mode before that PostgreSQL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.services.servers import Missing, debian_servers


def main(arguments: Sequence[str]) -> int:
    pooler = "--pooler" in arguments
    rest = [argument for argument in arguments if argument != "--pooler"]
    given = [name for name in ("DATABASE_URL", "REDIS_URL") if os.environ.get(name)]
    if len(given) == 1:
        print(f"bin/test --services: {given[0]} is set and its companion isn't: set both, or neither", file=sys.stderr)
        return 2
    if given:
        if pooler:
            print("bin/test --services: --pooler is for its own servers: unset DATABASE_URL, or point it at a pooler",
                  file=sys.stderr)  # fmt: skip
            return 2
        return _pytest(rest, {})
    try:
        with debian_servers(pooler=pooler) as addresses:
            variables = {"DATABASE_URL": addresses.database_url, "REDIS_URL": addresses.redis_url}
            return _pytest(rest, variables | ({"BLOSSOM_TEST_POOLER": "1"} if pooler else {}))
    except Missing as missing:
        print(f"bin/test --services: servers are missing. {missing}, or set their URLs", file=sys.stderr)
        return 2


def _pytest(arguments: Sequence[str], addresses: Mapping[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", "--with-servers", "-m", "not journey", *arguments]
    return subprocess.run(command, env={**os.environ, **addresses}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
