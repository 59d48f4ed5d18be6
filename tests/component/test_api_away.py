"""An API server that can't be reached: said in words, whatever requests and urllib3 make of it."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from aftershock.adapters import kubernetes as k8s
from component.conftest import free_port

Blow = Callable[[socket.socket], object]


def says(url: str, folder: Path) -> str:
    """Return why the API server can't be reached."""
    kubeconfig = {
        "clusters": [{"name": "c", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
    with pytest.raises(k8s.ApiAwayError) as away:
        k8s.Api.connect(folder / "kubeconfig", timeout=0.5).list(k8s.RUNS)
    before, _, why = away.value.problem.partition(" can't be reached: ")
    assert before == f"the API server {url}"
    return why


@contextmanager
def listening(blow: Blow) -> Iterator[int]:
    """A server that does this to whoever connects, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    caller, _ = server.accept()
                    with caller, suppress(OSError, ssl.SSLError):
                        blow(caller)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def reset(caller: socket.socket) -> None:
    caller.recv(10)
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def nothing(_: socket.socket) -> None:
    """Only to be closed."""


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("blow", "why"), [(nothing, k8s.CLOSED), (reset, "Connection reset by peer")], ids=["closed", "reset"]
)
def test_a_server_that_hangs_up(scheme: str, blow: Blow, why: str, tmp_path: Path) -> None:
    with listening(blow) as port:
        assert says(f"{scheme}://127.0.0.1:{port}", tmp_path) in {why, "Connection reset by peer"}


def test_one_that_does_not_speak_tls(tmp_path: Path) -> None:
    with listening(lambda caller: (caller.recv(1000), caller.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"))) as port:
        assert says(f"https://127.0.0.1:{port}", tmp_path).startswith("TLS fails: ")


def test_one_that_keeps_silent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert says(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path) == "it did not answer in time"


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert says(f"https://127.0.0.1:{free_port()}", tmp_path) == "Connection refused"
