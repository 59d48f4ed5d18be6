"""`python -m aftershock.probes.worker`: the process that sends. It reads an order and commands on stdin, and writes history
records to stdout; it lives no longer than the executor that holds its stdin, and never beyond the order's end.

Nothing but this loop decides when a request goes out: one thread, no framework, and nothing in it that blocks.
"""

import gc
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from aftershock.adapters import secrets
from aftershock.core.history import SLICE, Any_, Ledgered, Noted, encode
from aftershock.core.shards import Part
from aftershock.errors import AftershockError, InputError
from aftershock.model.stack import Indicator, SharedLedgerProbe
from aftershock.probes import order as orders
from aftershock.probes.connection import Peer
from aftershock.probes.http import Http, Means, Note
from aftershock.probes.ledger import Ledger
from aftershock.probes.loop import Loop
from aftershock.probes.names import keep_asking
from aftershock.probes.order import Order, Ping, Pong, Rates, Ready, Refused, Sent
from aftershock.probes.pipe import Lines, Out
from aftershock.probes.promql import Promql
from aftershock.probes.pulse import Probe, Pulse
from aftershock.probes.read_your_writes import ReadYourWrites
from aftershock.probes.request import Place, Url
from aftershock.probes.schedule import MOST, SECOND, Schedule, Steady, Steps, nanoseconds
from aftershock.probes.slices import Fold

if TYPE_CHECKING:
    from aftershock.probes.shared_ledger import SharedLedger

STALL = 2 * nanoseconds(SLICE)
"""While anything is in flight the loop wakes each slice. A turn that comes later than this was a stall of the process."""

LATE = 0.25
"""Seconds that a request of the load may go out late; its latency counts from the intended time all the same. A probe speaks
for one moment, and may be late by its own interval only."""

FLUSH = 10 * SECOND
"""Nanoseconds that the last records may take to be read."""

_NOTES = 50
_NICE = -10


