"""The ledger against services whose truth is known: what they keep, drop, refuse and leave open."""

import json
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from aftershock.model.stack import Indicator, LedgerProbe
from aftershock.model.units import Duration
from aftershock.probes import readback
from aftershock.probes.connection import Peer
from aftershock.probes.loop import Loop
from aftershock.probes.readback import Absent, ReadBack
from aftershock.probes.request import Url
from planted import HANG, TOKEN, Asked, free_port, measure, order, response, serving


class Notes:
    """A service that keeps notes, or says so. `verdict` decides on the n-th write: status, and whether it is kept."""

    def __init__(self, verdict: Callable[[int], tuple[int, bool]] = lambda _: (201, True)) -> None:
        self.verdict = verdict
        self.kept: list[str] = ["another run's"]
        self.acknowledged: list[str] = []
        self.lost: list[str] = []
        self.written = 0
        self.reads = 0
        self.queries: list[str] = []
        self.hidden = 0
        """How many reads still see nothing: a replica that lags."""

    def __call__(self, asked: Asked) -> bytes | None:
        return self.write(asked) if asked.head.startswith(b"POST") else self.read(asked)

    def write(self, asked: Asked) -> bytes | None:
        id_ = json.loads(asked.body)["id"]
        self.written += 1
        status, keeps = self.verdict(self.written)
        if keeps:
            self.kept.append(id_)
        if 200 <= status < 300:
            self.acknowledged.append(id_)
            if not keeps:
                self.lost.append(id_)
        return {0: HANG, -1: None}.get(status) if status <= 0 else response(status)

    def read(self, asked: Asked) -> bytes:
        self.reads += 1
        parts = urlsplit(asked.target)
        self.queries.append(parts.query)
        name = parts.path.rpartition("/")[2]
        if name not in {"notes", ""}:
            return response(200 if name in self.kept and self.reads > self.hidden else 404)
        prefix = parse_qs(parts.query).get("prefix", [""])[0]
        found = [{"id": id_, "text": "…"} for id_ in self.kept if id_.startswith(prefix)]
        return response(200, json.dumps(found if self.reads > self.hidden else []).encode())


def ledger(url: str, read: str = "/notes", **fields: object) -> Indicator:
    probe = LedgerProbe(write=f"{url}/notes", read=read if read.startswith("http") else f"{url}{read}", **fields)  # type: ignore[arg-type]
    return Indicator(name="writes", every=Duration(0.004), timeout=Duration(0.5), ledger=probe)


@pytest.mark.parametrize("read", ["/notes", "/notes/{id}", "/notes?limit=all"])
def test_every_hundredth_write_is_acknowledged_and_dropped(read: str) -> None:
    notes = Notes(lambda n: (201, n % 100 != 0))
    with serving(notes) as server:
        measured = measure(order([ledger(server.url, read)]), 2.0)
    found = measured.ledgered
    assert found.read
    assert found.acknowledged == len(notes.acknowledged) > 300
    assert [lost.id for lost in found.lost] == notes.lost
    assert found.lost_count == len(notes.lost) >= 3
    assert found.indeterminate == 0
    assert found.oldest_lost == found.lost[0].acknowledged
    assert found.newest_lost == found.lost[-1].acknowledged
    assert measured.total()[2] == found.acknowledged, "an acknowledgement is a good request"


def test_a_list_is_asked_for_this_runs_ids_only_where_the_url_has_no_query() -> None:
    notes = Notes()
    with serving(notes) as server:
        measure(order([ledger(server.url)]), 0.2)
        assert notes.queries == [f"prefix={TOKEN}-"]
        measure(order([ledger(server.url, "/notes?limit=all")]), 0.2)
        assert notes.queries[1:] == ["limit=all"]


def test_ids_of_two_ledgers_and_two_runs_never_meet() -> None:
    notes = Notes()
    with serving(notes) as server:
        two = [ledger(server.url), Indicator(name="more", every=Duration(0.01), ledger=ledger(server.url).ledger)]
        measure(order(two), 0.3)
        measure(order(two, token="z9999999"), 0.3)
        measure(order(two[:1], counted="load"), 1.0, [(0.0, 100.0)])
    assert len(set(notes.kept)) == len(notes.kept) > 100


