"""etcd, through its gateway that speaks JSON: what it holds, whom it obeys. Synchronous, with a deadline a call."""

import base64
import json
import os
import socket
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import msgspec

from aftershock.errors import TargetError

DEADLINE = 2.0
CLOSING = 20.0
"""Seconds for each call that closes it: it makes a hash of the password, and takes its time."""
ROOT = "root"
"""The user, and the role, that etcd has no authentication without."""


class _Pair(msgspec.Struct, frozen=True):
    value: str = ""  # base64; left out where it is empty


class _Range(msgspec.Struct, frozen=True):
    kvs: list[_Pair] = []


def value(host: str, port: int, key: str) -> str | None:
    """Return what the etcd at `host`:`port` holds under a key, None for nothing. TargetError where it doesn't answer."""
    asked = {"key": base64.b64encode(key.encode()).decode()}
    content = _call(HTTPConnection(host, port, timeout=DEADLINE), f"{host}:{port}", "/v3/kv/range", asked)
    try:
        found = msgspec.json.decode(content, type=_Range).kvs
        return base64.b64decode(found[0].value, validate=True).decode() if found else None
    except (msgspec.DecodeError, ValueError) as error:  # no base64 and no UTF-8 are ValueErrors, too
        raise TargetError(f"what answers at {host}:{port} is no etcd: {error}", "correct the address") from None


def close(path: Path, password: str) -> None:
    """Have the etcd that answers at a socket obey nobody but `root`, with this password, from now on and after every start.

    TargetError where it doesn't answer, or has been closed before.
    """
    for call, body in (
        ("role/add", {"name": ROOT}),
        ("user/add", {"name": ROOT, "password": password}),
        ("user/grant", {"user": ROOT, "role": ROOT}),
        ("enable", {}),
    ):
        _call(_Local(path), str(path), f"/v3/auth/{call}", body)


class _Local(HTTPConnection):
    """HTTP through a Unix-domain socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CLOSING)
        self._path = path

    def connect(self) -> None:
        """Reach it through its folder: its path may be longer than a socket's may be."""
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def _call(wire: HTTPConnection, at: str, path: str, asked: Mapping[str, Any]) -> bytes:
    with closing(wire):
        try:
            wire.request("POST", path, json.dumps(asked), {"Content-Type": "application/json"})
            answer = wire.getresponse()
            content = answer.read(1 << 16)
        except (OSError, HTTPException) as error:
            raise TargetError(f"etcd at {at} does not answer: {error}", "see whether it runs") from None
    if answer.status != 200:
        raise TargetError(f"etcd at {at} answers with {answer.status}", "see what its log says")
    return content
