"""A PostgreSQL server of the tests' own, from Debian's package: `apt-get install postgresql`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "retrieval"
INSTALLED = Path("/usr/lib/postgresql")
INITDB = ("--no-sync", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8")
INITDB += ("--locale-provider", "icu", "--icu-locale", "en-US")
"""A language that sorts a before Z, as servers are set up for people."""
SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 60
lc_messages = 'C'
"""
"""Nothing of it outlives the tests, so nothing need survive a power cut."""
HBA = f"""
local all {USER} trust
host all {USER} 127.0.0.1/32 trust
host media all 127.0.0.1/32 scram-sha-256
"""


def programs() -> Path | None:
    """Return the folder of the newest server that is installed; None before release 15."""
    found = {int(path.parts[-3]): path.parent for path in INSTALLED.glob("*/bin/initdb")}
    return found[max(found)] if found and max(found) >= 15 else None


@contextmanager
def running(programs: Path) -> Iterator[str]:
    """Give the URL of a database on a server that runs meanwhile, on loopback and a free port."""
    folder = Path(tempfile.mkdtemp(prefix="retrieval-postgresql-"))
    try:
        folder.chmod(0o755)
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres")
        cluster, port = folder / "cluster", _free_port()
        _call(programs / "initdb", *INITDB, "--username", USER, "-D", cluster)
        with (cluster / "postgresql.conf").open("a") as settings:
            settings.write(f"{SETTINGS}port = {port}\nunix_socket_directories = '{folder}'\n")
        (cluster / "pg_hba.conf").write_text(HBA)
        log = folder / "log"
        _call(programs / "pg_ctl", "-D", cluster, "-l", log, "-w", "-t", "60", "start")
        try:
            _call(programs / "createdb", "-h", folder, "-p", port, "-U", USER, "media")
            yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}/media"
        finally:
            _call(programs / "pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _call(*words: object) -> None:
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_user, *map(str, words)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # `pg_ctl start` leaves the server with it
        stderr=subprocess.PIPE if "start" not in words else subprocess.DEVNULL,
        timeout=90,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stderr!r}")
