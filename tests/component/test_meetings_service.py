"""The meetings service on a real PostgreSQL: what it serves, what it does when the database refuses, stalls or dies."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import psycopg
import pytest

from meetings_server import Postgres, Service, running_postgres, running_service, wait_until

SLOTS = 17  # max_connections 20, of which 3 are the superuser's


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def service(database: Postgres) -> Iterator[Service]:
    with running_service(database.app) as running:
        yield running


def exhaust(database: Postgres, stack: ExitStack) -> int:
    """Take slots as the application's role until refused; return how many there were."""
    held = 0
    while True:
        try:
            stack.enter_context(closing(psycopg.connect(database.app)))
        except psycopg.OperationalError:
            return held
        held += 1


def test_a_meeting_is_made_listed_joined_and_left(service: Service) -> None:
    status, made = service.ask("POST", "/meetings", {"title": "planning"})
    assert status == 201
    number = made["id"]
    assert service.ask("POST", f"/meetings/{number}/join", {"name": "ada"})[0] == 200
    newest = service.ask("GET", "/meetings")[1][0]
    assert (newest["id"], newest["title"], newest["participants"]) == (number, "planning", 1)
    assert service.ask("POST", f"/meetings/{number}/leave", {"name": "ada"})[1]["left"] == 1
    assert service.ask("GET", "/meetings")[1][0]["participants"] == 0


def test_meeting_1_can_be_joined_from_the_start(service: Service) -> None:
    assert service.ask("GET", "/meetings/1/join")[0] == 200
    assert service.ask("POST", "/meetings/999999/join")[0] == 404


def test_a_note_that_was_acknowledged_is_committed(database: Postgres, service: Service) -> None:
    assert service.ask("POST", "/notes", {"id": "run-a-1", "text": "x"}) == (201, {"id": "run-a-1"})
    assert service.ask("POST", "/notes", {"id": "run-a-1", "text": "x"})[0] == 201  # the same again is no error
    assert service.ask("POST", "/notes", {"id": "run-b-1", "text": "x"})[0] == 201
    assert database.ask("SELECT id FROM notes WHERE id LIKE 'run-a%'") == [("run-a-1",)]
    assert service.ask("GET", "/notes?prefix=run-a") == (200, ["run-a-1"])
    assert {"run-a-1", "run-b-1"} <= set(service.ask("GET", "/notes")[1])


@pytest.mark.parametrize(
    "body", [[], {"id": 1, "text": "x"}, {"text": "x"}, {"id": "", "text": "x"}, {"id": "a\0", "text": ""}]
)
def test_a_wrong_note_is_refused(service: Service, body: object) -> None:
    assert service.ask("POST", "/notes", body)[0] == 400


def test_without_a_slot_it_refuses_at_once_and_lives(database: Postgres, service: Service) -> None:
    with ExitStack() as held:
        assert exhaust(database, held) == SLOTS
        status, answer = service.ask("POST", "/meetings", timeout=2.0)
        assert status == 503
        assert "connection slots" in answer["error"]
        assert service.ask("GET", "/readyz")[0] == 503
        assert service.ask("GET", "/healthz")[0] == 200
    wait_until(lambda: service.status("POST", "/meetings") == 201)


def test_without_a_pool_no_connection_outlives_its_request(database: Postgres, service: Service) -> None:
    with ThreadPoolExecutor(8) as clients:
        statuses = set(clients.map(lambda _: service.status("POST", "/meetings"), range(80)))
    assert statuses == {201}
    wait_until(lambda: database.sessions() == 0)


def test_a_pool_is_no_larger_than_it_says_and_is_used_again(database: Postgres) -> None:
    with running_service(database.app, POOL_SIZE="3") as service, ThreadPoolExecutor(12) as clients:
        assert set(clients.map(lambda _: service.status("POST", "/meetings"), range(120))) == {201}
        assert database.sessions() == 3
        with ExitStack() as held:
            assert exhaust(database, held) == SLOTS - 3
            assert service.status("POST", "/meetings") == 201  # what it holds, nobody can take from it
    wait_until(lambda: database.sessions() == 0)


def test_a_pool_survives_its_database(database: Postgres) -> None:
    """What it held idle is dead when the database is back: no client gets to feel it."""
    with running_service(database.app, POOL_SIZE="2") as service:
        assert service.status("POST", "/meetings") == 201
        database.stop()
        database.start()
        assert [service.status("POST", "/meetings") for _ in range(4)] == [201] * 4


