"""Instant queries to Prometheus as an indicator (GET /api/v1/query of its HTTP API).

A query without a sample, or whose sample is NaN, measured nothing: that is missing data and not a failure of the stack.
"""

from math import inf, isnan
from typing import Any
from urllib.parse import quote

import msgspec

from aftershock.model.stack import PromqlProbe
from aftershock.probes.answer import Answer
from aftershock.probes.connection import Channel, Outcome
from aftershock.probes.http import TELLING, Means, authorized, why
from aftershock.probes.pulse import Pulse, Request
from aftershock.probes.request import head, parse_url, whole
from aftershock.probes.slices import UNSENT

OUTSIDE = "value"
"""The kind of failure of a sample outside its bounds."""


class _Data(msgspec.Struct, rename={"kind": "resultType"}):
    kind: str
    result: list[Any]


class _Reply(msgspec.Struct):
    data: _Data


_decoder = msgspec.json.Decoder(_Reply)


def samples(body: bytes) -> list[float] | None:
    """Return the values that a query came to: none, one, or several. None where the answer is no instant vector or scalar."""
    try:
        data = _decoder.decode(body).data
        if data.kind == "scalar":
            return [float(data.result[1])]
        if data.kind == "vector":
            return [float(series["value"][1]) for series in data.result]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, KeyError, IndexError, TypeError):
        pass
    return None


class Promql:
    """Asks one query. Good: exactly one sample, within the bounds."""

    def __init__(self, pulse: Pulse, wanted: PromqlProbe, means: Means) -> None:
        url = parse_url(f"{wanted.url.rstrip('/')}/api/v1/query?query={quote(wanted.query, safe='')}")
        self._pulse = pulse
        self._note = means.note
        self._low = -inf if wanted.at_least is None else wanted.at_least
        self._high = inf if wanted.at_most is None else wanted.at_most
        self._payload = whole(head("GET", url, authorized({}, wanted.auth, means.folder)), None)
        self._channel = Channel(means.peer(url), self._heard, keep=True)

    def send(self, request: Request) -> None:
        """Send now; never block."""
        self._channel.send(request, self._payload)

    def abandon(self, request: Request) -> None:
        """Let go: the request's time is over."""
        self._channel.abandon(request)

    def _heard(self, request: Request, kind: str | None, outcome: Outcome) -> None:
        if isinstance(outcome, Answer) and kind is None:
            kind = self._judge(outcome) if outcome.status == 200 else f"status-{outcome.status}"
        elif kind in TELLING:
            self._note(why(outcome))
        self._pulse.settle(request, kind)

    def _judge(self, answer: Answer) -> str | None:
        values = samples(answer.body)
        if values is None:
            self._note("the answer to the query holds no instant vector and no scalar")
            return "body"
        if len(values) > 1:
            self._note(f"the query gives {len(values)} samples; write it so that it gives one")
            return "body"
        if not values or isnan(values[0]):
            self._note("the query gave no sample; that is missing data")
            return UNSENT
        return None if self._low <= values[0] <= self._high else OUTSIDE
