"""supervisord: start, stop, restart and signal a program that it keeps, over its XML-RPC interface.

Every call opens a connection of its own and has one deadline for all of it; a failure is a TargetError. Asking for what
is so already (start a running program, stop a stopped one) succeeds.
"""

import socket
import time
from base64 import b64encode
from typing import Any, Literal
from urllib.parse import unquote, urlsplit
from xml.parsers.expat import ExpatError
from xmlrpc.client import Fault, dumps, loads  # replies come from our own supervisord

import msgspec

from aftershock.errors import TargetError
from aftershock.model.stack import SupervisorControl

DEADLINE = 5.0
State = Literal["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"]

_NO_WAIT = False
_BAD_NAME, _ALREADY_STARTED, _NOT_RUNNING = 10, 60, 70
_ADVICE = "see `aftershock stack status`; `aftershock stack up` repairs a local stack"


class Info(msgspec.Struct, frozen=True):
    """One program as supervisord sees it. `pid` is None while it has no process; `log` is the path of its output."""

    program: str
    state: State
    pid: int | None
    started: int
    because: str
    log: str


def info(control: SupervisorControl, deadline: float = DEADLINE) -> Info:
    """Return how the program stands. `deadline` in seconds, here and below."""
    return _info(_call(control.url, "getProcessInfo", control.program, deadline=deadline))


def programs(url: str, deadline: float = DEADLINE) -> list[Info]:
    """Return every program that the supervisord at `url` keeps."""
    return [_info(each) for each in _call(url, "getAllProcessInfo", deadline=deadline)]


def start(control: SupervisorControl, deadline: float = DEADLINE) -> None:
    """Start the program and wait until supervisord says that it runs."""
    _call(control.url, "startProcess", control.program, deadline=deadline, fine=_ALREADY_STARTED)


def launch(control: SupervisorControl, deadline: float = DEADLINE) -> None:
    """Start the program and don't wait for supervisord's `startsecs`; one that can't be run at all is a TargetError."""
    _call(control.url, "startProcess", control.program, _NO_WAIT, deadline=deadline, fine=_ALREADY_STARTED)


def stop(control: SupervisorControl, deadline: float = DEADLINE) -> None:
    """Stop the program and wait until it is gone: it stays down until somebody starts it."""
    _call(control.url, "stopProcess", control.program, deadline=deadline, fine=_NOT_RUNNING)


def restart(control: SupervisorControl, deadline: float = 2 * DEADLINE) -> None:
    """Stop and start the program, within one deadline."""
    end = time.monotonic() + deadline
    stop(control, deadline)
    start(control, max(0.1, end - time.monotonic()))


def signal(control: SupervisorControl, name: str, deadline: float = DEADLINE) -> None:
    """Send the program's process a signal, `KILL` or `STOP` for example. TargetError if it has none."""
    _call(control.url, "signalProcess", control.program, name, deadline=deadline)


def supervisor_pid(url: str, deadline: float = DEADLINE) -> int:
    """Return supervisord's own process id."""
    return int(_call(url, "getPID", deadline=deadline))


def shutdown(url: str, deadline: float = DEADLINE) -> None:
    """Tell supervisord to stop every program and end. It returns before that is done."""
    _call(url, "shutdown", deadline=deadline)


def _info(told: dict[str, Any]) -> Info:
    return Info(
        program=told["name"],
        state=told["statename"],
        pid=told["pid"] or None,
        started=told["start"],
        because=told["spawnerr"] or told["description"],
        log=told["stdout_logfile"],
    )


def _call(url: str, method: str, *arguments: str | bool, deadline: float, fine: int = 0) -> Any:
    """Call `supervisor.<method>`; the fault code `fine` counts as success."""
    asked = f"supervisord at {url}: {method}{arguments}"
    try:
        reply = _exchange(url, dumps(arguments, f"supervisor.{method}").encode(), time.monotonic() + deadline)
        (answer,), _ = loads(reply)
    except Fault as fault:
        if fault.faultCode == fine:
            return None
        raise TargetError(f"{asked} was refused: {fault.faultString}", _advice(fault.faultCode)) from None
    except TimeoutError:
        raise TargetError(f"{asked} had no answer within {deadline:g} s", _ADVICE) from None
    except (OSError, ExpatError, ValueError) as error:
        raise TargetError(f"{asked} failed: {error}", _ADVICE) from None
    return answer


def _advice(code: int) -> str:
    if code == _BAD_NAME:
        return "the Stack names a program that this supervisord doesn't keep: correct `program:`"
    return _ADVICE


def _exchange(url: str, body: bytes, end: float) -> bytes:
    """Post `body` and return the reply's body. TimeoutError once the monotonic clock passes `end`."""
    parts = urlsplit(url)
    with _connect(url, end) as wire:
        wire.sendall(_request(parts.hostname or "localhost", parts.username, parts.password, body))
        reply = bytearray()
        while chunk := _receive(wire, end):
            reply += chunk
    head, _, content = bytes(reply).partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode("latin-1")
    if " 200" not in status:
        raise ValueError(f"it answered {status!r}")
    return content


def _connect(url: str, end: float) -> socket.socket:
    parts = urlsplit(url)
    left = max(0.001, end - time.monotonic())
    if parts.scheme == "http":
        return socket.create_connection((parts.hostname or "", parts.port or 80), left)
    if parts.scheme != "unix":
        raise ValueError("its URL is neither unix:///path nor http://host:port")
    wire = socket.socket(socket.AF_UNIX)
    try:
        wire.settimeout(left)
        wire.connect(unquote(parts.path))
    except BaseException:
        wire.close()
        raise
    return wire


def _receive(wire: socket.socket, end: float) -> bytes:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    wire.settimeout(left)
    return wire.recv(65536)


def _request(host: str, user: str | None, password: str | None, body: bytes) -> bytes:
    """HTTP/1.0, so that the reply ends where the connection does."""
    lines = ["POST /RPC2 HTTP/1.0", f"Host: {host}", "Content-Type: text/xml", f"Content-Length: {len(body)}"]
    if user is not None:
        token = b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
        lines.append(f"Authorization: Basic {token}")
    return "\r\n".join([*lines, "", ""]).encode() + body