class Worker:
    """Carries out one order. Errors of the order are raised when it is made; afterwards nothing is."""

    def __init__(self, order: Order, stdin: int, stdout: int, start: bytes) -> None:
        self._order = order
        self._folder = Path(order.folder)
        self.loop = Loop(nanoseconds(order.origin))
        self._peers: dict[Place, Peer] = {}
        self._pulses: list[Pulse] = []
        self._loads: list[Steps] = []
        self._ledgers: list[Ledger | SharedLedger] = []
        self._numbers = count()
        self._notes: set[str] = set()
        self._sending = True
        self._reading = 0
        self._over = False
        self._now = 0
        self._out = Out(self.loop, stdout, self._end)
        for name in order.indicators:
            self._add(_find(order, name))
        for peer in self._peers.values():
            peer.name.ask_first()
        keep_asking([peer.name for peer in self._peers.values()])
        self._out.write(orders.encode(Ready()))
        self._lines = Lines(self.loop, stdin, start, self._command, self._end)

    # Making what the order names.

    def _add(self, indicator: Indicator) -> None:
        fold = Fold(indicator.name, self._order.counted, alone=self._order.shards == 1)
        every = nanoseconds(indicator.every)
        if every <= 0 or indicator.timeout <= 0:
            raise InputError(
                f"indicator {indicator.name}: `every` and `timeout` must be longer than 0", "write `100ms`"
            )
        schedule, tolerance = self._schedule(every)
        pulse = Pulse(fold, schedule, self.loop.now, timeout=nanoseconds(indicator.timeout), tolerance=tolerance)
        note: Note = lambda text: self._note(f"{indicator.name}: {text}")  # noqa: E731  # it needs the name alone
        pulse.use(self._probe(indicator, pulse, Means(self.loop, self._peer, self._folder, note)))
        self._pulses.append(pulse)

    def _schedule(self, every: int) -> tuple[Schedule, int]:
        """Return when requests are due, and how late one may still be sent, nanoseconds."""
        if self._order.counted == "load":
            load = Steps(self._order.shard, self._order.shards)
            self._loads.append(load)
            return load, nanoseconds(LATE)
        return Steady(every), max(every, nanoseconds(SLICE))

    def _probe(self, indicator: Indicator, pulse: Pulse, means: Means) -> Probe:
        if indicator.http is not None:
            return Http(pulse, indicator.http, means)
        if indicator.promql is not None:
            return Promql(pulse, indicator.promql, means)
        if indicator.ledger is not None:
            prefix = f"{self._order.token}-{self._whose()}"
            ledger = Ledger(pulse, indicator.ledger, means, name=indicator.name, prefix=prefix, numbers=self._numbers)
            self._ledgers.append(ledger)
            return ledger
        if indicator.shared_ledger is not None:
            shared = self._shared(indicator, indicator.shared_ledger, pulse, means)
            self._ledgers.append(shared)
            return shared
        if indicator.read_your_writes is not None:
            prefix = f"{self._order.token}-{indicator.name}-{self._order.counted}-"
            return ReadYourWrites(pulse, indicator.read_your_writes, means, prefix=prefix, numbers=self._numbers)
        return self._sql(indicator, pulse, means)

    def _shared(self, indicator: Indicator, wanted: SharedLedgerProbe, pulse: Pulse, means: Means) -> "SharedLedger":
        from aftershock.probes.shared_ledger import SharedLedger  # noqa: PLC0415  # few stacks have one

        prefix = f"{self._order.token}-{self._whose()}shared-"
        return SharedLedger(pulse, wanted, means, name=indicator.name, prefix=prefix, numbers=count())

    def _whose(self) -> str:
        """Return what tells this prober's writes from those of the run's others."""
        if self._order.counted == "probes":
            return ""
        return "load-" if self._order.shards == 1 else f"load-{self._order.shard}-"

    def _sql(self, indicator: Indicator, pulse: Pulse, means: Means) -> Probe:
        """Return a probe that asks databases: psycopg costs more to import than all the rest."""
        if (lag := indicator.replica_lag) is not None:
            from aftershock.probes.replica_lag import ReplicaLag  # noqa: PLC0415

            return ReplicaLag(pulse, lag, means, stack=self._order.stack, timeout=indicator.timeout)
        wanted = indicator.sql
        if wanted is None:
            raise InputError(
                f"indicator {indicator.name} measures nothing", "give it http, sql, ledger or another probe"
            )
        database = next((each for each in self._order.stack.spec.databases if each.name == wanted.database), None)
        if database is None:
            raise InputError(
                f"indicator {indicator.name}: the stack has no database {wanted.database}", "add it under `databases:`"
            )
        from aftershock.probes.sql import Sql  # noqa: PLC0415

        return Sql(pulse, wanted, means, database=database, timeout=indicator.timeout)

    def _peer(self, url: Url) -> Peer:
        resolver = self._order.stack.spec.resolver
        return self._peers.setdefault(url.place, Peer(self.loop, url.place, resolver.address if resolver else None))

    # What comes in.

    def _command(self, line: bytes) -> None:
        try:
            command = orders.read_command(line)
        except InputError as error:
            self._note(error.problem)
            return
        if isinstance(command, Ping):
            self._out.write(orders.encode(Pong(at=command.at, clock=time.monotonic())))
        elif not isinstance(command, Rates):
            self._finish()
        elif self._sending:
            self._set_rates(command)

    def _set_rates(self, rates: Rates) -> None:
        if any(rate > MOST * self._order.shards for _, rate in rates.steps):
            self._note(f"no more than {MOST:.0f} requests a second can be planned; more were asked for")
        for load in self._loads:
            if self._order.shards == 1:
                load.replace(rates.steps, self.loop.now())
            elif passed := load.agree(rates.steps, self.loop.now()):
                self._note(f"what to send came {passed} requests too late")

    def _end(self) -> None:
        """Nobody holds the other end any more."""
        self._over = True

    def _finish(self) -> None:
        """Send no more, once what was due until now is sent or counted."""
        if self._sending:
            self._sending = False
            now = min(self.loop.now(), nanoseconds(self._order.until))
            for pulse in self._pulses:
                pulse.stop(now)

    # What goes out.

    def _note(self, text: str) -> None:
        if text not in self._notes and len(self._notes) < _NOTES:
            self._notes.add(text)
            self._write(Noted(at=self.loop.now() / SECOND, text=_redacted(text)))

    def _write(self, record: Any_ | Part) -> None:
        if self._out.dropped and self._out.empty:
            dropped, self._out.dropped = self._out.dropped, 0
            text = f"{dropped} records were dropped, since nobody read them"
            self._out.write(encode(Noted(at=self.loop.now() / SECOND, text=text)))
        self._out.write(orders.encode(record) if isinstance(record, Part) else encode(record))

    # The loop.

    def run(self) -> None:
        """Send until the order's end, until told to finish, or until the executor is gone."""
        end = nanoseconds(self._order.until)
        self.loop.later(end, self._finish)
        self._now = self.loop.now()
        for pulse in self._pulses:
            pulse.schedule.begin(max(self._now, 0))
        while self._sending and not self._over:
            self._turn(end)
        while not self._over and not all(pulse.quiet for pulse in self._pulses):
            self._turn(self._now + SECOND)
        if not self._over:
            self._conclude()
            self._flush()

    def _turn(self, until: int) -> None:
        """Wait for what comes first; take what came in, give up what is too late, send what is due."""
        loop = self.loop
        for pulse in self._pulses:
            until = min(until, pulse.wake(self._now))
        events = loop.wait(min(until, loop.next_timer))
        now = loop.now()
        stalled = now - self._now > STALL
        self._now = now
        if stalled:
            self._blind(blind=True)
        loop.handle(events, now)
        for pulse in self._pulses:
            pulse.expire(now)
        if stalled:
            self._blind(blind=False)
        for pulse in self._pulses:
            pulse.beat(now)
            for n, sent in pulse.sent(now):
                self._out.write(orders.encode(Sent(n=n, sent=sent)))
            for record in pulse.slices(now):
                self._write(record)

    def _blind(self, *, blind: bool) -> None:
        """Say whether answers are seen when they come."""
        for pulse in self._pulses:
            pulse.blind = blind

    def _conclude(self) -> None:
        """Give out the last slices; read the ledgers back."""
        for pulse in self._pulses:
            for record in pulse.rest(self.loop.now()):
                self._write(record)
        self._reading = len(self._ledgers)
        for ledger in self._ledgers:
            ledger.conclude(self._ledgered)
        while self._reading and not self._over:
            self._turn(self._now + SECOND)

    def _ledgered(self, record: Ledgered) -> None:
        self._reading -= 1
        self._write(record)

    def _flush(self) -> None:
        """Wait for the reader, a while."""
        end = self.loop.now() + FLUSH
        while not self._out.empty and not self._over and self.loop.now() < end:
            self._turn(end)


