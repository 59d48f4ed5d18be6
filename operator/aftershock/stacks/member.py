"""A server of a database that fails over, as a pod runs it: `python -m aftershock.stacks.member`. It becomes Patroni, which
runs the server.

Names and passwords come from the environment: those of `database` (DATA, DATABASE, OWNER, …, MERGES), NAME and MEMBERS (the
database's, and its servers'; the first of them makes it), MEMBER (this one's), LISTEN (its own address), THROUGH (by
which way the other one reaches it), OTHER (where the other one's manager answers), STORE (by which way it reaches etcd), and
AGREED, a file with what both go by (`agreeing`). Ways are `host:port`.

The database is made only by the first, and only where etcd holds nothing of one and the other server says that it has none:
etcd may have lost what it held, with the database still there. One that waits for a copy says so at its manager's port. Whoever
has lost what it had, or has another database than etcd holds, is copied from whichever takes the writes.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from threading import Thread

from aftershock.adapters import etcd
from aftershock.adapters import patroni as managers
from aftershock.errors import AftershockError, StackError, TargetError
from aftershock.stacks import agreeing, patroni, postgres, replication
from aftershock.stacks import database as single
from aftershock.stacks.agreeing import MANAGER
from aftershock.stacks.layout import Layout, manager
from aftershock.stacks.parts import Database, Values, Wire

PATIENCE = 100.0
"""Seconds that a server waits for the other one to make the database before it gives up, and its pod is started again."""


def main(environment: Mapping[str, str]) -> None:
    """Become Patroni. InputError where something that it needs was not said, StackError where nothing to copy comes in time."""
    data = Path(single.said(environment, "DATA"))
    wanted = agreeing.database(environment, single.said(environment, "MEMBERS").split())
    own = single.said(environment, "MEMBER")
    if data.exists():
        _set_aside_another(data, wanted, environment)
    if not data.exists() and _is_to_make(wanted, own, environment):
        postgres.create(data, single.word(environment, "SUPERUSER_PASSWORD"), single.statements(environment))
        single.open_to_all(data / "pg_hba.conf", environment)
    (data / "postmaster.pid").unlink(missing_ok=True)  # nothing of an earlier pod lives
    values, layout = _told(wanted, own, environment)
    config = data.with_name(patroni.CONFIG)
    config.unlink(missing_ok=True)
    config.touch(mode=0o600)
    config.write_text(patroni.member(values, wanted, own, layout, str(data)), encoding="utf-8")
    os.execv(sys.executable, [sys.executable, "-m", "patroni", str(config)])  # noqa: S606  # no shell is wanted


def _set_aside_another(data: Path, wanted: Database, environment: Mapping[str, str]) -> None:
    """Move the folder away if it is another database than the one that etcd holds, or half a copy: Patroni would end at once,
    each time anew. It is moved, not removed: which of the two is the right one, only somebody who looks can tell.
    """
    try:
        held = etcd.value(*single.address(environment, "STORE"), _key(wanted))
    except TargetError:
        return  # Patroni asks again, and ends if it is so: the next start finds out
    if not held:
        return
    try:
        own = replication.identity(data)
    except StackError:
        own = "none"
    if own != held:
        aside = data.with_name(f"{data.name}.other-{own}")
        if aside.exists():
            shutil.rmtree(aside)  # an older one of the same
        data.rename(aside)
        print(f"member: etcd holds database {held} and this is {own}: moved to {aside}", flush=True)


def _key(wanted: Database) -> str:
    """Return under what etcd holds which database it is, as Patroni calls it."""
    return f"/service/{wanted.name}/initialize"


def _is_to_make(wanted: Database, own: str, environment: Mapping[str, str]) -> bool:
    """Tell whether this server makes the database. One that doesn't waits until there is one to copy, and says so."""
    store, other = single.address(environment, "STORE"), single.said(environment, "OTHER")
    end = time.monotonic() + PATIENCE
    first = wanted.failover is not None and wanted.failover.members[0] == own
    with nullcontext() if first else _saying_none(single.said(environment, "LISTEN")):
        while True:
            try:
                if etcd.value(*store, _key(wanted)) is not None:
                    return False
                if first and managers.status(f"http://{other}").database_system_identifier is None:
                    return True
                why = "the other server has one, and has not told etcd" if first else "the other server has not made it"
            except TargetError as error:
                why = error.problem
            if time.monotonic() > end:
                raise StackError(
                    f"there is no database {wanted.name} to copy: {why}", "see what the other server's log says"
                )
            time.sleep(0.5)  # the others' pods may be on their way


class _None(BaseHTTPRequestHandler):
    """Answers what a manager would whose server has no database; of nothing else, so that nobody takes the pod for ready."""

    def do_GET(self) -> None:
        """Answer."""
        known = self.path == "/patroni"
        body = b'{"state": "waiting for a database to copy"}' if known else b""
        self.send_response(200 if known else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: it is asked several times a second."""


class _Server(ThreadingTCPServer):
    """No HTTPServer: that would ask DNS for its own name first. Patroni takes its port right after it."""

    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: who asked has gone, as the door does."""


@contextmanager
def _saying_none(address: str) -> Iterator[None]:
    """Say at the manager's port that there is no database here, until the end of the block."""
    with _Server((address, MANAGER), _None) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _told(wanted: Database, own: str, environment: Mapping[str, str]) -> tuple[Values, Layout]:
    """Return what `patroni.member` is told, as a local stack has it: of the two links, and where each ends."""
    assert wanted.failover is not None
    (other,) = (each for each in wanted.failover.members if each != own)
    here = single.said(environment, "LISTEN")
    ends = {
        own: (here, int(single.PORT)),
        manager(own): (here, MANAGER),
        "through": single.address(environment, "THROUGH"),
        "store": single.address(environment, "STORE"),
    }
    links = [Wire(name="through", toxiproxy="", from_=other, to=own)]
    values = Values(era="", environment="test", databases=[wanted], services=[], toxiproxies=[], links=links)
    passwords = {
        f"{wanted.name}/{role}": single.word(environment, name)
        for role, name in (
            (postgres.SUPERUSER, "SUPERUSER_PASSWORD"),
            (postgres.REPLICATION, "REPLICATION_PASSWORD"),
        )
    }
    folder = Path(single.said(environment, "DATA")).parent
    return values, Layout(
        name=wanted.name, folder=folder, logs=folder, supervisor="", passwords=passwords, instance="",
        ports={name: port for name, (_, port) in ends.items()}, hosts={name: host for name, (host, _) in ends.items()},
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main(os.environ)
    except AftershockError as error:
        sys.exit(f"member: {error.problem}; {error.advice}")
