"""What every report tells: who speaks for the run, what an era's row shows, how evidence is folded."""

import msgspec
import pytest

import report_samples as samples
from aftershock.core.history import Errored, Healed, Healing, History, Intended, Ledgered, Observed
from aftershock.core.verdict import Bracket, Claim, Interval, Judgement, Survival, Truth, Verdict
from aftershock.reports import html, story


def _judged_by(history: History, *eras: str) -> History:
    begun = msgspec.structs.replace(history.begun, judge_by=list(eras))
    return History([begun, *history.events[1:]])


def test_the_deciding_era_speaks_for_the_run_whatever_others_say() -> None:
    history, judgements = samples.demo()
    assert story.headline(history, judgements).era == "1k"
    assert story.headline(history, judgements).verdict is Verdict.PASSED


def test_the_worst_of_several_deciding_eras_speaks() -> None:
    history, judgements = samples.demo()
    assert story.headline(_judged_by(history, "1k", "100k"), judgements).era == "100k"


def test_an_era_that_was_asked_for_later_speaks_when_it_is_alone() -> None:
    history, judgements = samples.demo()
    assert story.headline(history, judgements[3:]).era == "1m"


def test_nothing_judged_is_no_report() -> None:
    history, _ = samples.demo()
    with pytest.raises(ValueError, match="judgement"):
        story.headline(history, [])


def _claim(name: str, truth: Truth, high: float, **rest: object) -> Claim:
    fields = {
        "kind": "budget",
        "statement": "",
        "finding": "",
        "measured": Interval(0, high),
        "allowed": 100.0,
        "unit": "s",
    }
    return msgspec.convert({**fields, "name": name, "truth": truth, **rest}, Claim)


def _judgement(*claims: Claim, **rest: object) -> Judgement:
    fields = {
        "run": "r",
        "era": "e",
        "uptime": 0.99,
        "verdict": "Passed",
        "because": "",
        "conditions": [],
        "recovery": [],
    }
    return msgspec.convert({**fields, "claims": list(claims), **rest}, Judgement)


def test_the_row_shows_a_false_budget_before_one_that_is_merely_fuller() -> None:
    full, broken = _claim("full", Truth.TRUE, 99), _claim("broken", Truth.FALSE, 101)
    unsure = _claim("unsure", Truth.UNKNOWN, 500)
    told = _claim("told", Truth.FALSE, 900, binding=False)
    assert story.tightest(_judgement(full, unsure, broken, told)) == broken
    assert story.tightest(_judgement(full, unsure)) == unsure
    assert story.tightest(_judgement(told)) is None


def test_claims_stand_in_the_order_in_which_they_decide() -> None:
    claims = [
        _claim("told", Truth.FALSE, 1, binding=False),
        _claim("true", Truth.TRUE, 1),
        _claim("unknown", Truth.UNKNOWN, 1),
        _claim("false", Truth.FALSE, 1),
    ]
    assert [each.name for each in story.in_order(claims)] == ["false", "unknown", "true", "told"]


def test_repeated_observations_are_folded_per_observer_and_a_change_stands_out() -> None:
    def seen(at: float, observer: str, *, holds: bool = True) -> Observed:
        return Observed(at=at, asked=at, injection=0, when="during", holds=holds, observer=observer, saw="x")

    evidence = [seen(1, "a"), seen(2, "b"), seen(3, "a"), seen(4, "a", holds=False), seen(5, "b"), seen(6, "a")]
    folded = story.sightings(evidence)
    assert [(each.observer, each.holds, each.first, each.last, each.times) for each in folded] == [
        ("a", True, 1, 3, 2),
        ("b", True, 2, 5, 2),
        ("a", False, 4, 4, 1),
        ("a", True, 6, 6, 1),
    ]


def test_observations_that_differ_in_numbers_alone_are_folded_where_it_has_to_be_brief() -> None:
    def seen(at: float, saw: str, *, holds: bool = True) -> Observed:
        return Observed(at=at, asked=at, injection=0, when="during", holds=holds, observer="a", saw=saw)

    evidence = [seen(1, "after 201 ms"), seen(2, "after 7.5 ms"), seen(3, "gone"), seen(4, "after 9 ms", holds=False)]
    assert len(story.sightings(evidence)) == 4
    told = [(each.saw, each.holds, each.how_often) for each in story.sightings(evidence, brief=True)]
    assert told == [
        ("after 201 ms", True, ", 2 times, at first"),
        ("gone", True, ""),
        ("after 9 ms", False, ""),
    ]


def test_answers_that_take_turns_are_counted_each_until_the_answer_changes() -> None:
    def seen(at: float, saw: str, *, holds: bool = True) -> Observed:
        return Observed(at=at, asked=at, injection=0, when="during", holds=holds, observer="a", saw=saw)

    turns = [seen(at, ("refused", "too many")[at % 2]) for at in range(5)]
    evidence = [*turns, seen(5, "accepted", holds=False), seen(6, "refused")]
    assert len(story.sightings(evidence)) == 7
    assert [(each.saw, each.times) for each in story.sightings(evidence, brief=True)] == [
        ("refused", 3),
        ("too many", 2),
        ("accepted", 1),
        ("refused", 1),
    ]


def test_a_fault_that_nobody_healed_stays_open_to_the_end_and_says_so() -> None:
    history, _ = samples.demo()
    cut = History(each for each in history.events if not isinstance(each, Healed | Healing))
    (window,) = story.windows(cut)
    assert window.end == pytest.approx(story.last(cut))
    assert story.ended(window) == "no end on record"


