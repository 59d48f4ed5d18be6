"""A load that several send is the load that one would send: the same requests at the same times, and the same record."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.core.history import Ledgered, Lost, Sharded, Slice
from aftershock.core.shards import (
    LOOKS,
    LOST_LISTED,
    Assembly,
    Part,
    Skew,
    Tally,
    amiss,
    as_slice,
    merge,
    merge_ledgers,
)
from aftershock.probes.schedule import SECOND, Shares, Steps
from aftershock.probes.slices import UNSENT, Fold

MS = 1_000_000
WIDTH = SECOND // 10
LONG = 60 * SECOND

Request = tuple[int, int, str | None]
"""When it was due, when it came out, and how; None is good."""


def dues(steps: Steps, until: int) -> list[int]:
    found = []
    while steps.next < until:
        found.append(steps.next)
        steps.advance()
    return found


# When requests are due

_RATES = st.one_of(st.integers(0, 3000), st.sampled_from([0.1, 0.37, 7.5, 1234.5]))
_STEPS = st.lists(st.tuples(st.integers(0, 5000).map(lambda ms: ms / 1000), _RATES), min_size=1, max_size=4)


@settings(deadline=None, max_examples=60)
@given(_STEPS, st.integers(1, 9))
def test_the_union_of_the_shares_is_the_schedule_of_one(steps: Sequence[tuple[float, float]], shards: int) -> None:
    alone = Steps()
    alone.agree(steps, -1)
    shares = [Steps(shard, shards) for shard in range(shards)]
    for share in shares:
        share.agree(steps, -1)
    until = 6 * SECOND
    found = [dues(share, until) for share in shares]
    assert sorted(due for each in found for due in each) == dues(alone, until)


def test_each_takes_every_nth() -> None:
    shares = [Steps(shard, 4) for shard in range(4)]
    for share in shares:
        share.agree([(1.0, 1000.0)], 0)
    found = [dues(share, 2 * SECOND) for share in shares]
    assert [len(each) for each in found] == [250] * 4
    assert [each[0] for each in found] == [SECOND + MS // 2 + n * MS for n in range(4)]
    assert {b - a for each in found for a, b in pairwise(each)} == {4 * MS}


@settings(deadline=None, max_examples=60)
@given(_STEPS, _STEPS, st.integers(1, 5), st.integers(0, 60), st.integers(1, 40))
def test_what_is_owed_is_what_is_due(
    first: Sequence[tuple[float, float]], then: Sequence[tuple[float, float]], shards: int, begin: int, long: int
) -> None:
    shares = Shares(shards, LONG)
    sent = [Steps(shard, shards) for shard in range(shards)]
    for agreed in (first, then):
        shares.agree(agreed)
        for one in sent:
            one.agree(agreed, -1)
    start, end = begin * WIDTH, (begin + long) * WIDTH
    for shard, one in enumerate(sent):
        assert shares.owed(shard, start, end) == sum(start <= due < end for due in dues(one, end))


def test_nothing_is_owed_after_the_end() -> None:
    shares = Shares(2, 3 * SECOND)
    shares.agree([(0.0, 10.0)])
    assert [shares.owed(shard, 0, LONG) for shard in (0, 1)] == [15, 15]


def test_who_hears_too_late_passes_over_what_was_due_and_is_in_step_again() -> None:
    early, late = Steps(1, 2), Steps(1, 2)
    assert early.agree([(1.0, 100.0)], 0) == 0
    assert late.agree([(1.0, 100.0)], SECOND + SECOND // 2) == 25
    assert dues(early, LONG)[25:] == dues(late, LONG)


def test_what_was_agreed_before_stays_until_the_next_begins_whenever_one_hears_of_it() -> None:
    """A request that is due and not sent yet when the next step is heard of belongs to the step before."""
    steps = Steps()
    steps.agree([(0.0, 100.0)], 0)
    assert steps.agree([(0.5, 10.0)], SECOND // 4) == 0
    found = dues(steps, SECOND)
    assert (len(found), found[0]) == (55, 5 * MS)


def test_a_share_has_the_most_of_its_own() -> None:
    shares = [Steps(shard, 3) for shard in range(3)]
    for share in shares:
        share.agree([(0.0, 250_000.0)], -1)
    assert sum(len(dues(share, SECOND // 100)) for share in shares) == 2500


# What they saw

_KINDS = st.sampled_from([None, None, None, UNSENT, "timeout", "refused"])
_REQUESTS = st.lists(st.tuples(st.integers(0, 999), st.integers(0, 300), _KINDS), max_size=60)


def fold(requests: Sequence[Request], *, alone: bool) -> list[Slice | Part]:
    folding = Fold("join", "load", alone=alone)
    planned = [
        (folding.plan(due * MS), due, seen, kind) for due, seen, kind in sorted(requests, key=lambda one: one[0])
    ]
    for slice_, due, seen, kind in sorted(planned, key=lambda one: one[2]):
        slice_.settle(due * MS, seen * MS, kind)
    return list(folding.take(LONG))


def whole(requests: Sequence[tuple[int, int, str | None]]) -> list[Request]:
    return [(due, due + took, kind) for due, took, kind in requests]


@settings(deadline=None)
@given(_REQUESTS, st.integers(1, 6), st.randoms())
def test_what_several_saw_merges_to_what_one_would_have_seen(
    requests: list[Request], shards: int, random: Random
) -> None:
    outcomes = whole(requests)
    owner = [random.randrange(shards) for _ in outcomes]
    given_out: dict[int, list[Part]] = {}
    for shard in range(shards):
        for part in fold([one for one, who in zip(outcomes, owner, strict=True) if who == shard], alone=False):
            assert isinstance(part, Part)
            given_out.setdefault(part.n, []).append(part)
    merged = [as_slice(merge(parts), LONG / SECOND) for _, parts in sorted(given_out.items())]
    expected = fold(outcomes, alone=True)
    assert [plainly(one) for one in merged] == [plainly(one) for one in expected if isinstance(one, Slice)]


def plainly(one: Slice) -> Slice:
    """A histogram is a mapping: the order of its buckets says nothing."""
    return Slice(**{name: getattr(one, name) for name in one.__struct_fields__ if name != "at"}, at=0.0)


_PARTS = st.builds(
    Part,
    indicator=st.just("join"),
    counted=st.just("load"),
    n=st.just(3),
    planned=st.integers(0, 9),
    unsent=st.integers(0, 9),
    latency=st.dictionaries(st.integers(0, 5), st.integers(1, 9), max_size=4),
    good=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4),
    bad=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(["reset", "timeout"])), max_size=4),
)


@settings(deadline=None)
@given(_PARTS, _PARTS, _PARTS)
def test_merging_is_associative_and_commutative(a: Part, b: Part, c: Part) -> None:
    assert merge([merge([a, b]), c]) == merge([a, merge([b, c])]) == merge([a, b, c]) == merge([c, a, b])
    assert as_slice(merge([merge([a, b]), c]), 0.0) == as_slice(merge([b, merge([c, a])]), 0.0)


def test_parts_of_different_slices_are_no_slice() -> None:
    with pytest.raises(ValueError, match="different"):
        merge([Part(indicator="join", counted="load", n=1), Part(indicator="join", counted="load", n=2)])


_LEDGERS = st.lists(
    st.lists(st.integers(0, 2000).map(lambda ms: ms / 1000), max_size=LOST_LISTED + 5), min_size=1, max_size=4
)


def ledger(shard: int, times: Sequence[float], *, read: bool = True) -> Ledgered:
    lost = sorted((when, f"{shard}-{number}") for number, when in enumerate(times))
    return Ledgered(
        at=9.0,
        indicator="writes",
        read=read,
        saw="the list" if read else f"shard {shard}: 503",
        acknowledged=len(lost) + 10,
        indeterminate=1,
        lost_count=len(lost),
        lost=[Lost(id=id_, acknowledged=when) for when, id_ in lost[:LOST_LISTED]],
        oldest_lost=lost[0][0] if lost else None,
        newest_lost=lost[-1][0] if lost else None,
    )


@settings(deadline=None, max_examples=30)
@given(_LEDGERS)
def test_ledgers_merge_to_what_one_would_have_found(each: list[list[float]]) -> None:
    merged = merge_ledgers([ledger(shard, times) for shard, times in enumerate(each)])
    every = sorted(when for times in each for when in times)
    assert (merged.acknowledged, merged.indeterminate) == (len(every) + 10 * len(each), len(each))
    assert (merged.lost_count, [one.acknowledged for one in merged.lost]) == (len(every), every[:LOST_LISTED])
    assert (merged.oldest_lost, merged.newest_lost) == ((every[0], every[-1]) if every else (None, None))
    assert (merged.read, merged.saw) == (True, "the list")


def test_a_ledger_is_only_known_if_each_was_read_back() -> None:
    merged = merge_ledgers([ledger(0, []), ledger(1, [], read=False)])
    assert (merged.read, merged.saw) == (False, "shard 1: 503")


# Putting it together while it comes


def owed(shard: int, n: int) -> int:
    """Two requests a slice for each of three shards, from slice 5 to 9."""
    return 2 if 5 <= n < 10 else 0


def part(n: int, planned: int = 2) -> Part:
    return Part(indicator="join", counted="load", n=n, planned=planned, good=[(n * WIDTH, n * WIDTH + 1)] * planned)


def told(slices: Sequence[Slice]) -> list[tuple[int, int, int]]:
    return [(one.n, one.planned, one.unsent) for one in slices]


def test_a_slice_is_given_out_once_all_have_told_of_it() -> None:
    assembly = Assembly("join", 3, owed)
    assert told(list(assembly.give(20, 0.0))) == []
    for shard in range(3):
        assert told(list(assembly.give(20, 0.0))) == []
        assembly.take(shard, part(5))
    assert told(list(assembly.give(20, 0.0))) == [(5, 6, 0)]


def test_nothing_that_is_not_over_is_given_out() -> None:
    assembly = Assembly("join", 1, owed)
    assembly.take(0, part(5))
    assert told(list(assembly.give(5, 0.0))) == []
    assert told(list(assembly.give(6, 0.0))) == [(5, 2, 0)]


def test_what_a_lost_shard_owes_was_not_sent() -> None:
    assembly = Assembly("join", 3, owed)
    for n in range(5, 10):
        for shard in range(3 if n < 7 else 2):
            assembly.take(shard, part(n))
    assert told(list(assembly.give(20, 0.0))) == [(5, 6, 0), (6, 6, 0)]
    assembly.lose(2)
    assert told(list(assembly.give(20, 0.0))) == [(7, 6, 2), (8, 6, 2), (9, 6, 2)]


def test_what_a_late_shard_passed_over_was_not_sent() -> None:
    assembly = Assembly("join", 2, owed)
    for n in range(5, 10):
        assembly.take(0, part(n))
    assembly.take(1, part(7, planned=1))
    assert told(list(assembly.give(20, 0.0))) == [(5, 4, 2), (6, 4, 2), (7, 4, 1)]
    assert told(list(assembly.rest(20, 0.0))) == [(8, 4, 2), (9, 4, 2)]


def test_a_part_that_comes_after_its_slice_is_not_counted_twice() -> None:
    assembly = Assembly("join", 2, owed)
    assembly.lose(1)
    assembly.take(0, part(5))
    assert told(list(assembly.give(6, 0.0))) == [(5, 4, 2)]
    assembly.take(1, part(5))
    assert told(list(assembly.rest(6, 0.0))) == []


def test_all_of_them_lost_at_once_leaves_a_record_of_what_was_not_sent() -> None:
    assembly = Assembly("join", 2, owed)
    for shard in range(2):
        assembly.lose(shard)
    assert told(list(assembly.give(7, 0.0))) == [(5, 4, 4), (6, 4, 4)]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 400), st.randoms())
def test_whatever_the_order_in_which_they_tell_one_record_comes_of_it(shards: int, rate: int, random: Random) -> None:
    """And it accounts for every request that was agreed, whoever is lost on the way."""
    shares = Shares(shards, LONG)
    shares.agree([(0.0, float(rate)), (2.0, 0.0)])
    assembly = Assembly("join", shards, lambda shard, n: shares.owed(shard, n * WIDTH, (n + 1) * WIDTH))
    waiting = {
        shard: [n for n in range(20) if shares.owed(shard, n * WIDTH, (n + 1) * WIDTH)] for shard in range(shards)
    }
    given_out, sent = [], 0
    while waiting:
        shard = random.choice(sorted(waiting))
        if not waiting[shard] or random.random() < 0.02:
            assembly.lose(shard)
            del waiting[shard]
        else:
            n = waiting[shard].pop(0)
            planned = shares.owed(shard, n * WIDTH, (n + 1) * WIDTH)
            assembly.take(shard, part(n, planned))
            sent += planned
        given_out += assembly.give(20, 0.0)
    assert [one.n for one in given_out] == sorted({one.n for one in given_out})
    assert sum(one.planned for one in given_out) == Fraction(rate) * 2
    assert sum(one.planned - one.unsent for one in given_out) == sent


# Whether they are on time


def test_one_good_look_in_ten_tells_a_clock() -> None:
    skew = Skew(offset=100.0)
    for second in range(LOOKS - 1):
        skew.look(second, 100.0 + second, second + 0.4)
        assert not skew.amiss, "too few looks prove nothing"
    skew.look(20.0, 120.001, 20.002)
    assert not skew.amiss
    for second in range(21, 21 + LOOKS):
        skew.look(second, 100.0 + second + 0.2, second + 0.001)
    assert "200 ms" in skew.amiss


def test_answers_that_take_long_leave_the_clock_unknown() -> None:
    skew = Skew()
    for second in range(LOOKS):
        skew.look(second, second + 0.3, second + 0.6)
    assert "300 ms" in skew.amiss


def test_each_shard_that_is_amiss_is_named_once() -> None:
    events = [
        Sharded(at=0.0, shard=0, shards=3, state="ready", where="pod a", skew=0.0002),
        Sharded(at=1.0, shard=2, shards=3, state="skewed", where="pod c", why="its clock drifts"),
        Sharded(at=2.0, shard=1, shards=3, state="lost", where="pod b", why="its connection ended"),
        Sharded(at=3.0, shard=2, shards=3, state="lost", where="pod c", why="its connection ended"),
    ]
    assert amiss(events) == [
        "shard 1 of 3 (pod b) is lost: its connection ended",
        "shard 2 of 3 (pod c) is not on time: its clock drifts",
    ]


def test_those_that_never_came_for_one_reason_are_one_line() -> None:
    gone = [Sharded(at=0.0, shard=n, shards=4, state="lost", why="no pod was made") for n in range(4)]
    assert amiss(gone) == ["all 4 shards are lost: no pod was made"]
    assert amiss(gone[1:3]) == ["shards 1, 2 of 4 are lost: no pod was made"]
    assert amiss(gone[3:]) == ["shard 3 of 4 is lost: no pod was made"]


def test_a_hundred_that_are_amiss_are_not_a_hundred_lines() -> None:
    gone = [Sharded(at=0.0, shard=n, shards=100, state="lost", why=f"the pod p-{n} is Pending") for n in range(100)]
    assert amiss(gone) == [
        *(f"shard {n} of 100 is lost: the pod p-{n} is Pending" for n in range(4)),
        "96 other shards are amiss",
    ]


# What was sent


def owing(_: int, n: int) -> int:
    return 0 if n == 2 else 5


def test_what_was_sent_is_told_once_each_has_told_it_and_not_before() -> None:
    tally = Tally(2, owing)
    tally.take(0, 0, 5)
    tally.take(0, 1, 5)
    assert list(tally.give(9)) == []
    tally.take(1, 0, 4)
    assert list(tally.give(9)) == [(0, 9)]
    tally.take(1, 1, 0)
    tally.take(1, 3, 5)
    assert list(tally.give(9)) == [(1, 5)], "nobody owes anything in 2, and of 3 one has not told"


def test_what_is_not_over_is_not_told() -> None:
    tally = Tally(1, owing)
    tally.take(0, 0, 5)
    assert list(tally.give(0)) == []
    assert list(tally.give(1)) == [(0, 5)]


def test_a_lost_one_is_not_waited_for_and_sent_nothing() -> None:
    tally = Tally(2, owing)
    tally.take(0, 0, 5)
    tally.lose(1)
    assert list(tally.give(2)) == [(0, 5)]
    tally.take(1, 0, 5)
    tally.take(0, 1, 5)
    assert list(tally.give(9)) == [(1, 5)], "what comes too late is left out"
