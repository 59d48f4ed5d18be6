"""Journals as runs would leave them, for the tests of the judge and of the reports.

`demo()` is the one of the README: Passed at 95% and 99%, Failed at 99.5% and 99.9%. Every other one has one thing
wrong with it, named by its function. `drill(...)` builds any other. All are deterministic.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

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
    Observed,
    Tripped,
    encode,
)
from simulator import Meetings, Service, probe

API = "aftershock.dev/v1alpha1"
ORIGIN = 1790000000.0
PROBING = 0.437
BASELINE = 0.6


def era(
    name: str,
    uptime: str | None = "99%",
    *objectives: dict[str, Any],
    rpo: str | None = None,
    kind: str = "stated",
    rto: str | None = None,
) -> dict[str, Any]:
    """Return an Era's document: `uptime` on `meeting-success`, and whatever else is given."""
    spec: dict[str, Any] = {"window": "30d", "incidentShare": "10%", "objectives": list(objectives)}
    if uptime:
        first = {"name": "uptime", "indicator": "meeting-success", "target": uptime, "source": {"kind": kind}}
        spec["objectives"] = [first, *objectives]
    recovery = {
        key: {"value": value, "source": {"kind": kind}} for key, value in {"rpo": rpo, "rto": rto}.items() if value
    }
    if recovery:
        spec["recovery"] = recovery
    return {"apiVersion": API, "kind": "Era", "metadata": {"name": name}, "spec": spec}


def slower_than(name: str, indicator: str, below: str, statistic: str = "mean") -> dict[str, Any]:
    """Return a latency objective's document."""
    return {
        "name": name,
        "indicator": indicator,
        "statistic": statistic,
        "below": below,
        "source": {"kind": "achieved"},
    }


ERA_1K = era("1k", "95%", slower_than("join-latency", "join", "10s"), rpo="24h", kind="achieved")
ERA_10K = era(
    "10k",
    "99%",
    slower_than("join-latency", "join", "5s"),
    slower_than("latency", "meeting-success", "500ms"),
    rpo="24h",
)
ERA_100K = era("100k", "99.5%", slower_than("audio-latency", "audio", "200ms"))
ERA_1M = era("1m", "99.9%", slower_than("audio-latency", "audio", "150ms"), kind="achieved")
ERAS = [ERA_1K, ERA_10K, ERA_100K, ERA_1M]

INDICATORS = [
    {
        "name": "meeting-success",
        "every": "20ms",
        "timeout": "2s",
        "http": {"url": "http://127.0.0.1:8080/meetings", "method": "POST", "expect": [201]},
    },
    {"name": "join", "every": "100ms", "http": {"url": "http://127.0.0.1:8080/meetings/1/join"}},
]
LEDGER = {
    "name": "acknowledged-writes",
    "every": "20ms",
    "ledger": {"write": "http://127.0.0.1:8080/notes", "read": "http://127.0.0.1:8080/notes"},
}


def stack(*indicators: dict[str, Any]) -> dict[str, Any]:
    """Return a Stack's document with these indicators (by default the demo's two)."""
    spec = {
        "era": "1k",
        "environment": "test",
        "databases": [{"name": "primary", "dsn": {"env": "PRIMARY_DSN"}}],
        "indicators": list(indicators or INDICATORS),
    }
    return {"apiVersion": API, "kind": "Stack", "metadata": {"name": "meetings-1k"}, "spec": spec}


EXHAUSTION = {
    "at": "10s",
    "for": "30s",
    "represents": "30m",
    "fault": "db-connection-exhaustion",
    "target": "primary",
    "with": {"leave": 0},
}


