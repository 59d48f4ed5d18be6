"""Does a client find what it has just written? A write through an entry point, and a read of the same as soon as it is
acknowledged.

The read is sent with the cookies that came with the acknowledgement, as a browser would: affinity to a server and whatever
the service remembers of its client are kept by them (RFC 6265; what else a cookie says, as `Path`, is not looked at: the
read is sent at once, to the service that set it). A write is never sent twice, so that no read finds another's twin.
"""

import re
from itertools import count
from urllib.parse import quote

import msgspec

from aftershock.model.stack import ReadYourWritesProbe
from aftershock.probes.answer import Answer
from aftershock.probes.connection import Channel, Outcome
from aftershock.probes.http import Means, authorized, why
from aftershock.probes.pulse import Pulse, Request
from aftershock.probes.request import head, parse_url, whole

STALE = "stale"
"""The kind of failure of a read that does not find an acknowledged write."""

_COOKIE = re.compile(rb"\r\nset-cookie:[ \t]*([^;\r\n]+)", re.IGNORECASE)


def cookies(answer_head: bytes) -> bytes:
    r"""Return what an answer's cookies are sent back as: a header line, or nothing.

    >>> cookies(b"HTTP/1.1 201 Created\r\nSet-Cookie: at=app-1; Path=/\r\nset-cookie: b=2")
    b'Cookie: at=app-1; b=2\r\n'
    """
    found = [each.strip() for each in _COOKIE.findall(answer_head)]
    return b"Cookie: " + b"; ".join(found) + b"\r\n" if found else b""


class ReadYourWrites:
    """Writes and reads. Good: acknowledged, and there at once. `prefix` with `numbers` makes ids that nobody else has."""

    def __init__(
        self, pulse: Pulse, wanted: ReadYourWritesProbe, means: Means, *, prefix: str, numbers: "count[int]"
    ) -> None:
        write = parse_url(wanted.write)
        read = parse_url(wanted.read.replace("{id}", "0"))
        self._pulse, self._note = pulse, means.note
        self._prefix, self._numbers = prefix, numbers
        self._headers = authorized(wanted.headers, wanted.auth, means.folder)
        self._read = wanted.read
        self._start = head("POST", write, {"Content-Type": "application/json", **self._headers})
        self._writing = Channel(means.peer(write), self._written, resend=False)
        self._reading = Channel(means.peer(read), self._found)

    def send(self, request: Request) -> None:
        """Write now; never block."""
        request.number = next(self._numbers)
        body = msgspec.json.encode({"id": self._id(request), "text": "written by aftershock to be read at once"})
        self._writing.send(request, whole(self._start, body))

    def abandon(self, request: Request) -> None:
        """Let go: the request's time is over."""
        self._writing.abandon(request)  # whichever of the two it waits for: its line knows

    def _id(self, request: Request) -> str:
        return f"{self._prefix}{request.number}"

    def _written(self, request: Request, kind: str | None, outcome: Outcome) -> None:
        """Read what was acknowledged; a write that was not is a failure of its own."""
        if not isinstance(outcome, Answer) or kind is not None:
            self._end(request, kind, outcome)
        elif not 200 <= outcome.status < 300:
            self._end(request, f"status-{outcome.status}", outcome)
        else:
            url = parse_url(self._read.replace("{id}", quote(self._id(request), safe="")))
            self._reading.send(request, whole(head("GET", url, self._headers) + cookies(outcome.head), None))

    def _found(self, request: Request, kind: str | None, outcome: Outcome) -> None:
        if isinstance(outcome, Answer) and kind is None and outcome.status != 200:
            kind = STALE if outcome.status == 404 else f"status-{outcome.status}"
        self._end(request, kind, outcome)

    def _end(self, request: Request, kind: str | None, outcome: Outcome) -> None:
        if kind == "error":
            self._note(why(outcome))
        self._pulse.settle(request, kind)
