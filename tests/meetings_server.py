"""For tests: a PostgreSQL server and a meetings service, real, on ports of their own, gone at the end."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from aftershock.stacks import ports, postgres
from aftershock.stacks.account import give, unprivileged

OPERATOR = Path(__file__).parent.parent / "operator"
STATEMENTS = "CREATE ROLE app LOGIN PASSWORD 'app';\n\nCREATE DATABASE meetings OWNER app;\n\n"


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Wait for something outside to become so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it was not so within {seconds} s"
        time.sleep(0.02)


@dataclass
class Postgres:
    folder: Path
    port: int
    settings: dict[str, str]
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def app(self) -> str:
        return postgres.dsn(self.port, "app", "app", "meetings")

    @property
    def superuser(self) -> str:
        return postgres.dsn(self.port, "postgres", "super")

    def start(self) -> None:
        log = self.folder.parent / "postgres.log"
        self.process = postgres.start(self.folder / "data", self.port, log, self.settings)
        wait_until(self.answers)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.superuser, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def sessions(self) -> int:
        with psycopg.connect(self.superuser) as connection:
            found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").fetchone()
        return int(found[0]) if found else -1

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(f"{self.superuser} dbname=meetings", autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running_postgres(statements: str = STATEMENTS, **settings: str) -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="as."))
    try:
        folder.chmod(0o711)
        own = folder / "cluster"
        own.mkdir(mode=0o700)
        give(own, unprivileged())
        postgres.create(own / "data", "super", statements)
        server = Postgres(own, ports.choose(1)[0], {"max_connections": "20", **settings})
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@dataclass
class Service:
    port: int
    process: subprocess.Popen[bytes]

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 20.0) -> tuple[int, Any]:
        """Send one request on a connection of its own; return status and body."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)) as wire:
            wire.request(method, path, None if body is None else json.dumps(body))
            answer = wire.getresponse()
            content = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(content) if is_json else content.decode()

    def status(self, method: str, path: str) -> int:
        try:
            return self.ask(method, path)[0]
        except (OSError, http.client.HTTPException):
            return 0


@contextmanager
def running_service(dsn: str, *, ready: bool = True, **switches: str) -> Iterator[Service]:
    port = ports.choose(1)[0]
    environment = {
        **os.environ, "PYTHONPATH": str(OPERATOR), "PORT": str(port), "DATABASE_DSN": dsn, "PYTHONWARNINGS": "error",
        **switches,
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "aftershock.stacks.meetings"], env=environment)
    service = Service(port, process)
    try:
        wait_until(lambda: service.status("GET", "/readyz" if ready else "/healthz") == 200)
        yield service
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()
