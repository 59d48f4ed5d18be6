"""The beat of one indicator, on a clock of the test's own: what is sent when, and what time counts."""

from aftershock.core.histogram import bucket
from aftershock.core.history import Counted, Slice
from aftershock.probes.pulse import Pulse, Request
from aftershock.probes.schedule import NEVER, Steady, Steps
from aftershock.probes.slices import Fold

MS = 1_000_000


class Desk:
    """A probe that never answers by itself, and the clock."""

    def __init__(
        self, every: int = 100, timeout: int = 2000, tolerance: int = 100, counted: Counted = "probes"
    ) -> None:
        self.now = 0
        self.sent: list[Request] = []
        self.abandoned: list[Request] = []
        self.pulse = Pulse(
            Fold("join", counted),
            Steady(every * MS),
            lambda: self.now,
            timeout=timeout * MS,
            tolerance=tolerance * MS,
        )
        self.pulse.use(self)
        self.pulse.schedule.begin(0)

    def send(self, request: Request) -> None:
        self.sent.append(request)

    def abandon(self, request: Request) -> None:
        self.abandoned.append(request)

    def at(self, now: int) -> None:
        self.now = now * MS
        self.pulse.expire(self.now)
        self.pulse.beat(self.now)

    def slices(self) -> list[Slice]:
        return list(self.pulse.slices(self.now))


def test_nothing_comes_back_and_all_is_sent() -> None:
    desk = Desk(every=10)
    for now in range(1000):
        desk.at(now)
    assert [request.due // MS for request in desk.sent] == list(range(5, 1000, 10))


def test_latency_and_timeout_count_from_the_intended_time() -> None:
    desk = Desk(timeout=500)
    desk.at(120)
    (late,) = desk.sent
    assert late.due == 50 * MS
    desk.now = 125 * MS
    desk.pulse.settle(late, None)
    desk.at(150)
    desk.at(649)
    assert not desk.abandoned
    desk.at(650)
    assert desk.abandoned == [desk.sent[1]]
    desk.at(1400)
    slices = {slice_.n: slice_ for slice_ in desk.slices()}
    assert slices[0].latency == {bucket(0.075): 1}
    assert slices[1].bad == {"timeout": 1}


def test_what_could_not_be_sent_in_time_is_unsent_and_not_sent_in_a_flood() -> None:
    desk = Desk(every=10, tolerance=100)
    desk.at(0)
    desk.at(5000)
    assert [request.due // MS for request in desk.sent] == list(range(4905, 5000, 10))
    desk.now = 5000 * MS
    for request in desk.sent:
        desk.pulse.settle(request, None)
    desk.at(5100)
    slices = desk.slices()
    assert sum(slice_.planned for slice_ in slices) == 500
    assert sum(slice_.unsent for slice_ in slices) == 490


def test_what_came_back_while_nobody_looked_is_missing() -> None:
    desk = Desk()
    desk.at(50)
    desk.pulse.blind = True
    desk.now = 900 * MS
    desk.pulse.settle(desk.sent[0], None)
    desk.pulse.blind = False
    (slice_,) = desk.slices()
    assert (slice_.planned, slice_.good, slice_.unsent, slice_.bad) == (1, 0, 1, {})


def test_a_request_is_settled_once() -> None:
    desk = Desk()
    desk.at(50)
    assert desk.pulse.settle(desk.sent[0], "timeout")
    assert not desk.pulse.settle(desk.sent[0], None)
    desk.now = 200 * MS
    assert [slice_.bad for slice_ in desk.slices()] == [{"timeout": 1}]


def test_it_wakes_for_the_next_request_timeout_or_end_of_a_slice() -> None:
    desk = Desk(every=1000, timeout=60)
    assert desk.pulse.wake(0) == 500 * MS
    desk.at(500)
    assert desk.pulse.wake(desk.now) == 560 * MS
    desk.at(560)
    assert desk.pulse.wake(desk.now) == 600 * MS
    desk.at(600)
    desk.slices()
    assert desk.pulse.wake(desk.now) == 1500 * MS


def test_stopping_sends_what_was_due_until_then_and_nothing_after() -> None:
    desk = Desk(every=1, tolerance=1000)
    desk.pulse.stop(300 * MS)
    assert len(desk.sent) == 300
    assert desk.pulse.schedule.next == NEVER
    assert not desk.pulse.quiet


def test_an_unplanned_load_sends_nothing() -> None:
    pulse = Pulse(Fold("join", "load"), Steps(), lambda: 0, timeout=MS, tolerance=MS)
    pulse.beat(1 << 60)
    assert pulse.quiet
    assert pulse.wake(0) == NEVER


def test_a_timeout_failed_at_its_deadline_however_late_that_was_noticed() -> None:
    desk = Desk(timeout=500)
    desk.at(60)
    desk.at(557)  # 7 ms after the deadline of the request that was due at 50 ms
    desk.at(1400)
    slices = {slice_.n: slice_ for slice_ in desk.slices()}
    assert slices[0].bad == {"timeout": 1}
    assert slices[0].bad_from == 0.55


def test_what_was_sent_of_the_load_is_told_before_anything_is_answered() -> None:
    """A spike proves itself while what it hit hangs: the slices, which wait for answers, are not out yet."""
    desk = Desk(every=10, timeout=5000, tolerance=30, counted="load")
    told: list[tuple[int, int]] = []
    for now in range(0, 501, 10):
        desk.at(now if now < 300 else now + 400)  # stalled for 400 ms: part of it is never sent
        told += desk.pulse.sent(desk.now)
    assert desk.slices() == []
    assert told[:3] == [(0, 10), (1, 10), (2, 9)]
    assert [n for n, _ in told] == list(range(9))
    assert sum(sent for _, sent in told) == len([one for one in desk.sent if one.due < 900 * MS]) < 90
    desk.at(7000)
    slices = {one.n: one.planned - one.unsent for one in desk.slices()}
    assert [slices[n] for n, _ in told] == [sent for _, sent in told]


def test_a_slice_is_told_once_it_is_over_and_all_that_was_due_in_it_is_sent() -> None:
    """A turn sends no more than a burst: the rest of the slice is due still, though the slice is over."""
    desk = Desk(every=1, tolerance=200, counted="load")
    desk.at(100)
    assert len(desk.sent) < 100
    assert list(desk.pulse.sent(desk.now)) == []
    desk.at(100)
    assert list(desk.pulse.sent(desk.now)) == [(0, 100)]
    desk.at(150)
    desk.pulse.schedule.stop()  # nothing more is due: the slice may be filled by the next rates all the same
    assert list(desk.pulse.sent(desk.now)) == []
    assert list(desk.pulse.sent(200 * MS)) == [(1, 50)]