def test_refused_and_indeterminate_writes_are_told_apart() -> None:
    answers = [(201, True), (400, False), (503, True), (503, False), (-1, True), (0, False), (302, False)]
    notes = Notes(lambda n: answers[n % len(answers)])
    with serving(notes) as server:
        measured = measure(order([ledger(server.url)]), 0.7)
    found = measured.ledgered
    bad = measured.total()[3]
    assert (found.read, found.lost_count) == (True, 0)
    assert found.acknowledged == len(notes.acknowledged)
    assert set(bad) == {"status-400", "status-503", "status-302", "reset", "timeout"}
    assert found.indeterminate == bad["status-503"] + bad["reset"] + bad["timeout"] + bad["status-302"]


def test_a_service_that_is_away_promised_nothing() -> None:
    measured = measure(order([ledger(f"http://127.0.0.1:{free_port()}")]), 0.3)
    found = measured.ledgered
    assert (found.read, found.acknowledged, found.indeterminate, found.lost_count) == (True, 0, 0, 0)
    assert set(measured.total()[3]) == {"refused"}


def test_a_replica_that_lags_has_lost_nothing() -> None:
    notes = Notes()
    notes.hidden = 1
    with serving(notes) as server:
        found = measure(order([ledger(server.url)]), 0.3).ledgered
    assert (found.read, found.lost_count) == (True, 0)
    assert found.acknowledged == len(notes.acknowledged) > 20
    assert notes.reads == 2


def test_writes_are_never_sent_twice() -> None:
    """The server closes each connection after its answer, in silence."""
    notes = Notes()
    with serving(notes, close=True) as server:
        measured = measure(order([ledger(server.url)]), 0.5)
    assert notes.written == len(set(notes.kept)) - 1
    assert measured.ledgered.lost_count == 0


class Bench:
    """Reads back in this process, so that patience can be short."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch, patience: int = 600) -> None:
        for name, milliseconds in (("PATIENCE", patience), ("LAG", 50), ("AGAIN", 20), ("ATTEMPT", 200)):
            monkeypatch.setattr(readback, name, milliseconds * 1_000_000)
        self.loop = Loop(time.monotonic_ns())
        self.found: list[Absent | str] = []
        self.peer: Peer | None = None
        self.reading = ReadBack(url, {}, self._peer, f"{TOKEN}-")

    def _peer(self, url: Url) -> Peer:
        self.peer = Peer(self.loop, url.place)
        self.peer.name.ask()
        return self.peer

    def look(self, ids: set[str]) -> Absent | str:
        self.reading.start(ids, self.found.append)
        while not self.found:
            self.loop.handle(self.loop.wait(self.loop.next_timer), self.loop.now())
        assert self.peer is not None
        self.peer.close()
        self.loop.close()
        return self.found[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (response(503), "503"),
        (HANG, "no answer"),
        (None, "reset"),
        (response(200, b"<html>"), "no JSON list"),
        (response(404), "404"),
    ],
)
def test_an_oracle_out_of_reach_leaves_everything_unknown(
    answer: bytes | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda _: answer) as server:
        found = Bench(f"{server.url}/notes", monkeypatch).look({f"{TOKEN}-1"})
    assert isinstance(found, str)
    assert words in found


@pytest.mark.parametrize("read", ["/notes", "/notes/{id}"])
def test_an_oracle_that_comes_back_in_time_is_believed(read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Asked] = []
    notes = Notes()
    notes.kept += [f"{TOKEN}-{n}" for n in range(40)]

    def answer(each: Asked) -> bytes | None:
        asked.append(each)
        return (response(503), None, HANG)[len(asked) % 3] if len(asked) < 6 else notes(each)

    with serving(answer) as server:
        bench = Bench(f"{server.url}{read}", monkeypatch, patience=30_000)
        found = bench.look({f"{TOKEN}-{n}" for n in range(41)})
    assert isinstance(found, Absent)
    assert found.ids == {f"{TOKEN}-40"}
