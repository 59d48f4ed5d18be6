"""The shared ledger: the same few rows written through several entry points by turns, and afterwards the question which of the
acknowledged writes were lost against another's.

Each write says which one it replaced; so what was written makes a tree for each row. A write that nobody replaced, and that is
not what stands there in the end, is *lost*: its writer was told that it is kept, and nobody who came after had seen it. The
service keeps a log of conflicts, which has to name the same ones. What is in one and not in the other is *disputed*. A write of
which nothing is known may have been carried out all the same, and its writer was not told what it replaced: where it shows, in
the end or in a log, it stands for one that was replaced.

The end is what all entry points agree on: as long as they don't, regions that were cut from each other have not come together.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any
from urllib.parse import quote

import msgspec

from aftershock.core.history import Ledgered, Lost
from aftershock.core.shards import LOST_LISTED
from aftershock.model.stack import SharedLedgerProbe, SharedSide
from aftershock.probes.answer import Answer
from aftershock.probes.connection import Channel, Outcome
from aftershock.probes.http import Means, authorized, why
from aftershock.probes.ledger import Acknowledged
from aftershock.probes.pulse import Pulse, Request
from aftershock.probes.readback import AGAIN, ATTEMPT, PATIENCE
from aftershock.probes.request import head, parse_url, whole
from aftershock.probes.schedule import SECOND

LATE = 10 * SECOND
"""Nanoseconds for which a service may go on with a write after its client has stopped waiting for it."""


class Replaced(msgspec.Struct):
    """What a side answers to a write: the text that stood there before, None where nothing did."""

    replaced: str | None


class Kept(msgspec.Struct):
    """What a side answers to a read."""

    text: str


class Conflict(msgspec.Struct):
    """One entry of a side's log: the text that lost."""

    lost: str


def lost(acknowledged: Iterable[str], replaced: Iterable[str], final: Iterable[str]) -> set[str]:
    """Return the acknowledged writes that nobody replaced and that are not there in the end.

    >>> sorted(lost(["a", "b", "c", "d"], replaced=["a", "b"], final=["d"]))
    ['c']
    """
    return set(acknowledged) - set(replaced) - set(final)


class SharedLedger(Acknowledged):
    """One indicator's writes. `prefix` with `numbers` makes texts that no other run and no other ledger of this one has."""

    def __init__(
        self, pulse: Pulse, wanted: SharedLedgerProbe, means: Means, *, name: str, prefix: str, numbers: "count[int]"
    ) -> None:
        super().__init__(pulse, means)
        headers = authorized(wanted.headers, wanted.auth, means.folder)
        self._name = name
        self._prefix, self._numbers = prefix, numbers
        self._ids = [f"{prefix}row-{number}" for number in range(wanted.keys)]
        self._sides = [_Side(each, headers, means, self.heard) for each in wanted.sides]
        self._replaced: set[str] = set()
        self._tell: Callable[[Ledgered], None] | None = None
        self._began = 0

    def send(self, request: Request) -> None:
        """Write now; never block."""
        request.number = number = next(self._numbers)
        side = self._sides[number % len(self._sides)]
        side.put(request, self._ids[self._row(number)], f"{self._prefix}{number}")

    def _row(self, number: int) -> int:
        return number // len(self._sides) % len(self._ids)

    def abandon(self, request: Request) -> None:
        """Let go: the request's time is over, and nobody knows what became of the write."""
        self._sides[request.number % len(self._sides)].writing.abandon(request)
        self.doubt(request)

    def keep(self, request: Request, answer: Answer) -> str | None:
        """Take down what it replaced; one that doesn't say so is none."""
        try:
            before = msgspec.json.decode(answer.body, type=Replaced).replaced
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.doubt(request)
            self._note('an acknowledgement does not say what was replaced: {"replaced": …} is expected')
            return "body"
        self.acknowledged[request.number] = self._loop.now()
        if before is not None:
            self._replaced.add(before)
        return None

    # Reading back

    def conclude(self, tell: Callable[[Ledgered], None]) -> None:
        """Wait until all sides agree, and hold what stands there against their logs; `tell` hears the result, once."""
        self._tell, self._began = tell, self._loop.now()
        if self.acknowledged:
            self._look()
        else:
            self._end(self._record(read=True, saw="nothing was acknowledged"))

    def _look(self) -> None:
        """Ask every side for every row, and for its log."""
        round_ = _Round(len(self._sides) * (len(self._ids) + 1), self._looked)
        for side in self._sides:
            for id_ in self._ids:
                side.ask(id_, round_)
            side.ask("", round_)
        self._loop.later(self._loop.now() + ATTEMPT, round_.give_up)

    def _looked(self, found: "_Round") -> None:
        if self._tell is None:
            return
        trouble = found.trouble or self._apart(found)
        if not trouble:
            self._end(self._counted(found))
        elif self._loop.now() - self._began > PATIENCE:
            self._end(self._record(read=False, saw=trouble))
        else:
            self._loop.later(self._loop.now() + AGAIN, self._look)

    def _apart(self, found: "_Round") -> str:
        """Say where the sides don't agree; nothing where they do."""
        for id_ in self._ids:
            if len({found.texts.get((side, id_)) for side in self._sides}) > 1:
                return f"its sides have not come together: they differ in {id_}"
        ours = (
            frozenset(text for text in found.logs.get(side, ()) if text.startswith(self._prefix))
            for side in self._sides
        )  # of other runs' writes one side may have lost what the other has: that is no matter here
        if len(set(ours)) > 1:
            return "its sides have not come together: their logs of conflicts differ"
        return ""

    def _counted(self, found: "_Round") -> Ledgered:
        acknowledged = {f"{self._prefix}{number}": at for number, at in self.acknowledged.items()}
        final = {text for text in found.texts.values() if text is not None}
        absent = lost(acknowledged, self._replaced, final)
        logged = {text for log in found.logs.values() for text in log if text in acknowledged}
        unsure = self._perhaps_replaced(absent - logged, self._carried_out(final, found))
        gone = absent - unsure
        times = sorted((acknowledged[text] / SECOND, text) for text in gone)
        return msgspec.structs.replace(
            self._record(read=True, saw=f"{len(self._sides)} sides agree"),
            lost_count=len(times),
            lost=[Lost(id=text, acknowledged=at) for at, text in times[:LOST_LISTED]],
            oldest_lost=times[0][0] if times else None,
            newest_lost=times[-1][0] if times else None,
            disputed=sorted(gone ^ logged)[:LOST_LISTED],
        )

    def _carried_out(self, final: set[str], found: "_Round") -> list[int]:
        """Return the writes of which nothing is known but that they were carried out: something shows them."""
        shown = final | self._replaced | {text for log in found.logs.values() for text in log}
        return [number for number in self.unknown if f"{self._prefix}{number}" in shown]

    def _perhaps_replaced(self, absent: Iterable[str], carried_out: Iterable[int]) -> set[str]:
        """Return those that a write may have replaced of which nothing else is known: one for each such write, the newest that
        it can have been.

        Of several that follow each other, all unknown, the last one shows. So no more are excused than were replaced.
        """
        left = sorted((int(text.removeprefix(self._prefix)) for text in absent), reverse=True)
        excused = set()
        for number in sorted(carried_out, reverse=True):
            before = (
                each
                for each in left
                if self._row(each) == self._row(number) and self.acknowledged[each] < self.unknown[number] + LATE
            )
            if (one := next(before, None)) is not None:
                left.remove(one)
                excused.add(f"{self._prefix}{one}")
        return excused

    def _record(self, *, read: bool, saw: str) -> Ledgered:
        return Ledgered(
            at=self._loop.now() / SECOND,
            indicator=self._name,
            read=read,
            saw=saw,
            acknowledged=len(self.acknowledged),
            indeterminate=self.indeterminate,
        )

    def _end(self, record: Ledgered) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(record)