def test_a_window_knows_what_it_stands_for() -> None:
    history, _ = samples.demo()
    assert [(each.start, each.end, each.represents) for each in story.windows(history)] == [(11.98, 42.0, 1800.0)]


def test_a_fault_that_was_only_intended_is_told_all_the_same() -> None:
    history, _ = samples.demo()
    only = History(each for each in history.events if not isinstance(each, Observed | Healed | Healing))
    assert len(story.windows(only)) == len(only.all(Intended))


def test_the_last_reading_of_a_ledger_counts() -> None:
    history, _ = samples.aborted()
    assert [each.lost_count for each in story.ledgers(history)] == [3]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"read": False, "saw": "timeout"}, "Not known: the ledger could not be read back (timeout)."),
        ({"read": True, "acknowledged": 1}, "None of 1 acknowledged write is gone."),
        (
            {"read": True, "acknowledged": 9, "indeterminate": 2},
            "None of 9 acknowledged writes is gone; 2 writes indeterminate.",
        ),
        (
            {"read": True, "acknowledged": 9, "lost_count": 2, "oldest_lost": 1.0, "newest_lost": 2.0},
            "2 of 9 acknowledged writes gone, acknowledged from 1.0 s to 2.0 s.",
        ),
        (
            {"read": True, "acknowledged": 9, "disputed": ["a"]},
            "None of 9 acknowledged writes is gone; of 1 write the service's own log of conflicts says otherwise.",
        ),
    ],
)
def test_loss_is_told_as_what_is_known(fields: dict[str, object], said: str) -> None:
    assert story.loss(Ledgered(at=0.0, indicator="w", **fields)) == said  # type: ignore[arg-type]


def test_an_outage_that_did_not_end_is_longer_than_any_that_did() -> None:
    short = Bracket(indicator="a", began=Interval(1, 1), ended=Interval(9, 9), rto=Interval(8, 8))
    open_ = Bracket(indicator="b", began=Interval(5, 5))
    assert story.longest_outage(_judgement(recovery=[short, open_]))[0] == "not over"
    assert story.longest_outage(_judgement(recovery=[short])) == ("8 s", "a")
    assert story.longest_outage(_judgement(recovery=[Bracket(indicator="c")]))[0] == "none"


GOOD_AGAIN = "good again for 2 s when the record stops, too short to call it over"


@pytest.mark.parametrize(
    ("kind", "lasted", "said"),
    [
        ("budget", 0.0, "the record stops before it ended; its objective held all the same"),
        ("latency", 2.0, f"{GOOD_AGAIN}; its objective held all the same"),
        (None, 2.0, f"{GOOD_AGAIN}; no objective of era e judges it"),
    ],
)
def test_an_outage_that_is_not_over_says_how_the_run_has_recovered_all_the_same(
    kind: str | None, lasted: float, said: str
) -> None:
    claims = [_claim("recovered", Truth.TRUE, 0, kind="recovery")]
    claims += [_claim("uptime", Truth.TRUE, 0, kind=kind, indicator="b")] if kind else []
    open_ = Bracket(indicator="b", began=Interval(5, 5), lasted=lasted)
    assert story.longest_outage(_judgement(*claims, recovery=[open_])) == ("not over", f"b: {said}")


def test_the_opening_has_the_outage_of_what_the_era_judges() -> None:
    judged = Bracket(indicator="b", began=Interval(5, 5), ended=Interval(6, 6), rto=Interval(1, 1))
    aside = Bracket(indicator="a", began=Interval(1, 1))
    claim = _claim("uptime", Truth.TRUE, 0, kind="budget", indicator="b")
    assert story.longest_outage(_judgement(claim, recovery=[aside, judged])) == ("1 s", "b")
    none = story.longest_outage(_judgement(claim, recovery=[aside, Bracket(indicator="b")]))
    assert none == ("none", "nothing that era e judges had one; not judged: a not over")


def test_where_nothing_was_measured_after_an_injection_no_outage_is_denied() -> None:
    assert story.longest_outage(_judgement())[0] == "not known"


def test_an_error_and_what_to_do_about_it_are_two_things() -> None:
    history = History([*samples.demo()[0].events, Errored(at=99.0, problem="it is gone", advice="start it")])
    assert story.marks(history)[-1].text == "it is gone; try: start it"


def test_the_shortest_survival_is_told_and_no_end_is_never_for_ever() -> None:
    endless = Survival(injection=0, objective="b", at_least=900.0)
    assert story.survival(_judgement(survives=[endless])) == ("at least 15 min", "b")
    short = Survival(injection=0, objective="a", seconds=Interval(60, 61))
    assert story.survival(_judgement(survives=[endless, short])) == ("1 min to 1 min 1 s", "a")
    assert story.survival(_judgement()) is None


def test_of_two_ledgers_the_page_says_which_lost_what() -> None:
    shared = Ledgered(at=60.0, indicator="conflicting-writes", read=True, acknowledged=9, lost_count=2)
    one, two = samples.history(), samples.history(extra=[shared])
    judged = [samples.judgement("1k", 0.95, 12960.0)]
    assert ", conflicting-writes" not in html.render(one, judged)
    assert "of 9 acknowledged writes, conflicting-writes" in html.render(two, judged)
