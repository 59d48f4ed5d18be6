"""The shared ledger against two planted sides, whose conflicts are known."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aftershock.core.history import Ledgered
from aftershock.model.stack import Indicator, SharedLedgerProbe, SharedSide
from aftershock.model.units import Duration
from planted import Asked, measure, order, response, serving

ENOUGH = 9
"""Writes of the first side: three for each of three rows."""


class Region:
    """One side: what stands there, and what has been written there in turn."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.writes: list[tuple[str, str, str | None]] = []


class World:
    """Two sides, which share their rows, or come together when they are first read: the second one's rows win.

    `lie` is put into the logs, and what the truth names is left out, if `hide`. Once each row was written often enough, the
    first side says of no write what became of it; it carries them out if it is `late`, and not if it is `deaf`. Of earlier
    runs their logs say what they like.
    """

    def __init__(
        self,
        *,
        cut: bool,
        hide: bool = False,
        lie: bool = False,
        mute: bool = False,
        late: bool = False,
        deaf: bool = False,
    ) -> None:
        self.sides = [Region(), Region()]
        if not cut:
            self.sides[1].rows = self.sides[0].rows
        self.cut, self.hide, self.lie, self.mute = cut, hide, lie, mute
        self.late, self.deaf, self.heard = late, deaf, 0
        self.losers: list[str] = []
        self.lock = threading.Lock()

    def meet(self) -> None:
        """The last write of the first side of each row loses, if both have written it."""
        first, second = self.sides
        if self.cut:
            self.losers = [first.rows[key] for key in sorted(first.rows) if key in second.rows]
            second.rows = {**first.rows, **second.rows}
            first.rows = second.rows
            self.cut = False

    def answer(self, side: int, asked: Asked) -> bytes:
        path = asked.target.removeprefix("/notes/")
        with self.lock:
            if asked.head.startswith(b"PUT"):
                text = json.loads(asked.body)["text"]
                region = self.sides[side]
                self.heard += side == 0
                ill = (self.late or self.deaf) and side == 0 and self.heard > ENOUGH
                if ill and self.deaf:
                    return response(500)
                before = region.rows.get(path)
                region.rows[path] = text
                if ill:
                    return response(500)
                return response(200, json.dumps({"ok": True} if self.mute else {"replaced": before}).encode())
            self.meet()
            if path == "/conflicts":
                earlier = [f"of an earlier run, on side {side}"]
                told = (
                    earlier
                    + ([] if self.hide else self.losers)
                    + ([self.sides[0].rows[min(self.sides[0].rows)]] if self.lie else [])
                )
                return response(200, json.dumps([{"lost": one} for one in told]).encode())
            text = self.sides[side].rows.get(path)
            return response(404) if text is None else response(200, json.dumps({"text": text}).encode())


@contextmanager
def asked_of(world: World, keys: int = 3, seconds: float = 1.0) -> Iterator[Ledgered]:
    with (
        serving(lambda asked: world.answer(0, asked)) as first,
        serving(lambda asked: world.answer(1, asked)) as second,
    ):
        sides = [SharedSide(at=f"{each.url}/notes/{{id}}", log=f"{each.url}/conflicts") for each in (first, second)]
        probe = SharedLedgerProbe(sides=sides, keys=keys)
        wanted = Indicator(name="shared", every=Duration(0.02), timeout=Duration(2), shared_ledger=probe)
        yield measure(order([wanted]), seconds).ledgered


def test_nothing_is_lost_where_everybody_sees_what_is_there() -> None:
    with asked_of(World(cut=False)) as record:
        assert record.read
        assert record.acknowledged > 20
        assert (record.lost_count, record.disputed, record.indeterminate) == (0, [], 0)


def test_what_two_sides_wrote_apart_from_each_other_is_counted_by_name() -> None:
    world = World(cut=True)
    with asked_of(world) as record:
        assert record.read
        assert record.lost_count == 3
        assert [each.id for each in record.lost] == sorted(world.losers, key=lambda text: int(text.rpartition("-")[2]))
        assert record.oldest_lost is not None
        assert record.disputed == []


@pytest.mark.parametrize(("hide", "lie"), [(True, False), (False, True)])
def test_a_log_that_says_otherwise_is_disputed(hide: bool, lie: bool) -> None:
    world = World(cut=True, hide=hide, lie=lie)
    with asked_of(world) as record:
        assert record.lost_count == 3
        assert set(record.disputed) == (set(world.losers) if hide else {world.sides[0].rows[min(world.sides[0].rows)]})


def test_an_acknowledgement_that_does_not_say_what_it_replaced_is_none() -> None:
    with asked_of(World(cut=False, mute=True)) as record:
        assert record.acknowledged == 0
        assert record.indeterminate > 20


def test_what_is_gone_without_a_conflict_is_lost_though_a_write_of_the_same_row_went_astray() -> None:
    """Nobody can have replaced it with what was never carried out."""
    world = World(cut=True, deaf=True, hide=True)
    with asked_of(world) as record:
        assert record.indeterminate > ENOUGH
        assert record.lost_count == 3
        assert set(record.disputed) == set(world.losers)


def test_what_a_write_may_have_replaced_of_which_nothing_is_known_is_lost_if_the_log_says_so() -> None:
    """Each row's last acknowledged write of the first side was replaced by one that nobody was told of; that one loses."""
    world = World(cut=True, late=True)
    with asked_of(world) as record:
        assert record.indeterminate > ENOUGH
        assert (record.lost_count, record.disputed) == (0, [])
    world = World(cut=True, deaf=True)
    with asked_of(world) as record:
        assert record.indeterminate > ENOUGH
        assert [each.id for each in record.lost] == sorted(world.losers, key=lambda text: int(text.rpartition("-")[2]))
        assert (record.lost_count, record.disputed) == (3, [])