class _Side:
    """One entry point."""

    def __init__(self, wanted: SharedSide, headers: Mapping[str, str], means: Means, heard: Any) -> None:
        self._wanted, self._headers = wanted, headers
        peer = means.peer(parse_url(wanted.at.replace("{id}", "0")))
        log = means.peer(parse_url(wanted.log))
        self.writing = Channel(peer, heard, resend=False, keep=True)
        self._reading = Channel(peer, _answered, keep=True)
        self._logs = Channel(log, _answered, keep=True)

    def put(self, request: Request, id_: str, text: str) -> None:
        start = head("PUT", self._url(id_), {"Content-Type": "application/json", **self._headers})
        self.writing.send(request, whole(start, msgspec.json.encode({"text": text})))

    def ask(self, id_: str, round_: "_Round") -> None:
        """Ask for a row, or, without an id, for the log."""
        url = self._url(id_) if id_ else parse_url(self._wanted.log)
        headers = {"Cache-Control": "no-cache", **self._headers}
        channel = self._reading if id_ else self._logs
        channel.send(_Question(self, id_, round_), whole(head("GET", url, headers), None))

    def _url(self, id_: str) -> Any:
        return parse_url(self._wanted.at.replace("{id}", quote(id_, safe="")))


class _Question:
    """One GET."""

    __slots__ = ("id", "line", "round", "side")

    def __init__(self, side: _Side, id_: str, round_: "_Round") -> None:
        self.side, self.id, self.round = side, id_, round_
        self.line: Any = None


class _Round:
    """All that is asked at one time. `over` hears of it once, when all is answered or the time is up."""

    def __init__(self, due: int, over: Callable[["_Round"], None]) -> None:
        self.texts: dict[tuple[_Side, str], str | None] = {}
        self.logs: dict[_Side, list[str]] = {}
        self.trouble = ""
        self._due: int = due
        self._over: Callable[[_Round], None] | None = over

    def hear(self, question: _Question, answer: Answer | None, trouble: str) -> None:
        """Take an answer."""
        if answer is not None and not trouble:
            trouble = self._read(question, answer)
        self.trouble = self.trouble or trouble
        self._due -= 1
        if self._due == 0:
            self._finish()

    def give_up(self) -> None:
        """Its time is over."""
        if self._due:
            self.trouble = self.trouble or f"no answer within {ATTEMPT // SECOND} s"
            self._finish()

    def _read(self, question: _Question, answer: Answer) -> str:
        if answer.status == 404 and question.id:
            self.texts[question.side, question.id] = None
            return ""
        if answer.status != 200:
            return f"it answered {answer.status}"
        try:
            if question.id:
                self.texts[question.side, question.id] = msgspec.json.decode(answer.body, type=Kept).text
            else:
                self.logs[question.side] = [one.lost for one in msgspec.json.decode(answer.body, type=list[Conflict])]
        except (msgspec.DecodeError, UnicodeDecodeError):
            what = '{"text": …}' if question.id else '[{"lost": …}, …]'
            return f"its answer can't be read: {what} is expected"
        return ""

    def _finish(self) -> None:
        over, self._over = self._over, None
        if over is not None:
            over(self)


def _answered(question: _Question, kind: str | None, outcome: Outcome) -> None:
    answer = outcome if isinstance(outcome, Answer) and kind is None else None
    trouble = "" if answer is not None else (why(outcome) if kind == "error" else str(kind))
    question.round.hear(question, answer, trouble)
