"""The ledger: writes through an entry point, and afterwards reads back through one, as clients do.

A write that was answered 2xx is *acknowledged*. One that was answered 4xx, or for which no connection came about, was
*refused*: nobody was promised anything. Everything else (no answer in time, a lost connection, 5xx) is *indeterminate*: it
may be there or not. An acknowledged write that is absent when read back is *lost*: it is looked for a second time before
that is said, since a replica may lag, and only what is absent both times is lost.

Writes are never sent twice: then one could be there though its acknowledged twin is gone.
"""

from collections.abc import Callable
from itertools import count

import msgspec

from aftershock.core.history import Ledgered, Lost
from aftershock.core.shards import LOST_LISTED
from aftershock.model.stack import LedgerProbe
from aftershock.probes.answer import Answer
from aftershock.probes.connection import Channel, Outcome
from aftershock.probes.http import TELLING, Means, authorized, why
from aftershock.probes.pulse import Pulse, Request
from aftershock.probes.readback import Absent, ReadBack
from aftershock.probes.request import head, parse_url, whole
from aftershock.probes.schedule import SECOND

_NEVER_SENT = frozenset({"refused", "dns", "unsent"})
"""Kinds of failure of which it is known that nobody got the write."""


class Acknowledged:
    """What became of the writes of one indicator: `acknowledged` has the times of those, nanoseconds, by their numbers;
    `unknown` the times at which nobody waited any longer for those of which nothing is known.
    """

    def __init__(self, pulse: Pulse, means: Means) -> None:
        self.acknowledged: dict[int, int] = {}
        self.unknown: dict[int, int] = {}
        self._pulse, self._note, self._loop = pulse, means.note, means.loop

    @property
    def indeterminate(self) -> int:
        """How many there are of which nothing is known."""
        return len(self.unknown)

    def doubt(self, request: Request) -> None:
        """Take down that nobody knows what became of a write."""
        self.unknown[request.number] = self._loop.now()

    def keep(self, request: Request, answer: Answer) -> str | None:
        """Take an answer of 2xx as an acknowledgement; return the kind of failure where it is none after all."""
        raise NotImplementedError

    def heard(self, request: Request, kind: str | None, outcome: Outcome) -> None:
        """Take what came of a write."""
        if isinstance(outcome, Answer) and kind is None:
            if 200 <= outcome.status < 300:
                kind = self.keep(request, outcome)
            else:
                if not 400 <= outcome.status < 500:
                    self.doubt(request)
                kind = f"status-{outcome.status}"
        else:
            if kind not in _NEVER_SENT:
                self.doubt(request)
            if kind in TELLING:
                self._note(why(outcome))
        self._pulse.settle(request, kind)


class Ledger(Acknowledged):
    """One indicator's writes. `prefix` with `numbers` makes ids that no other run and no other ledger of this one has."""

    def __init__(
        self, pulse: Pulse, wanted: LedgerProbe, means: Means, *, name: str, prefix: str, numbers: "count[int]"
    ) -> None:
        url = parse_url(wanted.write)
        super().__init__(pulse, means)
        headers = authorized(wanted.headers, wanted.auth, means.folder)
        self._name = name
        self._prefix = prefix
        self._numbers = numbers
        self._start = head("POST", url, {"Content-Type": "application/json", **headers})
        self._channel = Channel(means.peer(url), self.heard, resend=False)
        self._read_back = ReadBack(wanted.read, headers, means.peer, prefix)

    def send(self, request: Request) -> None:
        """Write now; never block."""
        request.number = next(self._numbers)
        id_ = f"{self._prefix}{request.number}"
        body = msgspec.json.encode({"id": id_, "text": f"written by aftershock to be read back: {id_}"})
        self._channel.send(request, whole(self._start, body))

    def abandon(self, request: Request) -> None:
        """Let go: the request's time is over, and nobody knows what became of the write."""
        self._channel.abandon(request)
        self.doubt(request)

    def keep(self, request: Request, answer: Answer) -> None:
        """Take it as it is."""
        self.acknowledged[request.number] = self._loop.now()

    def conclude(self, tell: Callable[[Ledgered], None]) -> None:
        """Read back; `tell` hears the result, once."""
        ids = {f"{self._prefix}{number}" for number in self.acknowledged}
        self._read_back.start(ids, lambda found: tell(self._account(found)))

    def _account(self, found: Absent | str) -> Ledgered:
        """Return the record of what was read; `found` is why nothing could be."""
        acknowledged = len(self.acknowledged)
        at = self._loop.now() / SECOND
        if isinstance(found, str):
            return Ledgered(
                at=at, indicator=self._name, read=False, saw=found, acknowledged=acknowledged,
                indeterminate=self.indeterminate,
            )  # fmt: skip
        times = sorted((self.acknowledged[int(id_[len(self._prefix) :])] / SECOND, id_) for id_ in found.ids)
        return Ledgered(
            at=at,
            indicator=self._name,
            read=True,
            saw=found.saw,
            acknowledged=acknowledged,
            indeterminate=self.indeterminate,
            lost_count=len(times),
            lost=[Lost(id=id_, acknowledged=when) for when, id_ in times[:LOST_LISTED]],
            oldest_lost=times[0][0] if times else None,
            newest_lost=times[-1][0] if times else None,
        )
