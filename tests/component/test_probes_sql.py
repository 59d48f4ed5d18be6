"""SQL indicators against a real PostgreSQL."""

import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from aftershock.errors import InputError
from aftershock.model.metadata import Secret
from aftershock.model.stack import Database, HttpAuth, Indicator, SqlProbe
from aftershock.model.units import Duration
from aftershock.stacks import postgres
from planted import Measured, free_port, http, measure, order

PASSWORD = "plantedpassword"
SLOTS = 80


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="probes-sql-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        postgres.create(place / "data", PASSWORD, "CREATE ROLE app LOGIN PASSWORD 'plantedpassword'")
        settings = {"max_connections": str(SLOTS), "fsync": "off"}
        server = postgres.start(place / "data", port, place / "log", settings)
        try:
            wait_for(postgres.dsn(port, "postgres", PASSWORD))
            yield postgres.dsn(port, "app", PASSWORD)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)


def wait_for(dsn: str) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


def probe(
    dsn: str, query: str, monkeypatch: pytest.MonkeyPatch, *, every: float = 0.02, timeout: float = 2.0, seconds: float = 0.6,
    expect: str | None = None, database: str = "primary",
) -> Measured:  # fmt: skip
    monkeypatch.setenv("PLANTED_DSN", dsn)
    wanted = Indicator(
        name="q",
        every=Duration(every),
        timeout=Duration(timeout),
        sql=SqlProbe(database=database, query=query, expect=expect),
    )
    databases = [Database(name="primary", dsn=Secret(env="PLANTED_DSN"))]
    return measure(order([wanted], databases=databases), seconds)


@pytest.mark.parametrize(
    ("query", "expect", "kind"),
    [
        ("SELECT 1", None, None),
        ("SELECT 1", "1", None),
        ("SELECT 'x' || 'y'", "xy", None),
        ("SELECT 2", "1", "body"),
        ("SELECT 1 WHERE false", "1", "body"),
        ("SELECT NULL", "1", "body"),
        ("SET search_path = public", "1", "body"),
        ("SET search_path = public", None, None),
        ("SELECT * FROM nowhere", None, "sql-42P01"),
        ("SELEC", None, "sql-42601"),
    ],
)
def test_query(dsn: str, query: str, expect: str | None, kind: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, unsent, good, bad = probe(dsn, query, monkeypatch, expect=expect).total()
    assert planned > 20
    assert unsent == 0
    assert good == (planned if kind is None else 0)
    assert bad == ({} if kind is None else {kind: planned})


def test_queries_that_hang_keep_the_rate_and_let_go_of_their_connections(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = probe(dsn, "SELECT pg_sleep(60)", monkeypatch, every=0.05, timeout=0.5, seconds=2.0)
    planned, unsent, _, bad = measured.total()
    assert planned >= 38
    assert unsent == 0
    assert bad == {"timeout": planned}
    assert len(measured.slices()) >= 19
    time.sleep(0.5)  # the lease of a query at the server: its timeout and a tenth of a second
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aftershock-probe'")
        assert found.fetchone() == (0,)


def test_queries_that_even_the_server_does_not_end_give_their_threads_back(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for_ever = "SET statement_timeout = 0; SELECT pg_sleep(4)"
    planned, unsent, _, bad = probe(dsn, for_ever, monkeypatch, every=0.05, timeout=0.5, seconds=2.2).total()
    assert planned > 40, "more than there are threads"
    assert (unsent, bad) == (0, {"timeout": planned})
    wait_until_gone(dsn)


def wait_until_gone(dsn: str) -> None:
    """Wait until no backend of a prober is left."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aftershock-probe'"
        end = time.monotonic() + 20
        while connection.execute(count).fetchone() != (0,):
            assert time.monotonic() < end
            time.sleep(0.05)


def take_all(dsn: str, held: ExitStack) -> None:
    """Connect until refused."""
    while True:
        try:
            held.enter_context(psycopg.connect(dsn))
        except psycopg.OperationalError:
            return


def test_no_slot_is_left(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as held:
        take_all(dsn, held)
        planned, _, _, bad = probe(dsn, "SELECT 1", monkeypatch).total()
    assert bad == {"sql-53300": planned}


def test_an_idle_connection_that_was_ended_costs_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each query ends its own session the moment it is idle again; none of them fails."""
    end_me = "SELECT set_config('idle_session_timeout', '1ms', false)"
    planned, unsent, good, bad = probe(dsn, end_me, monkeypatch, every=0.05, seconds=1.0).total()
    assert (planned, unsent, bad) == (good, 0, {})


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    away = postgres.dsn(free_port(), "app", PASSWORD)
    planned, _, _, bad = probe(away, "SELECT 1", monkeypatch).total()
    assert bad == {"refused": planned}


def test_wrong_password(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = probe(dsn.replace(PASSWORD, "wrongpassword"), "SELECT 1", monkeypatch)
    assert set(measured.total()[3]) == {"sql-28P01"}
    assert "wrongpassword" not in repr(measured.events)


def test_a_server_that_never_answers_takes_a_bounded_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(200)
        silent = postgres.dsn(sock.getsockname()[1], "app", PASSWORD)
        planned, unsent, _, bad = probe(silent, "SELECT 1", monkeypatch, timeout=0.5, seconds=1.5).total()
    assert bad == {"timeout": 32}
    assert unsent == planned - 32 > 30


def test_a_secret_in_a_note_is_blotted_out(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server repeats the name of a database that it doesn't have, and here that name is a secret, too."""
    monkeypatch.setenv("PLANTED_TOKEN", "planted-secret")
    monkeypatch.setenv("PLANTED_DSN", dsn.replace("dbname=postgres", "dbname=planted-secret"))
    wanted = [
        Indicator(name="q", sql=SqlProbe(database="primary", query="SELECT 1")),
        http("h", f"http://127.0.0.1:{free_port()}/", auth=HttpAuth(bearer=Secret(env="PLANTED_TOKEN"))),
    ]
    measured = measure(order(wanted, databases=[Database(name="primary", dsn=Secret(env="PLANTED_DSN"))]), 0.5)
    assert any("[redacted]" in note for note in measured.notes)
    assert "planted-secret" not in repr(measured.events)


def test_a_broken_dsn_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError) as raised:
        probe("hunter2 hunter3", "SELECT 1", monkeypatch)
    assert "hunter" not in str(raised.value) + raised.value.advice


def test_a_database_that_the_stack_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="replica"):
        probe("host=127.0.0.1", "SELECT 1", monkeypatch, database="replica")
