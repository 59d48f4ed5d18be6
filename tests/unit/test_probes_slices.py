"""Folding requests into slices: every request in its slice, and the edges as the journal's record says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.core.histogram import bucket
from aftershock.core.history import Slice
from aftershock.probes.schedule import SECOND
from aftershock.probes.slices import UNSENT, WIDTH, Fold

MS = 1_000_000


def fold(requests: list[tuple[int, int, str | None]]) -> list[Slice]:
    """Fold (due, seen, kind), all in milliseconds, settled in the order in which they were seen."""
    folding = Fold("join", "probes")
    planned = [
        (folding.plan(due * MS), due, seen, kind) for due, seen, kind in sorted(requests, key=lambda each: each[0])
    ]
    for slice_, due, seen, kind in sorted(planned, key=lambda each: each[2]):
        slice_.settle(due * MS, seen * MS, kind)
    return list(folding.take(1_000_000 * SECOND))


def edges(slice_: Slice) -> tuple[float | None, ...]:
    return slice_.good_before, slice_.bad_from, slice_.bad_until, slice_.good_after


def test_counts_and_latencies() -> None:
    (slice_,) = fold(
        [(100, 103, None), (120, 122, "status-503"), (140, 150, "status-503"), (150, 150, UNSENT), (160, 161, None)]
    )
    assert (slice_.n, slice_.planned, slice_.unsent, slice_.good) == (1, 5, 1, 2)
    assert slice_.bad == {"status-503": 2}
    assert slice_.latency == {bucket(0.003): 1, bucket(0.001): 1}
    assert (slice_.indicator, slice_.counted) == ("join", "probes")


def test_what_was_measured_is_kept_also_where_it_is_out_of_its_bound() -> None:
    folding = Fold("lag", "probes")
    for kind, took in ((None, 1000 * MS), ("behind", 12000 * MS), ("timeout", None)):
        folding.plan(0).settle(0, 3 * MS, kind, took)
    (slice_,) = folding.take(SECOND)
    assert slice_.latency == {bucket(1.0): 1, bucket(12.0): 1}


def test_edges_around_an_outage() -> None:
    (slice_,) = fold(
        [(10, 12, None), (20, 21, None), (30, 90, "timeout"), (40, 41, "refused"), (50, 75, None), (60, 62, None)]
    )
    assert edges(slice_) == (0.020, 0.090, 0.040, 0.062)


def test_edges_without_a_failure() -> None:
    (slice_,) = fold([(10, 30, None), (20, 21, None)])
    assert edges(slice_) == (0.020, None, None, 0.021)


def test_edges_without_a_success() -> None:
    (slice_,) = fold([(10, 30, "refused"), (20, 21, "refused")])
    assert edges(slice_) == (None, 0.030, 0.020, None)


def test_good_answers_before_the_last_failure_are_no_recovery() -> None:
    (slice_,) = fold([(10, 11, "refused"), (20, 21, None), (30, 31, "refused")])
    assert edges(slice_) == (None, 0.011, 0.030, None)


def test_slices_come_in_order_and_only_when_all_is_settled() -> None:
    folding = Fold("join", "load")
    first, second = folding.plan(50 * MS), folding.plan(150 * MS)
    second.settle(150 * MS, 151 * MS, None)
    assert list(folding.take(10 * SECOND)) == []
    first.settle(50 * MS, 2000 * MS, "timeout")
    assert [slice_.n for slice_ in folding.take(10 * SECOND)] == [0, 1]
    assert folding.empty


def test_a_slice_that_is_not_over_is_kept() -> None:
    folding = Fold("join", "probes")
    folding.plan(50 * MS).settle(50 * MS, 51 * MS, None)
    assert list(folding.take(WIDTH - 1)) == []
    assert len(list(folding.take(WIDTH))) == 1


def test_the_rest_counts_what_is_pending_as_unsent() -> None:
    folding = Fold("join", "probes")
    folding.plan(50 * MS)
    (slice_,) = folding.rest(60 * MS)
    assert (slice_.planned, slice_.unsent, slice_.at) == (1, 1, 0.06)


_REQUESTS = st.lists(
    st.tuples(st.integers(0, 999), st.integers(0, 300), st.sampled_from([None, UNSENT, "timeout", "refused"])),
    max_size=60,
)


@settings(deadline=None)
@given(_REQUESTS)
def test_nothing_is_lost_and_nothing_moves(requests: list[tuple[int, int, str | None]]) -> None:
    slices = fold([(due, due + took, kind) for due, took, kind in requests])
    assert [slice_.n for slice_ in slices] == sorted({due // 100 for due, _, _ in requests})
    for slice_ in slices:
        kinds = [kind for due, _, kind in requests if due // 100 == slice_.n]
        assert slice_.planned == len(kinds) == slice_.unsent + slice_.good + sum(slice_.bad.values())
        assert slice_.good == kinds.count(None) == sum(slice_.latency.values())
        assert slice_.unsent == kinds.count(UNSENT)


@settings(deadline=None)
@given(_REQUESTS)
def test_edges_are_what_the_record_says(requests: list[tuple[int, int, str | None]]) -> None:
    whole = [(due, due + took, kind) for due, took, kind in requests]
    for slice_ in fold(whole):
        mine = [each for each in whole if each[0] // 100 == slice_.n]
        bad = [each for each in mine if each[2] not in {None, UNSENT}]
        good = [each for each in mine if each[2] is None]
        first, last = min((d for d, _, _ in bad), default=9999), max((d for d, _, _ in bad), default=-1)
        before = max((d for d, _, _ in good if d < first), default=None)
        after = min((s for d, s, _ in good if d > last), default=None)
        assert slice_.good_before == (None if before is None else before * MS / SECOND)
        assert slice_.good_after == (None if after is None else after * MS / SECOND)
        assert slice_.bad_until == (last * MS / SECOND if bad else None)