def test_a_rate_limit_says_429(database: Postgres) -> None:
    with running_service(database.app, RATE_LIMIT="5") as service:
        statuses = [service.status("GET", "/meetings") for _ in range(40)]
        assert statuses[:5] == [200] * 5
        assert 429 in statuses
        assert service.ask("GET", "/healthz")[0] == 200


def test_a_database_that_never_answers_costs_the_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"host=127.0.0.1 port={silent.getsockname()[1]} user=app"
        with running_service(dsn, ready=False, CONNECT_TIMEOUT="0.5") as service:
            assert service.ask("POST", "/meetings") == (503, {"error": "no connection within 0.5 s"})


@pytest.mark.parametrize("pool", ["0", "1"])
def test_a_database_that_freezes_costs_the_statement_timeout_and_a_second(database: Postgres, pool: str) -> None:
    """A frozen backend can't cancel its statement: the service has to let go by itself."""
    with running_service(database.app, POOL_SIZE=pool, STATEMENT_TIMEOUT="0.5") as service:
        with psycopg.connect(f"{database.superuser} dbname=meetings") as locker:
            locker.execute("LOCK TABLE meetings")
            answers: list[int] = []
            client = threading.Thread(target=lambda: answers.append(service.status("POST", "/meetings")))
            client.start()
            frozen: list[int] = []

            def found() -> bool:
                frozen[:] = [
                    pid for (pid,) in database.ask("SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                ]
                return bool(frozen)

            wait_until(found)
            os.kill(frozen[0], signal.SIGSTOP)
            try:
                client.join(20)
                assert answers == [503]
            finally:
                os.kill(frozen[0], signal.SIGCONT)
        wait_until(lambda: service.status("POST", "/meetings") == 201)


def test_a_locked_table_ends_with_the_statement_timeout(database: Postgres) -> None:
    with running_service(database.app, STATEMENT_TIMEOUT="0.3") as service:
        with psycopg.connect(f"{database.superuser} dbname=meetings") as locker:
            locker.execute("LOCK TABLE meetings")
            status, answer = service.ask("POST", "/meetings")
        assert (status, "statement timeout" in answer["error"]) == (503, True)


def test_it_starts_before_its_database_and_is_ready_after_it(database: Postgres) -> None:
    database.stop()
    with running_service(database.app, ready=False) as service:
        assert service.ask("GET", "/readyz")[0] == 503
        assert service.ask("POST", "/meetings")[0] == 503
        database.start()
        wait_until(lambda: service.status("GET", "/readyz") == 200)


def test_sigterm_ends_it_cleanly_while_a_request_hangs(database: Postgres) -> None:
    with running_service(database.app) as service:
        with psycopg.connect(f"{database.superuser} dbname=meetings") as locker:
            locker.execute("LOCK TABLE meetings")
            client = threading.Thread(target=lambda: service.status("POST", "/meetings"))
            client.start()
            wait_until(lambda: database.ask("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
            started = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(20) == 0
            assert time.monotonic() - started < 9  # by itself, and not by the statement timeout of 10 s
            client.join()
        wait_until(lambda: database.sessions() == 0)


def test_what_is_old_is_swept(database: Postgres) -> None:
    with running_service(database.app):
        pass
    database.ask("INSERT INTO meetings (title, created) VALUES ('old', now() - interval '1 h')")
    database.ask("INSERT INTO participants (meeting, name, joined) VALUES (1, 'old', now() - interval '1 h')")
    database.ask("INSERT INTO notes (id, text, written) VALUES ('old', '', now() - interval '1 h'), ('new', '', now())")
    database.ask("UPDATE meetings SET created = now() - interval '1 h' WHERE id = 1")
    with running_service(database.app, KEEP="1800") as service:
        wait_until(lambda: not database.ask("SELECT 1 FROM notes WHERE id = 'old'"))
        assert not database.ask("SELECT 1 FROM participants WHERE name = 'old'")
        assert not database.ask("SELECT 1 FROM meetings WHERE title = 'old'")
        assert database.ask("SELECT 1 FROM notes WHERE id = 'new'")
        assert service.status("GET", "/meetings/1/join") == 200
