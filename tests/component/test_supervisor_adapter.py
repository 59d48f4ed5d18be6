"""The supervisord adapter, against a real supervisord."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from aftershock.adapters import supervisor
from aftershock.errors import TargetError
from aftershock.model.stack import SupervisorControl

CONFIG = """
[supervisord]
nodaemon = true
user = {user}
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
[unix_http_server]
file = {folder}/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:sleeper]
command = sleep 1000
startsecs = 0
[program:broken]
command = false
autostart = false
startretries = 0
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="as.") as folder:
        config = Path(folder, "supervisord.conf")
        config.write_text(CONFIG.format(folder=folder, user=os.geteuid()))
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", config], stdout=subprocess.DEVNULL
        )
        try:
            wait_for(lambda: Path(folder, "s.sock").exists())
            yield f"unix://{folder}/s.sock"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def wait_for(condition, seconds: float = 10.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def sleeps(pid: int | None) -> bool:
    """With `startsecs = 0` supervisord calls a child running that it has only forked; it loses a signal until its exec."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep")


def test_stop_start_restart_and_what_is_so_already(url: str) -> None:
    sleeper = SupervisorControl(url=url, program="sleeper")
    wait_for(lambda: supervisor.info(sleeper).state == "RUNNING")
    first = supervisor.info(sleeper).pid
    supervisor.start(sleeper)
    assert supervisor.info(sleeper).pid == first
    wait_for(lambda: sleeps(first))
    supervisor.restart(sleeper)
    second = supervisor.info(sleeper).pid
    assert second not in (first, None)
    wait_for(lambda: sleeps(second))
    supervisor.stop(sleeper)
    supervisor.stop(sleeper)
    stopped = supervisor.info(sleeper)
    assert (stopped.state, stopped.pid) == ("STOPPED", None)
    supervisor.start(sleeper)
    assert supervisor.info(sleeper).state == "RUNNING"


def test_signal_kills(url: str) -> None:
    sleeper = SupervisorControl(url=url, program="sleeper")
    supervisor.start(sleeper)
    first = supervisor.info(sleeper).pid
    supervisor.signal(sleeper, "KILL")
    wait_for(lambda: supervisor.info(sleeper).pid not in (None, first))  # supervisord brings it back


def test_lists_every_program_and_itself(url: str) -> None:
    assert {each.program for each in supervisor.programs(url)} == {"sleeper", "broken"}
    assert supervisor.supervisor_pid(url) > 1


def test_a_program_that_dies_at_once_is_a_target_error(url: str) -> None:
    with pytest.raises(TargetError, match=r"ABNORMAL_TERMINATION|SPAWN_ERROR"):
        supervisor.start(SupervisorControl(url=url, program="broken"))


def test_an_unknown_program_is_named(url: str) -> None:
    with pytest.raises(TargetError, match="nonesuch") as refused:
        supervisor.info(SupervisorControl(url=url, program="nonesuch"))
    assert "program:" in refused.value.advice


@pytest.mark.parametrize("url", ["unix:///nonexistent/s.sock", "http://127.0.0.1:1", "ftp://x", f"unix:///{'x' * 200}"])
def test_unreachable_is_a_target_error(url: str) -> None:
    with pytest.raises(TargetError, match="failed"):
        supervisor.info(SupervisorControl(url=url, program="sleeper"))


@pytest.mark.parametrize("drip", [False, True])
def test_the_deadline_holds_for_the_whole_call(drip: bool) -> None:
    """A server that says nothing, and one that never stops talking."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = threading.Event()

        def serve() -> None:
            wire, _ = server.accept()
            with wire, suppress(OSError):  # the client hangs up on us
                while not done.wait(0.02):
                    if drip:
                        wire.send(b"x")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with pytest.raises(TargetError, match=r"no answer within 0\.3 s"):
                supervisor.info(SupervisorControl(url=f"http://127.0.0.1:{port}", program="x"), deadline=0.3)
        finally:
            done.set()
            thread.join()


def test_what_speaks_no_xmlrpc_is_a_target_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            wire, _ = server.accept()
            with wire:
                wire.recv(65536)
                wire.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(TargetError, match="404"):
            supervisor.info(SupervisorControl(url=f"http://127.0.0.1:{server.getsockname()[1]}", program="x"))
        thread.join()
