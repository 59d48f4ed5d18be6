"""What gdnsd says over its control socket, and what becomes of an answer that is none."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aftershock.adapters import gdnsd
from aftershock.errors import TargetError

TOLD = b"""{
\t"geoip/ways/us-east": {"state": "NA", "real_state": "NA"},
\t"127.0.1.1/region": {"state": "UP!", "real_state": "DOWN"},
\t"127.0.2.1/region": {"state": "DOWN", "real_state": "DOWN"}
}
"""


def head(kind: bytes, size: int) -> bytes:
    return kind + bytes(3) + struct.pack("=I", size)


@contextmanager
def answering(path: Path, *chunks: bytes) -> Iterator[None]:
    """Take one connection, read one question, and answer in pieces."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        over = threading.Event()

        def serve() -> None:
            with listener.accept()[0] as wire:
                assert wire.recv(100) == b"E" + bytes(7)
                for chunk in chunks:
                    wire.sendall(chunk)
                if not chunks:
                    over.wait(10)  # it has taken the question, and never answers

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        over.set()
        thread.join()


def test_what_is_forced_is_told_from_what_it_finds(tmp_path: Path) -> None:
    with answering(tmp_path / "s", head(b"A", len(TOLD))[:3], head(b"A", len(TOLD))[3:] + TOLD[:20], TOLD[20:]):
        told = gdnsd.states(tmp_path / "s")
    assert told == {
        "geoip/ways/us-east": gdnsd.State("NA", "NA", forced=False),
        "127.0.1.1/region": gdnsd.State("UP", "DOWN", forced=True),
        "127.0.2.1/region": gdnsd.State("DOWN", "DOWN", forced=False),
    }


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (head(b"L", 0), "it answered b'L'"),
        (head(b"A", 1 << 31), "with 2147483648 bytes"),
        (head(b"A", 100) + TOLD[:20], "it ended after 20 of 100 bytes"),
        (head(b"A", 5) + b"[1,2]", "Expected `object`"),
        (b"A", "it ended after 1 of 8 bytes"),
    ],
)
def test_an_answer_that_is_none_is_told(tmp_path: Path, answer: bytes, said: str) -> None:
    with answering(tmp_path / "s", answer), pytest.raises(TargetError, match="gdnsd doesn't answer at") as told:
        gdnsd.states(tmp_path / "s")
    assert said in told.value.problem


def test_a_server_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    with answering(tmp_path / "s"), pytest.raises(TargetError, match="timed out"):
        gdnsd.states(tmp_path / "s", 0.05)


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="gdnsd doesn't answer at"):
        gdnsd.states(tmp_path / "s")
