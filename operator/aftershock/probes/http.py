"""HTTP requests as an indicator: the same bytes again and again, and a look at each answer."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from aftershock.adapters import secrets
from aftershock.errors import InputError
from aftershock.model.stack import HttpAuth, HttpProbe
from aftershock.probes.answer import Answer
from aftershock.probes.connection import Channel, Outcome, Peer
from aftershock.probes.loop import Loop
from aftershock.probes.pulse import Pulse, Request
from aftershock.probes.request import Url, basic, content_type, head, parse_url, whole
from aftershock.probes.slices import UNSENT

Note = Callable[[str], None]
"""Puts a sentence on record, once, however often it is said."""

Peers = Callable[[Url], Peer]
"""Finds the peer that a URL speaks of; those who share it share its connections."""


class Means(msgspec.Struct, frozen=True):
    """What probes work with, whatever their kind. Relative secret files start at `folder`."""

    loop: Loop
    peer: Peers
    folder: Path
    note: Note


def authorized(headers: Mapping[str, str], auth: HttpAuth | None, folder: Path) -> dict[str, str]:
    """Return the headers with the Authorization that `auth` names, read here and now."""
    if auth is None:
        return dict(headers)
    return {**headers, "Authorization": _authorization(auth, folder)}


def _authorization(auth: HttpAuth, folder: Path) -> str:
    if auth.bearer is not None:
        return f"Bearer {_one_line(secrets.read(auth.bearer, folder))}"
    if auth.basic is not None:
        return basic(auth.basic.username, secrets.read(auth.basic.password, folder))
    raise InputError("`auth:` is empty", "write `bearer:` or `basic:` under it")


def _one_line(secret: str) -> str:
    if not secret.isascii() or not secret.isprintable():
        raise InputError("a bearer token holds a line end or is not ASCII", "check the variable or file it stands in")
    return secret


class Http:
    """Sends one request as `HttpProbe` says. Good: the status is expected and the body contains what it should."""

    def __init__(self, pulse: Pulse, wanted: HttpProbe, means: Means) -> None:
        url = parse_url(wanted.url)
        new = wanted.connection == "new"
        self._pulse = pulse
        self._note = means.note
        self._expect = frozenset(wanted.expect)
        self._contains = None if wanted.contains is None else wanted.contains.encode("utf-8")
        self._payload = _payload(wanted, url, authorized(wanted.headers, wanted.auth, means.folder), new=new)
        self._channel = Channel(
            means.peer(url),
            self._heard,
            head_only=wanted.method == "HEAD",
            keep=self._contains is not None,
            new=new,
        )

    def send(self, request: Request) -> None:
        """Send now; never block."""
        self._channel.send(request, self._payload)

    def abandon(self, request: Request) -> None:
        """Let go: the request's time is over."""
        self._channel.abandon(request)

    def _heard(self, request: Request, kind: str | None, outcome: Outcome) -> None:
        if isinstance(outcome, Answer) and kind is None:
            kind = self._judge(outcome)
        elif kind in TELLING:
            self._note(why(outcome))
        self._pulse.settle(request, kind)

    def _judge(self, answer: Answer) -> str | None:
        if answer.status not in self._expect:
            return f"status-{answer.status}"
        return "body" if self._contains is not None and self._contains not in answer.body else None


TELLING = ("error", UNSENT)
"""Kinds whose reason is noted: they say little by themselves."""


def why(outcome: Outcome) -> str:
    """Say in a sentence why a request ended as a kind in `TELLING`."""
    if isinstance(outcome, Answer):
        return f"an answer can't be read: {outcome.problem}"
    return f"a request failed: {outcome or 'no reason was given'}"


def _payload(wanted: HttpProbe, url: Url, headers: dict[str, str], *, new: bool) -> bytes:
    body = wanted.body
    if body is None:
        bodiless = wanted.method in {"GET", "HEAD", "DELETE"}
        return whole(head(wanted.method, url, headers, new=new), None if bodiless else b"")
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type(body)
    return whole(head(wanted.method, url, headers, new=new), body.encode("utf-8"))