def _find(order: Order, name: str) -> Indicator:
    indicators = order.stack.spec.indicators
    for indicator in indicators:
        if indicator.name == name:
            return indicator
    known = ", ".join(each.name for each in indicators) or "none"
    raise InputError(f"the stack has no indicator {name}", f"it has: {known}")


def _redacted(text: str) -> str:
    for secret in secrets.seen():
        text = text.replace(secret, "[redacted]")
    return text


def _first_line(fd: int) -> tuple[bytes, bytes]:
    """Return the order's line, and what came after it."""
    data = b""
    while b"\n" not in data:
        piece = os.read(fd, 65536)
        if not piece:
            break
        data += piece
    line, _, rest = data.partition(b"\n")
    return line, rest


def _allow_many_files() -> None:
    """Each request that hangs holds a descriptor."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _come_first() -> None:
    """Probes are on time though what they probe takes every core. The load gets no such right: it would take them itself."""
    with suppress(OSError):  # root's alone
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)


def main() -> int:
    """Carry out the order that comes on stdin; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the executor's business, which then needs its probes
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    return carry_out(stdin, stdout, *_first_line(stdin))


def carry_out(stdin: int, stdout: int, line: bytes, rest: bytes) -> int:
    """Carry out the order that a line says; `rest` is what came after it. Return the exit code."""
    _allow_many_files()
    try:
        order = orders.read_order(line)
        if order.counted == "probes":
            _come_first()
        worker = Worker(order, stdin, stdout, rest)
    except AftershockError as error:
        refused = Refused(input=isinstance(error, InputError), problem=_redacted(error.problem), advice=error.advice)
        os.write(stdout, orders.encode(refused))
        return error.exit_code
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked through again
    worker.run()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # no waiting for threads that hang in a query or in a name
