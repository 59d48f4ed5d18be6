"""Steady, recovered, and guardrails: as the executor asks while the run goes on."""

import pytest

import journals
from aftershock.core.guardrail import Guard
from aftershock.core.history import Entered, History, Slice
from aftershock.core.inputs import eras
from aftershock.core.steady import recovered, steady
from aftershock.core.verdict import Truth
from aftershock.model.era import Objective
from aftershock.model.experiment import Guardrail
from aftershock.model.stack import Indicator
from aftershock.model.units import Duration, Percentage
from simulator import Meetings, Service, probe

STEADY = 10.0


def begun() -> list:
    drill = journals.Drill(journals.experiment(journals.EXHAUSTION), {})
    return [journals.begun_by(drill), Entered(at=0.6, phase="Baseline")]


def live(until: float, join: Service, meeting: Service | None = None) -> History:
    """Return what is on record at run second `until`: what was answered by then."""
    slices = [
        *probe("join", join, 0.45, until, every=0.1),
        *probe("meeting-success", meeting or Meetings(seed=2), 0.45, until, every=0.02),
    ]
    return History([*begun(), *(one for one in slices if one.at <= until)])


def objectives(name: str = "10k") -> list[Objective]:
    return list(eras(journals.begun_by(journals.demo_drill()))[name].spec.objectives)


def test_a_healthy_stack_is_steady_though_the_newest_slices_are_on_their_way() -> None:
    claims = steady(live(10.6, Meetings()), objectives(), 0.6, 10.6)
    assert [one.truth for one in claims] == [Truth.TRUE] * 3


@pytest.mark.parametrize(("failing", "truth"), [(0.0, Truth.TRUE), (0.006, Truth.TRUE), (0.05, Truth.FALSE)])
def test_availability_is_contradicted_at_95_percent_or_not(failing: float, truth: Truth) -> None:
    meeting = Meetings(seed=4, noise=failing)
    claims = steady(live(10.6, Meetings(), meeting), objectives(), 0.6, 10.6)
    assert claims[0].truth is truth


def test_latency_is_contradicted_by_the_time_it_is_out_of_bounds() -> None:
    claims = steady(live(10.6, Meetings(slow=[(3, 7, 6.0)], typical=0.01)), objectives(), 0.6, 10.6)
    assert claims[1].truth is not Truth.TRUE
    claims = steady(live(16.6, Meetings(slow=[(3, 7, 6.0)], typical=0.01)), objectives(), 0.6, 14.6)
    assert claims[1].truth is Truth.FALSE
    assert "out of bounds" in claims[1].finding


def test_without_data_it_is_not_steady() -> None:
    claims = steady(History(begun()), objectives(), 0.6, 10.6)
    assert {one.truth for one in claims} == {Truth.UNKNOWN}


def test_probes_that_fell_silent_are_overdue_after_their_timeout() -> None:
    silent = live(5.0, Meetings())
    assert {one.truth for one in steady(silent, objectives(), 0.6, 7.0)} == {Truth.TRUE}
    assert Truth.TRUE not in {one.truth for one in steady(silent, objectives(), 0.6, 10.6)}


def test_what_the_stack_does_not_measure_is_no_objection_to_go_on() -> None:
    assert [one.name for one in steady(live(10.6, Meetings()), objectives("100k"), 0.6, 10.6)] == ["uptime, baseline"]


def test_it_has_recovered_when_every_objective_has_held_for_long_enough() -> None:
    since = 20.0
    for now, yes in ((21.0, False), (29.0, False), (30.4, True)):
        history = live(now, Meetings(), Meetings(seed=2, outages=[(10, since + 0.1)]))
        assert recovered(history, objectives(), since, now, STEADY).yes is yes, now


def test_a_stretch_that_began_before_healing_does_not_count() -> None:
    found = recovered(live(25.0, Meetings()), objectives(), 20.0, 25.0, STEADY)
    assert not found.yes
    assert not found.known
    assert "of 10 s" in found.why


def test_few_samples_may_not_fail_at_all() -> None:
    """One of 100 is what 99% leaves; two are not. A fresh outage of a tenth of the stretch is no recovery."""
    for lost, yes in ((0.1, True), (0.2, False), (1.0, False)):
        found = recovered(live(40.0, Meetings()), journals_objective(), 20.0, 40.0, STEADY)
        assert found.yes
        history = live(40.0, Meetings(outages=[(33.05, 33.05 + lost)]))
        assert recovered(history, journals_objective(), 20.0, 40.0, STEADY).yes is yes, lost


def journals_objective() -> list[Objective]:
    uptime = objectives()[0]
    return [Objective(name="joins", indicator="join", target=Percentage(0.99), source=uptime.source)]


def test_a_gap_in_the_last_stretch_is_no_recovery() -> None:
    history = live(40.0, Meetings())
    gone = [one for one in history.events if not (isinstance(one, Slice) and one.n == 350)]
    found = recovered(History(gone), objectives(), 20.0, 40.0, STEADY)
    assert not found.yes
    assert not found.known


def guard(seconds: float = 2.0, below: float = 0.5, every: float = 0.1) -> Guard:
    rule = Guardrail(indicator="join", below=Percentage(below), for_=Duration(seconds))
    return Guard(rule, Indicator(name="join", every=Duration(every)))


def trips(one: Guard, slices: list[Slice]) -> list[float]:
    return [each.n / 10 for each in sorted(slices, key=lambda each: each.n) if one.feed(each) is not None]


def test_a_guardrail_trips_when_the_share_has_been_low_for_long_enough() -> None:
    """All fails from 5 s on: after 1 s more than half of the last 2 s is bad."""
    found = trips(guard(), probe("join", Meetings(outages=[(5, 20)]), 0.05, 10.0))
    assert found[0] == pytest.approx(6.1, abs=0.11)
    assert trips(guard(below=0.05), probe("join", Meetings(outages=[(5, 20)]), 0.05, 10.0))[0] == pytest.approx(7.0)
    assert trips(guard(), probe("join", Meetings(outages=[(5, 5.9)]), 0.05, 10.0)) == []


def test_a_guardrail_says_for_how_long() -> None:
    one = guard(below=0.05)
    lasted = [one.feed(each) for each in probe("join", Meetings(outages=[(0, 20)]), 0.05, 10.0)]
    assert next(each for each in lasted if each is not None) == pytest.approx(2.0)


def test_missing_data_trips_nothing_but_is_counted() -> None:
    one = guard(below=0.05)
    slices = probe("join", Meetings(outages=[(0, 20)]), 0.05, 10.0)
    assert trips(one, [each for each in slices if each.n % 10]) == []
    assert one.missing == 9
    unsent = guard(below=0.05)
    assert trips(unsent, probe("join", Meetings(outages=[(0, 20)]), 0.05, 10.0, unsent=lambda at: at % 1 < 0.1)) == []
    assert unsent.missing >= 9


def test_a_guardrail_heeds_its_own_indicator_and_probes_only() -> None:
    one = guard(below=0.05)
    assert trips(one, probe("other", Meetings(outages=[(0, 20)]), 0.05, 10.0)) == []
    assert trips(one, probe("join", Meetings(outages=[(0, 20)]), 0.05, 10.0, counted="load")) == []


def test_slow_probes_are_guarded_by_their_own_cells() -> None:
    found = trips(guard(20.0, 0.05, every=5.0), probe("join", Meetings(outages=[(10, 90)]), 2.5, 60.0, every=5.0))
    assert found[0] == pytest.approx(32.5, abs=0.11)
