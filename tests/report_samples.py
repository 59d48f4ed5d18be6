"""Sample runs for the reports: whole journals and what a judge would say of them, the same on every machine.

The journals are made by arithmetic, not by chance: the golden files hang on them. The judgements are written by hand,
so that a report is tested against every shape a judgement can take, and not only against those that today's judge makes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from aftershock.core.histogram import bucket
from aftershock.core.history import (
    Aborting,
    Any_,
    Begun,
    Cleaned,
    Ended,
    Entered,
    Healed,
    Healing,
    History,
    Injected,
    Intended,
    Ledgered,
    Lost,
    Noted,
    Observed,
    Slice,
    Tripped,
)
from aftershock.core.verdict import (
    Bracket,
    Claim,
    Condition,
    Interval,
    Judgement,
    Survival,
    Truth,
    Verdict,
)

ORIGIN = 1_790_000_000.0
ERAS = (("1k", 0.95, 12_960.0), ("10k", 0.99, 2_592.0), ("100k", 0.995, 1_296.0), ("1m", 0.999, 259.2))
API = "aftershock.dev/v1alpha1"


@dataclass(frozen=True)
class Shape:
    """What happens in a sample run: when the fault is there, when probes are blind, how long everything takes."""

    begin: float = 12.0
    outage_from: float = 12.0
    outage_until: float = 42.1
    healed: float = 42.0
    end: float = 53.0
    blind: tuple[float, float] | None = None
    unsent: tuple[float, float] | None = None


def _experiment(name: str) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": {
            "stack": "meetings-1k",
            "hypothesis": "Meetings go on for those who are in one, and new ones start again as soon as slots are free.",
            "expect": [{"indicator": "meeting-success", "during": "recovery", "atLeast": "99%"}],
            "load": {"indicator": "meeting-success", "rate": "20/s"},
            "timeline": [
                {
                    "at": "2s",
                    "for": "30s",
                    "represents": "30m",
                    "fault": "db-connection-exhaustion",
                    "target": "primary",
                    "with": {"leave": 0},
                }
            ],
            "guardrails": [{"indicator": "join", "below": "5%", "for": "60s"}],
            "recovery": {"watch": "2m", "steady": "10s"},
        },
    }


def _stack() -> dict[str, Any]:
    http = "http://127.0.0.1:8080"
    return {
        "apiVersion": API,
        "kind": "Stack",
        "metadata": {"name": "meetings-1k"},
        "spec": {
            "era": "1k",
            "environment": "test",
            "databases": [{"name": "primary", "engine": "postgresql", "dsn": {"file": "primary.dsn"}}],
            "indicators": [
                {
                    "name": "meeting-success",
                    "http": {"url": f"{http}/meetings", "method": "POST", "expect": [201]},
                    "every": "100ms",
                },
                {"name": "join", "http": {"url": f"{http}/meetings/1/join"}, "every": "100ms"},
                {
                    "name": "acknowledged-writes",
                    "ledger": {"write": f"{http}/notes", "read": f"{http}/notes"},
                    "every": "20ms",
                },
            ],
        },
    }


def _era(name: str, uptime: float) -> dict[str, Any]:
    target = f"{uptime * 100:g}%"
    return {
        "apiVersion": API,
        "kind": "Era",
        "metadata": {"name": name},
        "spec": {
            "window": "30d",
            "incidentShare": "10%",
            "objectives": [
                {
                    "name": "uptime",
                    "indicator": "meeting-success",
                    "target": target,
                    "source": {"kind": "stated" if name == "10k" else "achieved"},
                },
                {
                    "name": "join-latency",
                    "indicator": "join",
                    "statistic": "mean",
                    "below": "10s" if name == "1k" else "5s",
                    "source": {"kind": "achieved"},
                },
            ],
        },
    }


def _begun(name: str) -> Begun:
    return Begun(
        at=0.0,
        run=f"{name}-1",
        token="k3f9a2x1",
        origin=ORIGIN,
        experiment=_experiment(name),
        stack=_stack(),
        eras=[_era(era, uptime) for era, uptime, _ in ERAS],
        judge_by=["1k"],
        fingerprints={f"Experiment/{name}": "9f2c" * 16, "Stack/meetings-1k": "41d0" * 16, "Era/1k": "7ab3" * 16},
        versions={"aftershock": "0.1.0", "python": "3.11.7", "postgresql": "18.6", "toxiproxy": "2.12.0"},
    )


def _jitter(n: int, salt: int) -> float:
    """Return something that looks like chance, 0 to 1, and is none."""
    return ((n * 7919 + salt * 104_729 + (n * n) % 613) % 1000) / 1000


def _slices(
    indicator: str, counted: Literal["probes", "load"], per_slice: int, base: float, shape: Shape
) -> Iterator[Slice]:
    salt = len(indicator) + per_slice
    for n in range(round(shape.end * 10)):
        at = n / 10
        if counted == "probes" and shape.blind and shape.blind[0] <= at < shape.blind[1]:
            continue
        unsent = per_slice // 2 if counted == "load" and shape.unsent and shape.unsent[0] <= at < shape.unsent[1] else 0
        out = shape.outage_from <= at < shape.outage_until
        answered = per_slice - unsent
        slow = 6.0 if shape.outage_until <= at < shape.outage_until + 1.5 else 1.0
        latency: dict[int, int] = {}
        for k in range(0 if out else answered):
            long = 9.0 if (n * 31 + k * 17 + salt) % 97 == 0 else 1.0
            number = bucket(base * slow * long * (0.8 + 0.5 * _jitter(n, salt + k)))
            latency[number] = latency.get(number, 0) + 1
        yield Slice(
            at=at + 0.15,
            indicator=indicator,
            counted=counted,
            n=n,
            planned=per_slice,
            unsent=unsent,
            good=0 if out else answered,
            bad={"status-503": answered} if out else {},
            latency=latency,
            good_before=None if out else at + 0.09,
            bad_from=at + 0.02 if out else None,
            bad_until=at + 0.09 if out else None,
            good_after=None if out else at + 0.01,
        )


def _observations(shape: Shape) -> Iterator[Observed]:
    server, canary = "pg_stat_activity", "canary"
    yield Observed(
        at=11.9, injection=0, when="before", holds=False, observer=server, saw="4 of 57 slots in use", asked=11.89
    )
    second = round(shape.begin) + 1
    while second < shape.healed:
        yield Observed(
            at=second + 0.01,
            injection=0,
            when="during",
            holds=True,
            observer=server if second % 2 else canary,
            saw="57 of 57 slots in use, 53 of them ours"
            if second % 2
            else 'refused: 53300 "sorry, too many clients already"',
            asked=float(second),
        )
        second += 1
    yield Observed(
        at=shape.healed + 0.12,
        injection=0,
        when="after",
        holds=False,
        observer=canary,
        saw="connected in 3.1 ms",
        asked=shape.healed + 0.1,
    )


def _steps(shape: Shape) -> list[Any_]:
    expires = round(ORIGIN + shape.begin + 32)
    return [
        Entered(at=0.0, phase="Baseline", why="10 s of quiet first"),
        Entered(at=10.0, phase="Active", why="no objective is contradicted"),
        Intended(
            at=shape.begin - 0.05,
            injection=0,
            fault="db-connection-exhaustion",
            target="primary",
            lease=f"aftershock.db-connection-exhaustion.k3f9a2x1.{expires}",
            expires=expires,
            skew=0.002,
            parameters={"leave": 0},
        ),
        Injected(at=shape.begin + 0.04, injection=0, started=shape.begin - 0.02),
        *_observations(shape),
        Healing(at=shape.healed - 0.02, injection=0),
        Healed(at=shape.healed, injection=0, clean=True, saw="no session of this lease is left"),
        Entered(at=shape.healed + 0.2, phase="Recovery", why="every fault is healed"),
    ]


def _ends(shape: Shape) -> list[Any_]:
    return [
        Entered(at=shape.end, phase="Cleanup", why="every objective held for 10 s"),
        Cleaned(at=shape.end + 0.1),
        Ledgered(at=shape.end + 0.2, indicator="acknowledged-writes", read=True, acknowledged=1147, indeterminate=0),
        Entered(at=shape.end + 0.3, phase="Judging", why="every target is clean"),
        Entered(at=shape.end + 0.35, phase="Finished", why="judged"),
        Ended(at=shape.end + 0.4),
    ]


def _measurements(shape: Shape) -> list[Any_]:
    return [
        *_slices("meeting-success", "probes", 1, 0.0062, shape),
        *_slices("join", "probes", 1, 0.0035, shape),
        *_slices("acknowledged-writes", "probes", 5, 0.0041, shape),
        *_slices("meeting-success", "load", 2, 0.0071, shape),
    ]


def history(shape: Shape = Shape(), name: str = "db-connection-exhaustion", extra: list[Any_] | None = None) -> History:
    """Return a whole journal, its records in the order in which they were written."""
    rest = [*_steps(shape), *_measurements(shape), *_ends(shape), *(extra or [])]
    return History([_begun(name), *sorted(rest, key=lambda event: event.at)])


def _source(era: str) -> str:
    return "stated" if era == "10k" else "achieved"


def _budget(era: str, uptime: float, allowed: float) -> Claim:
    passed = allowed > 1801
    return Claim(
        kind="budget",
        name="uptime",
        truth=Truth.TRUE if passed else Truth.FALSE,
        statement=f"One incident spends at most a tenth of the budget of {uptime * 100:g}% over 30 d.",
        finding="The 30 s stand for 30 min: every meeting failed while the fault was held.",
        indicator="meeting-success",
        source=_source(era),
        measured=Interval(1800.1, 1801.4),
        allowed=allowed,
        unit="s",
    )


def _claims(era: str, uptime: float, allowed: float) -> list[Claim]:
    limit = "10 s" if era == "1k" else "5 s"
    return [
        _budget(era, uptime, allowed),
        Claim(
            kind="latency",
            name="join-latency",
            truth=Truth.TRUE,
            statement=f"The mean of join stays under {limit} but for {(1 - uptime) * 100:g}% of the time.",
            finding="The mean was out of bounds for no second with an answer.",
            indicator="join",
            source="achieved",
            measured=Interval(0.0, 30.2),
            allowed=allowed,
            unit="s",
        ),
        Claim(
            kind="expect",
            name="meeting-success during recovery",
            truth=Truth.TRUE,
            statement="At least 99% of meeting-success is good during recovery.",
            finding="107 of 107 requests were good.",
            indicator="meeting-success",
            measured=Interval(0.9724, 1.0),
            allowed=0.99,
            unit="share",
        ),
        Claim(
            kind="steady",
            name="steady before the fault",
            truth=Truth.TRUE,
            statement="No objective is contradicted in the baseline.",
            finding="120 of 120 requests were good.",
            indicator="meeting-success",
        ),
        Claim(
            kind="loss",
            name="acknowledged-writes",
            truth=Truth.TRUE,
            statement="No acknowledged write is lost for longer than 24 h.",
            finding="All of 1,147 acknowledged writes were read back.",
            indicator="acknowledged-writes",
            source="achieved",
            measured=Interval(0.0, 0.0),
            allowed=86_400.0,
            unit="s",
        ),
        Claim(
            kind="guardrail",
            name="join below 5%",
            truth=Truth.TRUE,
            statement="join is never below 5% for 1 min.",
            finding="The guardrail did not trip.",
            indicator="join",
        ),
        Claim(
            kind="recovery",
            name="rto",
            truth=Truth.TRUE if allowed > 30.2 else Truth.FALSE,
            statement=f"The outage is over within {allowed:g} s.",
            finding="The outage took 30 to 30.2 s.",
            indicator="meeting-success",
            source="derived",
            measured=Interval(30.0, 30.2),
            allowed=allowed,
            unit="s",
            binding=False,
        ),
    ]


CONDITIONS = [
    Condition(
        type="FaultLanded", status="True", reason="ProvedThroughout", message="29 of 29 observations saw the fault."
    ),
    Condition(type="ObjectivesHeld", status="True", reason="WithinBudget", message="Every binding claim is true."),
    Condition(
        type="Recovered", status="True", reason="SteadyAgain", message="Every objective held for 10 s after healing."
    ),
    Condition(
        type="CleanedUp", status="True", reason="NothingLeft", message="Every target was asked; nothing is left."
    ),
]


def _recovery() -> list[Bracket]:
    return [
        Bracket(
            indicator="meeting-success",
            began=Interval(11.99, 12.02),
            ended=Interval(42.09, 42.11),
            rto=Interval(30.07, 30.12),
            after_healing=Interval(0.09, 0.11),
            lasted=10.8,
        ),
        Bracket(
            indicator="join",
            began=Interval(11.99, 12.02),
            ended=Interval(42.09, 42.11),
            rto=Interval(30.07, 30.12),
            after_healing=Interval(0.09, 0.11),
            lasted=10.8,
        ),
        Bracket(indicator="acknowledged-writes", lasted=53.0),
    ]


def judgement(era: str, uptime: float, allowed: float) -> Judgement:
    passed = allowed > 1801
    spent = "30 min to 30 min 1 s"
    because = (
        f"uptime spent {spent} of the {_minutes(allowed)} that one incident may take, "
        f"and all 6 binding claims are true."
        if passed
        else f"uptime spent {spent}, which is more than the {_minutes(allowed)} that one incident may take."
    )
    conditions = [
        msgspec.structs.replace(condition, status="False", reason="BudgetSpent", message=because)
        if condition.type == "ObjectivesHeld" and not passed
        else condition
        for condition in CONDITIONS
    ]
    return Judgement(
        run="db-connection-exhaustion-1",
        era=era,
        uptime=uptime,
        uptime_source="achieved" if era in {"1k", "1m"} else "stated",
        verdict=Verdict.PASSED if passed else Verdict.FAILED,
        because=because,
        claims=_claims(era, uptime, allowed),
        conditions=conditions,
        recovery=_recovery(),
        survives=[
            Survival(injection=0, objective="uptime", seconds=Interval(allowed, allowed + 1.5)),
            Survival(injection=0, objective="join-latency", seconds=None),
        ],
        rto_allowed=allowed,
    )


def _minutes(seconds: float) -> str:
    return {12_960.0: "3 h 36 min", 2_592.0: "43 min 12 s", 1_296.0: "21 min 36 s", 259.2: "4 min 19 s"}[seconds]


def demo() -> tuple[History, list[Judgement]]:
    """Passed at 95% and 99%, failed at 99.5% and 99.9%: what `make demo` prints."""
    return history(), [judgement(*era) for era in ERAS]


def unknown() -> tuple[History, list[Judgement]]:
    """Probes were cut off in the middle and half of the load was not sent: inconclusive."""
    shape = Shape(blind=(24.0, 31.0), unsent=(20.0, 26.0))
    because = "nothing is known of meeting-success from 24 to 31 s: the probes left no record."
    base = judgement(*ERAS[0])
    claims = [
        msgspec.structs.replace(
            base.claims[0],
            truth=Truth.UNKNOWN,
            finding="The fault's two halves can't be compared.",
            measured=Interval(1380.0, 14_800.0),
            missing=["meeting-success from 24 to 31 s", "120 of 240 requests of the load were not sent"],
        ),
        *base.claims[1:],
    ]
    return history(shape, extra=[Noted(at=31.0, text="the probes' process was started again")]), [
        msgspec.structs.replace(base, verdict=Verdict.INCONCLUSIVE, because=because, claims=claims)
    ]


def aborted() -> tuple[History, list[Judgement]]:
    """A guardrail tripped, the outage had not ended when the record stopped, writes were lost."""
    shape = Shape(outage_until=60.0, healed=33.0, end=48.0)
    lost = [Lost(id=f"note-{n}", acknowledged=11.0 + n / 100) for n in range(3)]
    extra: list[Any_] = [
        Tripped(at=32.5, guardrail=0, indicator="join", below=0.05, lasted=20.0),
        Aborting(at=32.6, reason="Guardrail", message="join was below 5% for 20 s"),
        Ledgered(
            at=48.25,
            indicator="acknowledged-writes",
            read=True,
            acknowledged=560,
            indeterminate=12,
            lost_count=3,
            lost=lost,
            oldest_lost=11.0,
            newest_lost=11.02,
        ),
    ]
    base = judgement(*ERAS[1])
    brackets = [
        Bracket(indicator="meeting-success", began=Interval(11.99, 12.02)),
        *base.recovery[1:],
    ]
    tripped = Claim(
        kind="guardrail",
        name="join below 5%",
        truth=Truth.FALSE,
        statement="join is never below 5% for 20 s.",
        finding="It was, from 12.0 to 32.0 s; the run was cut short.",
        indicator="join",
    )
    return history(shape, extra=extra), [
        msgspec.structs.replace(
            base,
            verdict=Verdict.FAILED,
            because="the guardrail on join tripped: it was below 5% for 20 s.",
            claims=[tripped, *base.claims[:2]],
            recovery=brackets,
        )
    ]


HOSTILE = "<script>window.pwned=1</script>\"'&]]><img src=x onerror=window.pwned=1>|`@all`\x1b[31m\u202egnp"


def hostile() -> tuple[History, list[Judgement]]:
    """Every string of the journal and of the judgement is an attack."""
    base, judgements = aborted()
    poisoned = msgspec.convert(_poison(msgspec.to_builtins(list(base.events))), list[Any_])
    said = msgspec.convert(_poison(msgspec.to_builtins(judgements)), list[Judgement])
    return History(poisoned), said


KEPT = {"type", "counted", "when", "by", "reason", "kind", "truth", "verdict", "status", "unit", "phase", "schema"}


def _poison(tree: Any, key: str = "") -> Any:
    """Put the attack behind every text but those whose values are a closed set."""
    if isinstance(tree, dict):
        return {name: _poison(value, name) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_poison(value, key) for value in tree]
    if isinstance(tree, str) and key not in KEPT:
        return tree + HOSTILE
    return tree


def long() -> tuple[History, list[Judgement]]:
    """Twenty minutes of record: 12,000 slices an indicator, many times what a plot has points."""
    return history(replace(Shape(), outage_from=300.0, outage_until=330.3, end=1200.0)), [judgement(*ERAS[0])]


SAMPLES: dict[str, Callable[[], tuple[History, list[Judgement]]]] = {
    "demo": demo,
    "unknown": unknown,
    "aborted": aborted,
    "hostile": hostile,
}
