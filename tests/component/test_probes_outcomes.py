"""Every way in which a request can end, against real servers whose truth is known."""

import shlex
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock.errors import InputError, TargetError
from aftershock.model.metadata import Secret
from aftershock.model.stack import BasicAuth, HttpAuth
from planted import HANG, Asked, free_port, http, measure, order, response, serving


def test_good_answers_count_as_good() -> None:
    with serving(lambda _: response()) as server:
        measured = measure(order([http("a", server.url)]), 0.4)
        planned, unsent, good, bad = measured.total()
        assert planned == good == len(server.asked) > 20
        assert (unsent, bad) == (0, {})
        assert server.accepted < planned / 2, "connections are kept"


def test_new_connection_for_each_request() -> None:
    with serving(lambda _: response()) as server:
        measured = measure(order([http("a", server.url, connection="new")]), 0.3)
        assert server.accepted == len(server.asked) == measured.total()[2] > 10
        assert all(b"Connection: close" in asked.head for asked in server.asked)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(503), "status-503"),
        (response(200, b"no"), "body"),
        (None, "reset"),
        (HANG, "timeout"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "timeout"),
        (b"SSH-2.0-OpenSSH\r\n", "error"),
    ],
    ids=["status", "body", "reset", "hang", "half and silence", "malformed"],
)
def test_each_failure_has_its_kind(answer: bytes | None, kind: str) -> None:
    with serving(lambda _: answer) as server:
        measured = measure(order([http("a", server.url, every=0.02, timeout=1.0, contains="ok")]), 0.3)
    planned, unsent, good, bad = measured.total()
    assert bad == {kind: planned}
    assert planned > 5
    assert (unsent, good) == (0, 0)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"HTTP/1.1 200"])
def test_half_an_answer_is_a_lost_connection(answer: bytes) -> None:
    with serving(lambda _: answer, close=True) as server:
        planned, _, _, bad = measure(order([http("a", server.url)]), 0.2).total()
    assert bad == {"reset": planned}


def test_nobody_listens() -> None:
    planned, _, _, bad = measure(order([http("a", f"http://127.0.0.1:{free_port()}/")]), 0.2).total()
    assert bad == {"refused": planned}


def test_listening_without_accepting() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(100)
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        planned, unsent, _, bad = measure(order([http("a", url, timeout=0.2)]), 0.4).total()
    assert bad == {"timeout": planned}
    assert unsent == 0


def test_hang_of_everything_keeps_the_rate() -> None:
    with serving(lambda _: HANG) as server:
        measured = measure(order([http("a", server.url, every=0.002, timeout=1.0)]), 1.5)
        _, *whole = [each for each in measured.slices() if each.planned]  # the schedule began somewhere in the first
        assert [each.planned for each in whole[:10]] == [50] * 10
        assert [each.bad for each in whole[:10]] == [{"timeout": 50}] * 10
        assert server.accepted == len(server.asked) == measured.total()[0], (
            "each hanging request has its own connection"
        )


def test_failing_37_of_each_100() -> None:
    count = iter(range(1 << 30))
    with serving(lambda _: response(500 if next(count) % 100 < 37 else 200)) as server:
        measured = measure(order([http("a", server.url)], counted="load"), 5.2, [(4.0, 1000.0), (5.0, 0.0)])
    assert measured.total() == (1000, 0, 630, {"status-500": 370})


def test_body_by_chunks_and_to_the_end_of_the_stream() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n"
    with serving(lambda _: chunked) as server:
        planned, _, good, _ = measure(order([http("a", server.url, contains="yes")]), 0.2).total()
        assert planned == good
        assert server.accepted < planned / 2
    with serving(lambda _: b"HTTP/1.1 200 OK\r\n\r\nyes", close=True) as server:
        planned, _, good, _ = measure(order([http("a", server.url, contains="yes")]), 0.2).total()
        assert planned == good == server.accepted


def test_large_request_and_answer() -> None:
    text = "x" * 3_000_000
    with serving(lambda asked: response(200, asked.body)) as server:
        wanted = http("a", server.url, every=0.1, method="POST", body=text, contains=text)
        planned, _, good, bad = measure(order([wanted]), 0.5).total()
    assert (planned, bad) == (good, {})


def test_connection_closed_while_idle_costs_nothing() -> None:
    """The server closes after each answer without saying so: every reused connection is stale, no request fails."""
    with serving(lambda _: response(), close=True) as server:
        planned, unsent, good, bad = measure(order([http("a", server.url, method="POST", body="{}")]), 0.3).total()
    assert (planned, unsent, bad) == (good, 0, {})