def experiment(*timeline: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return an Experiment's document; `spec` replaces fields of the demo's."""
    whole = {
        "stack": "meetings-1k",
        "hypothesis": "Meetings go on for those who are in one, and new ones start again as soon as slots are free.",
        "baseline": {"for": "10s"},
        "timeline": list(timeline),
        "recovery": {"watch": "2m", "steady": "10s"},
        **spec,
    }
    name = timeline[0]["fault"] if timeline else "no-fault"
    return {"apiVersion": API, "kind": "Experiment", "metadata": {"name": name}, "spec": whole}


@dataclass(frozen=True)
class Plan:
    """When things happened in a drill; run seconds. `begun`, `landed`, `healing`, `healed`: one entry an injection."""

    active: float
    begun: list[float]
    landed: list[float]
    healing: list[float]
    healed: list[float]
    recovery: float
    cleanup: float


@dataclass(frozen=True)
class Drill:
    """What to put on record. `services` get the plan, so that what they plant can follow the fault."""

    document: dict[str, Any]
    services: Mapping[str, Callable[[Plan], Service]]
    stack: dict[str, Any] = field(default_factory=stack)
    eras: list[dict[str, Any]] = field(default_factory=lambda: list(ERAS))
    judge_by: list[str] = field(default_factory=lambda: ["1k"])
    watched: float = 11.3
    holds: Callable[[float], bool] = lambda _since: True
    """Whether an observation made that many seconds after the injection finds the fault."""
    before: bool = False
    probed_until: float | None = None
    ledgers: Callable[[Plan], list[Ledgered]] = lambda _plan: []
    left: tuple[str, ...] = ()
    load: Callable[[Plan], list[Any_]] = lambda _plan: []


def seconds(text: str) -> float:
    """Read the durations that stand in this file."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)):
        if text.endswith(unit) and text[: -len(unit)].replace(".", "").isdigit():
            return float(text[: -len(unit)]) * factor
    raise ValueError(text)


def plan_of(drill: Drill) -> Plan:
    """Lay the drill out in time."""
    spec = drill.document["spec"]
    active = BASELINE + seconds(spec["baseline"]["for"])
    begun = [active + seconds(one["at"]) for one in spec["timeline"]]
    healing = [start + seconds(one["for"]) for start, one in zip(begun, spec["timeline"], strict=True)]
    healed = [at + 0.31 for at in healing]
    recovery = max(healed, default=active) + 0.05
    return Plan(active, begun, [at + 0.35 for at in begun], healing, healed, recovery, recovery + drill.watched)


def begun_by(drill: Drill) -> Begun:
    """Return the first record."""
    return Begun(
        at=0.0,
        run=f"{drill.document['metadata']['name']}-k3f9a2x1",
        token="k3f9a2x1",
        origin=ORIGIN,
        experiment=drill.document,
        stack=drill.stack,
        eras=drill.eras,
        judge_by=drill.judge_by,
        fingerprints={f"Experiment/{drill.document['metadata']['name']}": "0" * 64},
        versions={"aftershock": "0.1.0", "python": "3.11.7"},
    )


def _hold(drill: Drill, plan: Plan, number: int) -> list[Any_]:
    """Return the records of one injection, from intent to the last observation."""
    one = drill.document["spec"]["timeline"][number]
    start, healing, healed = plan.begun[number], plan.healing[number], plan.healed[number]
    expires = int(ORIGIN + healing + 2)

    def saw(when: Any, asked: float, *, holds: bool) -> Observed:
        return Observed(
            at=asked + 0.05,
            injection=number,
            when=when,
            holds=holds,
            observer="canary",
            saw="refused: too many clients already" if holds else "connected and answered in 2 ms",
            asked=asked,
        )

    during, asked = [], plan.landed[number] - 0.05
    while asked < healing:
        during.append(saw("during", asked, holds=drill.holds(asked - start)))
        asked += 1.0
    return [
        saw("before", start - 0.4, holds=drill.before),
        Intended(
            at=start - 0.1,
            injection=number,
            fault=one["fault"],
            target=one["target"],
            lease=f"aftershock.{one['fault']}.k3f9a2x1.{expires}",
            expires=expires,
            parameters=one.get("with", {}),
            undo={"operation": "end-sessions", "database": one["target"]},
        ),
        Injected(at=start + 0.25, injection=number, started=start),
        *during,
        Healing(at=healing, injection=number),
        Healed(at=healed, injection=number, clean=True, saw="no session of this lease is left"),
        saw("after", healed + 0.01, holds=False),
    ]


def run(drill: Drill) -> History:
    """Carry the drill out on paper: return the whole journal, in the order in which it would have been written."""
    plan = plan_of(drill)
    events: list[Any_] = [
        Entered(at=0.01, phase="Pending"),
        Entered(at=BASELINE, phase="Baseline"),
        Entered(at=plan.active, phase="Active", why="no objective is contradicted"),
        Entered(at=plan.recovery, phase="Recovery", why="every fault is healed"),
        Entered(at=plan.cleanup, phase="Cleanup", why="every objective has held for 10 s"),
        Cleaned(at=plan.cleanup + 2.4, left=list(drill.left)),
        Entered(at=plan.cleanup + 2.5, phase="Judging"),
        Ended(at=plan.cleanup + 2.6),
        *drill.ledgers(plan),
        *drill.load(plan),
    ]
    for number in range(len(plan.begun)):
        events += _hold(drill, plan, number)
    every = {one["name"]: seconds(one.get("every", "100ms")) for one in drill.stack["spec"]["indicators"]}
    for name, service in drill.services.items():
        until = drill.probed_until or plan.cleanup + 0.5
        events += probe(name, service(plan), PROBING, until, every=every[name])
    return History([begun_by(drill), *sorted(events, key=lambda event: event.at)])


def out(start: Callable[[Plan], float], end: Callable[[Plan], float], seed: int) -> Callable[[Plan], Service]:
    """Return a service that refuses everything from `start` to `end`."""
    return lambda plan: Meetings(seed=seed, outages=[(start(plan), end(plan))])


def exhausted(late: float = 0.15, slow: float = 0.2) -> dict[str, Callable[[Plan], Service]]:
    """Return the demo's services: both refuse from `late` seconds into the injection to `slow` seconds after healing."""
    return {
        name: out(lambda plan: plan.begun[0] + late, lambda plan: plan.healing[0] + slow, seed)
        for seed, name in enumerate(["meeting-success", "join"])
    }


def healthy() -> dict[str, Callable[[Plan], Service]]:
    """Return the demo's services with nothing the matter."""
    return {name: lambda _plan, seed=seed: Meetings(seed=seed) for seed, name in enumerate(["meeting-success", "join"])}


EXPECT = [{"indicator": "meeting-success", "during": "recovery", "atLeast": "99%"}]
GUARDRAILS = [{"indicator": "join", "below": "5%", "for": "60s"}]


def demo_drill() -> Drill:
    """Return the README's experiment: 30 s without a free slot stand for 30 min."""
    return Drill(experiment(EXHAUSTION, expect=EXPECT, guardrails=GUARDRAILS), exhausted())


@cache
def demo() -> History:
    """Return a run that is Passed at 95% and 99%, Failed at 99.5% and 99.9%."""
    return run(demo_drill())


@cache
def not_landed() -> History:
    """Return a run whose fault never landed: the canary always connected, and no client noticed anything."""
    return run(replace(demo_drill(), services=healthy(), holds=lambda _since: False))


@cache
def stopped_landing() -> History:
    """Return a run whose fault was gone after half of its time."""
    services = {
        name: out(lambda plan: plan.begun[0] + 0.15, lambda plan: plan.begun[0] + 15, seed)
        for seed, name in enumerate(["meeting-success", "join"])
    }
    return run(replace(demo_drill(), services=services, holds=lambda since: since < 15))


@cache
def probes_cut_off() -> History:
    """Return a run whose probes fell silent in the middle of the fault."""
    drill = demo_drill()
    return run(replace(drill, probed_until=plan_of(drill).begun[0] + 15))


@cache
def aborted() -> History:
    """Return a run that its user ended 12 s into the fault; all was healed."""
    short = {**EXHAUSTION, "for": "12s"}
    drill = Drill(experiment(EXHAUSTION, expect=EXPECT, guardrails=GUARDRAILS), exhausted(), watched=0.2)
    events = run(replace(drill, document=experiment(short, expect=EXPECT, guardrails=GUARDRAILS))).events
    stop = plan_of(drill).begun[0] + 12
    _, *rest = events
    rest = [event for event in rest if not (isinstance(event, Entered) and event.phase == "Recovery")]
    rest.append(Aborting(at=stop - 0.01, reason="User", message="interrupted from the keyboard"))
    return History([begun_by(drill), *sorted(rest, key=lambda event: event.at)])


@cache
def guarded() -> History:
    """Return a run that a guardrail ended: `join` was below 5% for 10 s."""
    drill = Drill(
        experiment(EXHAUSTION, guardrails=[{"indicator": "join", "below": "5%", "for": "10s"}]),
        exhausted(),
        watched=0.2,
    )
    events = run(replace(drill, document=experiment({**EXHAUSTION, "for": "11s"}))).events
    stop = plan_of(drill).begun[0] + 11
    rest = [event for event in events[1:] if not (isinstance(event, Entered) and event.phase == "Recovery")]
    rest.append(Tripped(at=stop - 0.02, guardrail=0, indicator="join", below=0.05, lasted=10.0))
    rest.append(Aborting(at=stop - 0.01, reason="Guardrail", message="join was below 5% for 10 s"))
    return History([begun_by(drill), *sorted(rest, key=lambda event: event.at)])


@cache
def executor_lost() -> History:
    """Return a run whose executor was killed 12 s into the fault: the journal just stops, in the middle of a line."""
    drill = demo_drill()
    stop = plan_of(drill).begun[0] + 12
    return History(event for event in run(drill).events if event.at < stop)


@cache
def data_lost() -> History:
    """Return a run after which 7 acknowledged writes are gone; the eras that state no RPO allow none."""

    def read_back(plan: Plan) -> list[Ledgered]:
        oldest = plan.begun[0] - 1.2
        lost = [Lost(id=f"k3f9a2x1-{n:05d}", acknowledged=oldest + 0.1 * n) for n in range(7)]
        return [
            Ledgered(
                at=plan.cleanup + 1.0,
                indicator="acknowledged-writes",
                read=True,
                saw="1214 ids read back",
                acknowledged=1221,
                indeterminate=3,
                lost_count=len(lost),
                lost=lost,
                oldest_lost=lost[0].acknowledged,
                newest_lost=lost[-1].acknowledged,
            )
        ]

    return run(replace(demo_drill(), stack=stack(*INDICATORS, LEDGER), ledgers=read_back))


@cache
def residue() -> History:
    """Return a run that left something behind."""
    line = "primary: 3 sessions named aftershock.db-connection-exhaustion.k3f9a2x1.1790000052"
    return run(replace(demo_drill(), left=(line,)))


ALL: dict[str, Callable[[], History]] = {
    "demo": demo,
    "not-landed": not_landed,
    "stopped-landing": stopped_landing,
    "probes-cut-off": probes_cut_off,
    "aborted": aborted,
    "guarded": guarded,
    "executor-lost": executor_lost,
    "data-lost": data_lost,
    "residue": residue,
}


def text(history: History) -> bytes:
    """Return the journal as it lies on disk."""
    return b"".join(encode(event) for event in history.events)
