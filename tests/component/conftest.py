"""Real servers on loopback, started once for the session: PostgreSQL, Toxiproxy, supervisord, an HTTP upstream."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aftershock.adapters.toxiproxy import Proxy, Server
from aftershock.faults.fault import Site
from aftershock.model.metadata import Metadata, Secret
from aftershock.model.stack import (
    Database,
    Link,
    Restart,
    Stack,
    StackSpec,
    SupervisorControl,
    ToxiproxyServer,
    Workload,
)
from aftershock.stacks import postgres as pg
from aftershock.stacks import toxiproxy as tp
from aftershock.stacks.account import give, unprivileged

SLOTS = 20
"""max_connections of the test server; three of them are for superusers."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def until(done: Callable[[], object], patience: float = 20.0) -> None:
    """Wait for an event of another process."""
    end = time.monotonic() + patience
    while not done():
        assert time.monotonic() < end, f"still not so after {patience} s"
        time.sleep(0.01)


def stack(**parts: object) -> Stack:
    return Stack(
        api_version="aftershock.dev/v1alpha1",
        metadata=Metadata(name="tested"),
        spec=StackSpec(era="1k", environment="test", **parts),  # type: ignore[arg-type]
    )


@dataclass(frozen=True)
class Postgres:
    port: int
    app: str
    superuser: str
    folder: Path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of its own; `app` is an ordinary role, as an application has one."""
    folder = Path(tempfile.mkdtemp(prefix="aftershock-pg."))
    folder.chmod(0o755)
    data = folder / "cluster"
    data.mkdir()
    give(data, unprivileged())
    pg.create(
        data / "data",
        "superword",
        "CREATE ROLE app LOGIN PASSWORD 'appword';\n\nCREATE ROLE other LOGIN PASSWORD 'appword';",
    )
    port = free_port()
    process = pg.start(data / "data", port, folder / "log", {"max_connections": str(SLOTS)})
    try:
        until(lambda: b"ready to accept connections" in (folder / "log").read_bytes())
        yield Postgres(port, pg.dsn(port, "app", "appword"), pg.dsn(port, "postgres", "superword"), folder)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def start_toxiproxy(port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [tp.program(), "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
    )
    until(lambda: answers(port))
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def toxiproxy_url() -> Iterator[str]:
    port = free_port()
    process = start_toxiproxy(port)
    yield f"http://127.0.0.1:{port}"
    end(process)


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        body = b"nothing here\n" * 20
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@pytest.fixture(scope="session")
def pages() -> Iterator[int]:
    """An HTTP server; its port."""
    server = _Server(("127.0.0.1", 0), _Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["http", "postgresql"])
def upstream(request: pytest.FixtureRequest) -> str:
    """What a link leads to, both kinds one after the other."""
    if request.param == "http":
        return f"127.0.0.1:{request.getfixturevalue('pages')}"
    return f"127.0.0.1:{request.getfixturevalue('postgres').port}"


@pytest.fixture
def toxiproxy(toxiproxy_url: str) -> Iterator[Server]:
    with Server("main", toxiproxy_url) as server:
        yield server
        for name in server.proxies():
            server.delete(name)


@pytest.fixture
def link(toxiproxy: Server, upstream: str, tmp_path: Path) -> Site:
    """A link through a proxy that is there."""
    toxiproxy.create(Proxy("pages to/from".replace("/", " "), "127.0.0.1:0", upstream))
    return link_site(toxiproxy.url, tmp_path)


def link_site(url: str, folder: Path, restart: Restart | None = None) -> Site:
    tested = stack(
        toxiproxies=[ToxiproxyServer(name="main", url=url, restart=restart)],
        links=[Link(name="in", toxiproxy="main", proxy="pages to from")],
    )
    return Site(tested, "in", folder)


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Site:
    return database_site(postgres, tmp_path)


def database_site(postgres: Postgres, folder: Path, *, observer: bool = True) -> Site:
    (folder / "app").write_text(postgres.app)
    (folder / "observer").write_text(postgres.superuser)
    spec = Database(name="primary", dsn=Secret(file="app"), observer=Secret(file="observer") if observer else None)
    return Site(stack(databases=[spec]), "primary", folder)


_SUPERVISOR = """
[unix_http_server]
file={folder}/s
[supervisord]
nodaemon=true
logfile={folder}/log
pidfile={folder}/pid
childlogdir={folder}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
{families}[program:toxiproxy]
command={toxiproxy} -port {port}
startsecs=0
autostart=false
autorestart=true
stopsignal=KILL
"""


_FAMILY = """
[program:{name}]
command=sh -c "sleep 1000 & sleep 1000 & wait"
startsecs=0
autorestart=true
"""


@dataclass(frozen=True)
class Supervised:
    url: str
    toxiproxy: str

    def control(self, program: str) -> SupervisorControl:
        return SupervisorControl(url=self.url, program=program)


@pytest.fixture(scope="session")
def supervised() -> Iterator[Supervised]:
    folder = Path(tempfile.mkdtemp(prefix="as."))  # short: a socket's path has 107 bytes
    port = free_port()
    families = "".join(_FAMILY.format(name=name) for name in ("family", "family2", "family3"))
    (folder / "conf").write_text(
        _SUPERVISOR.format(families=families, folder=folder, toxiproxy=tp.program(), port=port)
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", folder / "conf"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until((folder / "s").exists)
        yield Supervised(f"unix://{folder}/s", f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def workload(supervised: Supervised, tmp_path: Path) -> Site:
    family = Workload(name="family", supervisor=supervised.control("family"))
    return Site(stack(workloads=[family]), "family", tmp_path)