def test_stale_connection_is_tried_once_more_and_only_once() -> None:
    """From its third request on a connection resets each: one retry on a new one succeeds, which is counted as one."""
    served: dict[int, int] = {}

    def answer(asked: Asked) -> bytes | None:
        served[asked.peer] = served.get(asked.peer, 0) + 1
        return response() if served[asked.peer] < 3 else None

    with serving(answer) as server:
        measured = measure(order([http("a", server.url)]), 0.4)
        planned, _, good, bad = measured.total()
        assert (planned, bad) == (good, {})
        assert len(server.asked) > planned
    with serving(lambda asked: None if served.setdefault(-1, 0) else response()) as server:
        served[-1] = 1
        planned, _, _, bad = measure(order([http("a", server.url)]), 0.2).total()
        assert bad == {"reset": planned}
        assert len(server.asked) == planned, "on a fresh connection nothing is sent twice"


def test_next_address_is_tried() -> None:
    """`localhost` is ::1 and 127.0.0.1 on most machines; the server listens on one of them."""
    with serving(lambda _: response()) as server:
        planned, _, good, bad = measure(order([http("a", f"http://localhost:{server.port}/")]), 0.2).total()
    assert (planned, bad) == (good, {})


def test_what_this_machine_could_not_send_is_unsent_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request that hangs holds a descriptor; the prober starts with few of them, and can't get more."""
    few = tmp_path / "few-files"
    few.write_text(f'#!/bin/sh\nulimit -n 40\nexec {shlex.quote(sys.executable)} "$@"\n')
    few.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(few))
    with serving(lambda _: HANG) as server:
        measured = measure(order([http("a", server.url, timeout=3.0)]), 1.0)
    planned, unsent, good, bad = measured.total()
    assert good == 0
    assert 0 < bad["timeout"] < 40
    assert unsent == planned - bad["timeout"]
    assert any("could not send it: Too many open files; raise `ulimit -n`" in each for each in measured.notes)


def test_authorization_is_sent_and_told_to_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("planted-bearer-secret\n")
    monkeypatch.setenv("PLANTED_PASSWORD", "planted-basic-secret")
    bearer = HttpAuth(bearer=Secret(file="token"))
    with_password = HttpAuth(basic=BasicAuth(username="me", password=Secret(env="PLANTED_PASSWORD")))
    with serving(lambda _: b"planted-bearer-secret nonsense") as server:
        wanted = [http("a", server.url, auth=bearer), http("b", server.url, auth=with_password)]
        measured = measure(order(wanted, folder=str(tmp_path)), 0.2)
        heads = b"".join(asked.head for asked in server.asked)
    assert b"Authorization: Bearer planted-bearer-secret" in heads
    assert b"Authorization: Basic bWU6cGxhbnRlZC1iYXNpYy1zZWNyZXQ=" in heads
    assert measured.notes
    assert "secret" not in repr(measured.events)


def test_a_secret_in_an_error_is_blotted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "planted-secret.invalid")
    wanted = http("a", "http://planted-secret.invalid/", auth=HttpAuth(bearer=Secret(env="PLANTED")))
    with pytest.raises(TargetError, match="resolved") as raised:
        measure(order([wanted]), 0.1)
    assert "planted-secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("indicator", "error", "words"),
    [
        (http("a", "ftp://h/"), InputError, "URL"),
        (http("a", "http://h/", auth=HttpAuth(bearer=Secret(env="NOT_SET_ANYWHERE"))), InputError, "NOT_SET_ANYWHERE"),
        (http("a", "http://h/", auth=HttpAuth()), InputError, "auth"),
        (http("a", "http://h/", every=0.0), InputError, "every"),
        (http("a", "http://h/", headers={"X": "a\r\nb"}), InputError, "line end"),
        (http("a", "http://no-such-host.invalid/"), TargetError, "no-such-host.invalid"),
    ],
)
def test_what_cannot_be_probed_is_refused_at_the_start(indicator: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        measure(order([indicator]), 0.1)  # type: ignore[list-item]


def certificate(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


def test_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, cert = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    body = b"y" * 200_000
    with serving(lambda _: response(200, body), tls=context) as server:
        wanted = [http("a", f"https://127.0.0.1:{server.port}/", every=0.05, contains="y" * 200_000)]
        planned, _, _, bad = (untrusted := measure(order(wanted), 0.4)).total()
        assert bad == {"error": planned}
        assert "certificate" in untrusted.notes[0]
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        before = server.accepted
        planned, _, good, bad = measure(order(wanted), 0.4).total()
        assert (planned, bad) == (good, {})
        assert server.accepted == before + 1
