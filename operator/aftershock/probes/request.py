"""The bytes of an HTTP request, made once and sent many times. Pure.

Nothing that a document holds can end a header line early or smuggle a second request: what would is refused here.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from aftershock.errors import InputError

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[^\r\n\0]*")
_OURS = frozenset({"content-length", "transfer-encoding", "connection", "expect", "upgrade"})
_SAFE = "!#$%&'()*+,-./:;=?@[]_~"


class Place(NamedTuple):
    """Who is connected to."""

    tls: bool
    host: str
    port: int


class Url(NamedTuple):
    """An address, taken apart: `target` is what stands in the request line, `authority` in the Host header."""

    place: Place
    authority: str
    target: str


def parse_url(text: str) -> Url:
    """Take an http or https URL apart; InputError where it is none."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{text!r} is no URL: {error}", "write it like http://127.0.0.1:8080/path") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise InputError(f"{text!r} is no http or https URL", "write it like http://127.0.0.1:8080/path")
    if parts.username is not None or parts.password is not None:
        raise InputError(f"the URL of {host} holds a user name", "put it under `auth:`, where secrets are only named")
    name = _ascii(host)
    shown = f"[{name}]" if ":" in name else name
    target = quote(parts.path or "/", safe=_SAFE) + ("?" + quote(parts.query, safe=_SAFE) if parts.query else "")
    tls = parts.scheme == "https"
    return Url(Place(tls, name, port or (443 if tls else 80)), f"{shown}:{port}" if port else shown, target)


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        raise InputError(f"{host!r} is no host name", "check the URL") from None


def basic(username: str, password: str) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode("ascii")


def head(method: str, url: Url, headers: Mapping[str, str], *, new: bool = False) -> bytes:
    """Return the request line and the headers, up to where a Content-Length would stand.

    `headers` win over what is sent by default. `new`: the connection serves this request only.
    """
    fields = {"Host": url.authority, "User-Agent": "aftershock", "Accept": "*/*"}
    for name, value in headers.items():
        _check(name, value)
        for default in [default for default in fields if default.lower() == name.lower()]:
            del fields[default]
        fields[name] = value
    if new:
        fields["Connection"] = "close"
    lines = [f"{method} {url.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n"


def _check(name: str, value: str) -> None:
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise InputError(
            f"{name!r} is no header, or its value has a line end", "write one header a line, `Name: value`"
        )
    if name.lower() in _OURS:
        raise InputError(
            f"the header {name} is set by the prober", "leave it out; `connection: new` asks for a new one"
        )


def whole(start: bytes, body: bytes | None) -> bytes:
    """Return the request that begins with `start` (from `head`) and has this body."""
    if body is None:
        return start + b"\r\n"
    return b"%sContent-Length: %d\r\n\r\n%s" % (start, len(body), body)


def content_type(body: str) -> str:
    """Say what a body is, for documents that don't."""
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "text/plain; charset=utf-8"
    return "application/json"
