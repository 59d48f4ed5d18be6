"""Claims, conditions, and the one verdict that follows from them, over whole journals."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

import journals
from aftershock.core.conditions import SILENCE
from aftershock.core.history import (
    Aborting,
    Begun,
    Cleaned,
    Entered,
    Errored,
    Healed,
    Healing,
    History,
    Injected,
    Intended,
    Ledgered,
    Observed,
    Slice,
    Tripped,
    parse,
)
from aftershock.core.inputs import eras
from aftershock.core.judge import decode, encode, judge, judge_all
from aftershock.core.verdict import Claim, Condition, Judgement, Truth, Verdict
from aftershock.runtime import conclude
from journals import Drill, Plan
from simulator import Meetings, probe

T, F, U = Truth.TRUE, Truth.FALSE, Truth.UNKNOWN


def by(history: History, era: str = "10k") -> Judgement:
    return judge(history, eras(history.begun)[era])


def claim(judgement: Judgement, kind: str, name: str | None = None) -> Claim:
    return next(one for one in judgement.claims if one.kind == kind and name in {None, one.name})


def condition(judgement: Judgement, kind: str) -> Condition:
    return next(one for one in judgement.conditions if one.type == kind)


def changed(history: History, *more: Any, without: Callable[[Any], bool] = lambda _one: False) -> History:
    first, *rest = [one for one in history.events if not without(one)]
    return History([first, *sorted([*rest, *more], key=lambda one: one.at)])


ROWS = {
    "demo": ["Passed", "Passed", "Failed", "Failed"],
    "not-landed": ["Inconclusive"] * 4,
    "stopped-landing": ["Inconclusive"] * 4,
    "probes-cut-off": ["Inconclusive"] * 4,
    "aborted": ["Aborted", "Aborted", "Failed", "Failed"],
    "guarded": ["Failed"] * 4,
    "executor-lost": ["Aborted"] * 4,
    "data-lost": ["Passed", "Passed", "Failed", "Failed"],
    "residue": ["Error"] * 4,
}


@pytest.mark.parametrize("name", journals.ALL)
def test_the_row_of_each_journal(name: str) -> None:
    """95%, 99%, 99.5% and 99.9%. The demo's row follows from the rules: 30 min of failure, of 3 h 36 min, 43 min 12 s,
    21 min 36 s and 4 min 19 s.
    """
    history = journals.ALL[name]()
    known = eras(history.begun)
    found = judge_all(history, [known[era] for era in ("1k", "10k", "100k", "1m")])
    assert [one.verdict.value for one in found] == ROWS[name]
    assert all(one.because.endswith(".") and len(one.because) > 20 for one in found)
    assert [decode(encode(one)) for one in found] == found
    assert [one.verdict for one in judge_all(parse(journals.text(history)), known.values())] == [
        one.verdict for one in found
    ]


def test_what_clients_saw_when_our_own_toxiproxy_was_lost_fails_nobody() -> None:
    history = journals.aborted()
    assert by(history, "1m").verdict is Verdict.FAILED
    (before,) = history.all(Aborting)
    lost = msgspec.structs.replace(before, reason="TargetLost", message="the pod is lost")
    judgement = by(changed(history, lost, without=lambda one: isinstance(one, Aborting)), "1m")
    assert judgement.verdict is Verdict.ABORTED and "(TargetLost): the pod is lost" in judgement.because


def test_the_demo_spends_half_an_hour_of_each_allowance() -> None:
    judgement = by(journals.demo())
    uptime = claim(judgement, "budget", "uptime")
    assert uptime.allowed == pytest.approx(2592)
    assert 1790 < uptime.measured.low < 1800 < uptime.measured.high < 1802
    for name in ("join-latency", "latency"):
        latency = claim(judgement, "latency", name)
        assert latency.truth is T
        assert 1500 < latency.measured.low < 1800 < latency.measured.high < 1802
        assert "target of uptime, 99%" in latency.statement
    assert {one.status for one in judgement.conditions} == {"True"}
    assert judgement.uptime == 0.99
    assert judgement.rto_allowed == pytest.approx(2592)


def test_the_demo_would_survive_its_fault_for_the_allowance() -> None:
    """At a total failure the stack survives for just what it may spend."""
    found = {one.objective: one for one in by(journals.demo()).survives}
    assert found["uptime"].seconds.low <= 2592 <= found["uptime"].seconds.high
    assert found["uptime"].seconds.high - found["uptime"].seconds.low < 0.01 * 2592
    assert set(found) == {"uptime", "join-latency", "latency"}


def test_a_fault_that_nobody_notices_is_survived_for_at_least_what_the_samples_are_good_for() -> None:
    history = journals.run(replace(journals.demo_drill(), services=journals.healthy()))
    found = by(history).survives[0]
    assert found.seconds is None
    assert found.at_least > 24 * 3600


def test_rto_is_printed_and_does_not_bind() -> None:
    judgement = by(journals.demo(), "1m")
    rto = claim(judgement, "recovery", "rto")
    assert not rto.binding
    assert rto.truth is F
    assert rto.measured.low == pytest.approx(1800, abs=1)
    assert "derived" in rto.statement


def test_an_evacuation_leaves_the_rto_unknown_and_says_so() -> None:
    evacuated = {**journals.EXHAUSTION, "fault": "region-loss", "target": "us-west", "with": {"by": "evacuation"}}
    for by_what, known in (("evacuation", False), ("links", True)):
        document = journals.experiment({**evacuated, "with": {"by": by_what}})
        judgement = by(journals.run(replace(journals.demo_drill(), document=document)), "1m")
        rto = claim(judgement, "recovery", "rto")
        assert (rto.truth is not U, rto.measured is not None) == (known, known)
        assert (conclude.status([judgement], None, "now").rto != "unknown") == known
        recovered = next(one for one in judgement.conditions if one.type == "Recovered")
        assert ("skips the detection" not in recovered.message) == known


def test_an_objective_that_the_stack_does_not_measure_is_unknown() -> None:
    judgement = by(journals.demo(), "100k")
    audio = claim(judgement, "latency", "audio-latency")
    assert audio.truth is U
    assert audio.missing == ["an indicator named audio in the stack"]
    assert not [one for one in judgement.claims if one.kind == "steady" and "audio" in one.name]


def test_where_nothing_was_to_be_held_against_the_record_nothing_passes() -> None:
    """No objective, no expectation: what is left are claims that any undisturbed machine makes true."""
    asked = {**journals.demo_drill().document, "spec": {**journals.demo_drill().document["spec"], "expect": []}}
    history = journals.run(replace(journals.demo_drill(), document=asked))
    known = eras(history.begun)["10k"]
    empty = msgspec.structs.replace(known, spec=msgspec.structs.replace(known.spec, objectives=[]))
    judgement = judge(history, empty)
    assert not [one for one in judgement.claims if one.kind in {"budget", "latency", "expect"}]
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_eras_of_the_same_run_differ_in_nothing_but_the_era() -> None:
    history = journals.demo()
    lone = by(history, "100k")
    known = eras(history.begun)
    assert judge_all(history, list(known.values()))[2] == lone


# FaultLanded


def landed(history: History) -> tuple[str, str]:
    found = condition(by(history), "FaultLanded")
    return found.status, found.reason


def seen(one: Any, when: str) -> bool:
    return isinstance(one, Observed) and one.when == when


def test_evidence_has_to_be_there_all_along() -> None:
    demo = journals.demo()
    start = journals.plan_of(journals.demo_drill()).begun[0]
    silent = changed(demo, without=lambda one: seen(one, "during") and start + 10 < one.at < start + 14)
    late = changed(demo, without=lambda one: seen(one, "during") and one.at < start + 7)
    early = changed(demo, without=lambda one: seen(one, "during") and one.at > start + 26)
    blind = changed(demo, without=lambda one: seen(one, "before"))
    there = journals.run(replace(journals.demo_drill(), before=True))
    assert landed(demo) == ("True", "Landed")
    assert landed(silent) == ("False", "EvidenceGap")
    assert landed(late) == ("False", "EvidenceGap")
    assert landed(early) == ("False", "EvidenceGap")
    assert landed(blind) == ("False", "NoEvidence")
    assert landed(there) == ("False", "AlreadyPresent")
    assert landed(journals.not_landed()) == ("False", "NeverLanded")
    assert landed(journals.stopped_landing()) == ("False", "StoppedLanding")


@pytest.mark.parametrize(("settles", "found"), [(0.0, "EvidenceGap"), (1.0, "EvidenceGap"), (3.0, "Landed")])
def test_what_its_target_takes_by_its_own_rules_is_not_held_against_a_fault(settles: float, found: str) -> None:
    """Pods that are asked to end have a grace period: for as long the fault is on its way, and it is looked for."""
    late = journals.run(replace(journals.demo_drill(), holds=lambda since: since > 7))
    slow = [msgspec.structs.replace(one, settles=settles) if isinstance(one, Intended) else one for one in late.events]
    assert landed(History(slow))[1] == found


def looks(length: float, *, pause: float = 0.0) -> History:
    """The demo, watched by an observer whose every look takes `length` and comes `pause` after the one before."""
    demo = journals.demo()
    start, (healing,) = journals.plan_of(journals.demo_drill()).begun[0], demo.all(Healing)
    pattern = next(one for one in demo.all(Observed) if seen(one, "during"))
    asked = [start + 0.1 + n * (length + pause) for n in range(100)]
    during = [
        msgspec.structs.replace(pattern, asked=one, at=one + length) for one in asked if one + length < healing.at
    ]
    kept = [one for one in demo.events if not seen(one, "during")]
    where = kept.index(healing)
    return History([*kept[:where], *during, *kept[where:]])


def test_who_waits_for_a_slow_link_watches_all_the_while() -> None:
    """A canary through 2.5 s of latency takes as long; the look that healing cuts off is not on record."""
    assert landed(looks(2.5)) == ("True", "Landed")
    assert landed(looks(2.5, pause=2.5)) == ("True", "Landed")
    assert landed(looks(2.5, pause=3.5)) == ("False", "EvidenceGap")
    assert landed(looks(3.5)) == ("False", "EvidenceGap")


def test_a_stack_is_not_failed_for_a_fault_that_did_not_stay() -> None:
    """The budget is spent, whoever spent it: not, for all that is known, the fault."""
    judgement = by(journals.run(replace(journals.demo_drill(), holds=lambda since: since < 15)), "1m")
    assert claim(judgement, "budget").truth is F
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "did not land" in judgement.because


def test_what_was_survived_while_the_fault_was_not_there_says_nothing() -> None:
    assert by(journals.demo()).survives
    assert not by(journals.stopped_landing()).survives


def unharmed() -> History:
    """A stack that takes no notice of the fault."""
    return journals.run(replace(journals.demo_drill(), services=journals.healthy()))


def test_without_a_healing_on_record_nothing_is_known_of_the_time_after_it() -> None:
    """The executor was gone while the fault was held; that all was well until then is no recovery."""
    whole = by(unharmed(), "1k")
    lost = by(changed(unharmed(), without=lambda one: isinstance(one, Healing | Healed)), "1k")
    for judgement, truth in ((whole, T), (lost, U)):
        assert claim(judgement, "budget").truth is truth
        assert claim(judgement, "steady", "uptime, after recovery").truth is truth
        assert claim(judgement, "recovery", "rto").truth is truth
        assert bool(judgement.survives) is (truth is T)
    assert condition(lost, "ObjectivesHeld").status == "Unknown"


def test_an_outage_may_hide_in_what_is_missing() -> None:
    gap = changed(unharmed(), without=lambda one: isinstance(one, Slice) and 250 <= one.n < 270)
    found = claim(by(gap, "1k"), "recovery", "rto")
    assert found.measured is not None
    assert (found.measured.low, round(found.measured.high)) == (0.0, 1772)  # 2 s, and 30 m that were held for 30 s
    assert "may hide an outage" in found.finding


def test_what_was_seen_under_the_fault_is_not_after_recovery() -> None:
    """Interrupted while the fault is held: healed at once, and watched no more."""
    (healed,) = unharmed().all(Healed)

    def later(one: Any) -> bool:
        return one.at > healed.at or (isinstance(one, Slice) and one.n * 0.1 > healed.at)

    cut = by(changed(unharmed(), Entered(at=healed.at + 0.01, phase="Cleanup"), without=later), "1k")
    assert claim(cut, "steady", "uptime, after recovery").truth is U
    assert claim(cut, "recovery", "rto").truth is U
    assert "the rest of the record" in claim(cut, "recovery", "rto").missing


def test_a_fault_may_take_a_moment_to_show() -> None:
    assert landed(journals.run(replace(journals.demo_drill(), holds=lambda since: since > 2)))[0] == "True"


def test_a_healing_that_is_not_on_record_leaves_the_fault_unknown() -> None:
    history = changed(journals.demo(), without=lambda one: isinstance(one, Healing))
    assert landed(history) == ("Unknown", "CutOff")
    assert by(history).verdict is Verdict.INCONCLUSIVE


def test_what_was_planned_and_never_injected_did_not_land() -> None:
    history = changed(journals.demo(), without=lambda one: isinstance(one, Injected))
    assert landed(history) == ("False", "NeverLanded")


@pytest.mark.parametrize(("after", "reason"), [(0.5, "CutOff"), (SILENCE + 1, "NoEvidence")])
def test_an_abort_before_anybody_could_look_says_nothing_against_the_fault(after: float, reason: str) -> None:
    demo = journals.demo()
    start = journals.plan_of(journals.demo_drill()).begun[0]
    stop = Aborting(at=start + after, reason="User", message="interrupted by SIGINT")
    healing = next(msgspec.structs.replace(one, at=stop.at) for one in demo.events if isinstance(one, Healing))
    history = changed(demo, stop, healing, without=lambda one: seen(one, "during") or isinstance(one, Healing))
    assert landed(history)[1] == reason
    assert by(history).verdict is (Verdict.ABORTED if reason == "CutOff" else Verdict.INCONCLUSIVE)


# The order of the rules


def test_a_tool_that_failed_comes_first() -> None:
    history = changed(journals.not_landed(), Errored(at=30.0, problem="the disk is full", advice="make room"))
    judgement = by(history)
    assert judgement.verdict is Verdict.ERROR
    assert "the disk is full" in judgement.because


def test_a_shaky_baseline_comes_before_any_false_claim() -> None:
    shaky = {
        name: lambda plan, n=n: Meetings(seed=n, noise=0.3, outages=[(plan.begun[0], plan.healing[0])])
        for n, name in enumerate(["meeting-success", "join"])
    }
    judgement = by(journals.run(replace(journals.demo_drill(), services=shaky)), "1m")
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "not seen to be steady before the fault (uptime, baseline)" in judgement.because


def test_a_baseline_that_an_abort_cut_short_is_an_abort() -> None:
    """The user stops 3 s into the baseline: that says nothing against the stack."""
    drill = Drill(journals.experiment(baseline={"for": "3s"}), journals.healthy(), watched=0.1)
    stop = Aborting(at=3.5, reason="User", message="interrupted from the keyboard")
    history = changed(
        journals.run(drill), stop, without=lambda one: getattr(one, "phase", "") in {"Active", "Recovery"}
    )
    assert by(history).verdict is Verdict.ABORTED


def test_a_trip_is_a_false_claim_though_its_abort_is_all_that_is_left_of_it() -> None:
    history = changed(journals.guarded(), without=lambda one: isinstance(one, Tripped))
    assert by(history).verdict is Verdict.FAILED
    assert claim(by(history), "guardrail").truth is F


def test_a_place_that_did_not_answer_is_no_pass() -> None:
    unasked = Cleaned(at=64.8, unasked=["toxiproxy main: no answer"])
    judgement = by(changed(journals.demo(), unasked, without=lambda one: isinstance(one, Cleaned)))
    assert condition(judgement, "CleanedUp").reason == "PlaceUnreachable"
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_a_run_that_was_given_up_before_it_began_leaves_nothing_though_a_place_did_not_answer() -> None:
    """A DSN with a slip in it: there is nothing to be stuck on."""
    unasked = Cleaned(at=0.2, unasked=["database primary: no answer"])
    given_up = [each for each in journals.demo().events if isinstance(each, Begun)]
    judgement = by(History([*given_up, unasked]))
    assert condition(judgement, "CleanedUp").reason == "NothingInjected"
    for done in (Entered, Intended):
        first = next(
            each
            for each in journals.demo().events
            if isinstance(each, done) and getattr(each, "phase", "Baseline") == "Baseline"
        )
        begun = by(History([*given_up, first, unasked]))
        assert condition(begun, "CleanedUp").reason == "PlaceUnreachable"
    created = msgspec.structs.replace(
        given_up[0], stack={"spec": {"links": [{"name": "in", "listen": "127.0.0.1:1", "upstream": "a:1"}]}}
    )
    assert condition(by(History([created, unasked])), "CleanedUp").reason == "PlaceUnreachable"


def test_what_the_reaper_removed_later_is_gone() -> None:
    assert by(changed(journals.residue(), Cleaned(at=70.0))).verdict is Verdict.PASSED


def test_a_fault_still_seen_after_healing_is_no_pass() -> None:
    there = Observed(at=70.0, injection=0, when="after", holds=True, observer="canary", saw="refused", asked=69.9)
    assert condition(by(changed(journals.demo(), there)), "CleanedUp").reason == "NotProvedHealed"


# Expectations


def expecting(limit: dict[str, str], during: str = "recovery", seconds: float = 11.3, **service: Any) -> Claim:
    expect = [{"indicator": "join", "during": during, **limit}]
    services = {
        "meeting-success": journals.healthy()["meeting-success"],
        "join": lambda plan: Meetings(seed=3, outages=[(plan.begun[0], plan.healing[0])], **service),
    }
    drill = Drill(journals.experiment(journals.EXHAUSTION, expect=expect), services, watched=seconds)
    return claim(by(journals.run(drill)), "expect")


def test_too_few_samples_are_named_with_how_many_it_takes() -> None:
    found = expecting({"atLeast": "99%"})
    assert found.truth is U
    assert found.missing == ["99% needs at least 299 good answers in a row; 112 were counted"]


@pytest.mark.parametrize(
    ("limit", "during", "truth"),
    [
        ({"atLeast": "95%"}, "recovery", T),
        ({"atLeast": "99%"}, "fault", F),
        ({"atMost": "5%"}, "fault", T),
        ({"atMost": "50%"}, "recovery", F),
        ({"atMost": "0.1%"}, "fault", U),
        ({"atLeast": "40%", "atMost": "60%"}, "recovery", F),
    ],
)
def test_expectations(limit: dict[str, str], during: str, truth: Truth) -> None:
    assert expecting(limit, during).truth is truth


def test_a_slow_recovery_counts_against_the_expectation() -> None:
    """From healing on, not from the end of the outage: two seconds of refusals are a sixth of the watch."""
    services = {
        "meeting-success": journals.healthy()["meeting-success"],
        "join": lambda plan: Meetings(outages=[(plan.begun[0], plan.healed[0] + 2)]),
    }
    document = journals.experiment(
        journals.EXHAUSTION, expect=[{"indicator": "join", "during": "recovery", "atLeast": "99%"}]
    )
    assert claim(by(journals.run(Drill(document, services, watched=13.0))), "expect").truth is F


def test_a_gap_in_the_recovery_counts_as_bad_answers_until_it_is_filled() -> None:
    demo = journals.demo()
    assert claim(by(demo), "expect").truth is T
    gap = changed(demo, without=lambda one: isinstance(one, Slice) and 550 <= one.n < 555)
    found = claim(by(gap), "expect")
    assert found.truth is U
    assert found.missing == ["25 requests that were due and are not on record"]


def test_an_expectation_of_the_load_counts_the_load() -> None:
    expect = [{"indicator": "join", "during": "recovery", "atLeast": "99%", "counted": "load"}]
    assert claim(by(loaded(expect=expect)), "expect").truth is T
    assert (
        claim(by(journals.run(Drill(journals.experiment(journals.EXHAUSTION, expect=expect), {}))), "expect").truth is U
    )


# Load


def loaded(rate: float = 50.0, unsent: Callable[[float], bool] = lambda _at: False, **spec: Any) -> History:
    def sent(plan: Plan) -> list[Slice]:
        service = Meetings(outages=[(plan.begun[0], plan.healing[0])])
        return probe("join", service, 0.45, plan.cleanup + 0.4, every=1 / rate, counted="load", unsent=unsent)

    document = journals.experiment(journals.EXHAUSTION, load={"indicator": "join", "rate": "50/s"}, **spec)
    return journals.run(Drill(document, journals.exhausted(), load=sent))


def test_a_load_that_was_sent_as_asked() -> None:
    judgement = by(loaded())
    assert claim(judgement, "load").truth is T
    assert judgement.verdict is Verdict.PASSED


def test_a_load_that_changes_its_rate_lacks_nothing() -> None:
    """A request was due at 30.00 s; at 29.995 s the schedule begins anew, and the next one is due half an interval later."""

    def sent(plan: Plan) -> list[Slice]:
        stretches = ((0.499, 29.995), (30.045, plan.cleanup + 0.4))
        return [
            one for start, end in stretches for one in probe("join", Meetings(), start, end, every=0.1, counted="load")
        ]

    document = journals.experiment(journals.EXHAUSTION, load={"indicator": "join", "rate": "10/s"})
    history = journals.run(Drill(document, journals.exhausted(), load=sent))
    assert 299 not in {one.n for one in history.all(Slice) if one.counted == "load"}
    assert claim(by(history), "load").truth is T
    gap = changed(history, without=lambda one: isinstance(one, Slice) and one.counted == "load" and 310 <= one.n < 314)
    assert "load's record" in claim(by(gap), "load").missing[0]


def test_a_load_that_could_not_be_sent_decides_nothing() -> None:
    judgement = by(loaded(unsent=lambda at: 30 < at < 30.1))
    assert claim(judgement, "load").missing == ["5 requests that could not be sent"]
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "at 99" not in judgement.because


def test_a_smaller_load_than_asked_decides_nothing() -> None:
    assert "were asked for" in claim(by(loaded(rate=40.0)), "load").missing[0]
    gap = changed(loaded(), without=lambda one: isinstance(one, Slice) and one.counted == "load" and 200 < one.n < 210)
    assert "load's record" in claim(by(gap), "load").missing[0]
    none = changed(loaded(), without=lambda one: isinstance(one, Slice) and one.counted == "load")
    assert claim(by(none), "load").missing == ["any record of the load"]


# Loss


def lost(rpo: str | None, **ledger: Any) -> Claim:
    record = {"read": True, "acknowledged": 1000, **ledger}
    drill = replace(
        journals.demo_drill(),
        stack=journals.stack(*journals.INDICATORS, journals.LEDGER),
        eras=[journals.era("own", "99%", rpo=rpo)],
        ledgers=lambda plan: [Ledgered(at=plan.cleanup + 1, indicator="acknowledged-writes", **record)],
    )
    return claim(by(journals.run(drill), "own"), "loss")


def test_loss_is_held_against_the_rpo_from_the_failure_instant() -> None:
    """The failure begins at 20.6 s. Lost from 18.6 s on is a span of 2 s."""
    gone = {"lost_count": 7, "oldest_lost": 18.6, "newest_lost": 20.1}
    assert lost("5s", **gone).truth is T
    assert lost("5s", **gone).measured.high == pytest.approx(2.0)
    assert lost("1s", **gone).truth is F
    assert lost(None, **gone).truth is F
    assert lost("3s", **{**gone, "newest_lost": 22.6}).truth is F


def test_a_loss_of_which_the_services_own_log_says_otherwise_is_no_pass() -> None:
    found = lost("24h", lost_count=1, oldest_lost=20.0, newest_lost=20.0, disputed=["w-1", "w-2"])
    assert found.truth is F
    assert "of 2 writes the service's own log of conflicts says otherwise" in found.finding
    assert lost("24h", disputed=["w-1"]).truth is F


def test_no_loss_holds_without_an_rpo_and_unread_is_unknown() -> None:
    assert lost(None).truth is T
    assert lost("24h", read=False, saw="connection refused").truth is U
    assert lost("24h", acknowledged=0).truth is U
    assert lost(None, lost_count=1).truth is F
    assert lost("24h", lost_count=1).truth is U


def test_a_ledger_that_was_never_read_is_unknown() -> None:
    drill = replace(journals.demo_drill(), stack=journals.stack(*journals.INDICATORS, journals.LEDGER))
    judgement = by(journals.run(drill))
    assert claim(judgement, "loss").missing == ["the ledger's reading"]
    assert judgement.verdict is Verdict.INCONCLUSIVE


# Guardrails, recovery, no injection


def test_a_gap_that_may_hide_a_trip_leaves_the_guardrail_open() -> None:
    document = journals.experiment(journals.EXHAUSTION, guardrails=[{"indicator": "join", "below": "5%", "for": "35s"}])
    whole = journals.run(Drill(document, journals.exhausted()))
    assert claim(by(whole), "guardrail").truth is T
    plan = journals.plan_of(journals.demo_drill())
    gap = changed(
        whole,
        without=lambda one: (
            isinstance(one, Slice) and one.indicator == "join" and plan.healing[0] <= one.n / 10 < plan.healing[0] + 6
        ),
    )
    assert claim(by(gap), "guardrail").truth is U


def test_not_recovered_by_the_end_of_the_watch_is_unknown() -> None:
    services = {
        name: lambda plan, n=n: Meetings(seed=n, outages=[(plan.begun[0], plan.cleanup + 1)])
        for n, name in enumerate(["meeting-success", "join"])
    }
    judgement = by(journals.run(replace(journals.demo_drill(), services=services)))
    assert claim(judgement, "recovery", "recovered").truth is U
    assert condition(judgement, "Recovered").status == "False"
    assert {one.truth for one in judgement.claims if one.name.endswith("after recovery")} <= {T, U}
    assert judgement.verdict is Verdict.FAILED  # by its expectation; the budget alone leaves it open
    assert claim(judgement, "budget").truth is U
    assert judgement.recovery[0].ended is None


def test_not_recovered_is_false_once_the_allowance_is_spent() -> None:
    services = {
        "meeting-success": lambda plan: Meetings(outages=[(plan.begun[0], plan.cleanup + 1)]),
        "join": journals.healthy()["join"],
    }
    judgement = by(journals.run(replace(journals.demo_drill(), services=services)), "1m")
    assert claim(judgement, "budget").truth is F


def quiet(**service: Any) -> History:
    services = {
        "meeting-success": lambda _plan: Meetings(seed=1, **service),
        "join": journals.healthy()["join"],
    }
    return journals.run(Drill(journals.experiment(), services, watched=20.0))


def test_an_experiment_without_a_fault_judges_what_it_watched() -> None:
    judgement = by(quiet())
    assert judgement.verdict is Verdict.PASSED
    assert condition(judgement, "FaultLanded").reason == "NothingToLand"
    assert "while it was watched" in claim(judgement, "budget").finding


def test_overlapping_faults_can_not_stand_for_longer_times() -> None:
    second = {**journals.EXHAUSTION, "at": "20s", "fault": "link-latency", "target": "app-to-primary"}
    both = journals.run(Drill(journals.experiment(journals.EXHAUSTION, second), journals.exhausted(), watched=25.0))
    uptime = claim(by(both), "budget")
    assert uptime.truth is U
    assert "overlap" in uptime.missing[0]


def test_every_statement_and_finding_reads_as_a_sentence() -> None:
    for make in journals.ALL.values():
        for one in by(make()).claims:
            for text in (one.statement, one.finding):
                assert text[0].isupper() or text[0].isdigit() or text.startswith(one.indicator or "-"), text
                assert "None" not in text.split()[1:] or "None of" in text
                assert "nan" not in text
            assert (one.truth is U) == bool(one.missing), one


@pytest.mark.parametrize("watched", [0.2, 4.0])
def test_a_run_that_ends_right_after_healing_has_not_recovered(watched: float) -> None:
    """Nothing failed, and the last seconds are good: but they lie before the healing, not after it."""
    drill = Drill(journals.experiment(journals.EXHAUSTION), journals.healthy(), watched=watched)
    found = by(journals.run(drill))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert condition(found, "Recovered").status == "Unknown"
    assert claim(found, "budget", "uptime").truth is U


def test_what_the_executor_held_against_the_baseline_is_named() -> None:
    """It has seen less than the record has in the end: the record may look steady."""
    late = ("Active", "Recovery", "Cleanup")
    history = changed(
        journals.run(Drill(journals.experiment(journals.EXHAUSTION), journals.healthy())),
        Entered(at=30.0, phase="Cleanup", why="uptime, baseline: planted"),
        without=lambda one: (
            isinstance(one, Injected | Observed | Healing) or (isinstance(one, Entered) and one.phase in late)
        ),
    )
    found = by(history)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "planted" in found.because
