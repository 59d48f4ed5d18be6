"""The journal's records: all that a judge may know of a run.

Append-only, one JSON object a line. Every time is in *run seconds*: seconds since the run's origin, on a clock that
doesn't jump; `Begun.origin` says when that was, in seconds since the epoch. `History` is the whole journal, decoded.
"""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

SLICE = 0.1
"""Seconds that one slice covers. Slice n holds the requests that were meant to be sent in [n, n + 1) x SLICE."""

SCHEMA = 1
Counted = Literal["probes", "load"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", tag_field="type"):
    """Base of every record. `at`: run seconds at which it was written."""

    at: float


class Begun(Event, frozen=True, kw_only=True, tag="begun"):
    """The first record: the complete frozen inputs, secrets redacted, and the versions that ran.

    `experiment`, `stack` and `eras` are the documents as plain trees, as they stood in YAML. `fingerprints` maps
    `Kind/name` to the SHA-256 of the file. `judge_by` names the eras that the run is judged by.
    """

    schema: int = SCHEMA
    run: str
    token: str
    origin: float
    experiment: dict[str, Any]
    stack: dict[str, Any]
    eras: list[dict[str, Any]]
    judge_by: list[str]
    fingerprints: dict[str, str] = {}
    versions: dict[str, str] = {}


class Entered(Event, frozen=True, kw_only=True, tag="phase"):
    """The run moved. `phase` is the new phase's name (`Baseline`, …), `why` one sentence."""

    phase: str
    why: str = ""


class Intended(Event, frozen=True, kw_only=True, tag="intent"):
    """What is about to be injected, on record before it is. `injection` is the index in the timeline.

    `expires`: seconds since the epoch on the target's clock; `skew`: target's clock minus ours, seconds.
    `undo` names a known operation with typed arguments. `settles`: seconds that the target may take, by rules of its own, until
    the fault is there; pods that are asked to end have a grace period.
    """

    injection: int
    fault: str
    target: str
    lease: str
    expires: int
    skew: float = 0.0
    settles: float = 0.0
    parameters: dict[str, Any] = {}
    undo: dict[str, Any] = {}


class Fronting(Event, frozen=True, kw_only=True, tag="fronting"):
    """A Toxiproxy is about to be put in front of a Service for the length of the run, on record before anything is.

    `links` lead to it. `expires`: seconds since the epoch on the API server's clock; `undo` names a known operation with
    typed arguments.
    """

    service: str
    links: list[str]
    lease: str
    expires: int
    undo: dict[str, Any] = {}


class Injected(Event, frozen=True, kw_only=True, tag="injected"):
    """The injecting call returned: its word, not evidence. `started` is when it was begun."""

    injection: int
    started: float


class Observed(Event, frozen=True, kw_only=True, tag="observed"):
    """What a second observer saw: `holds` is its answer to "is the fault there?", `saw` is for the person who doubts it.

    `when`: `before` (must not hold), `during` (must), `after` healing (must not).
    `asked`: run seconds at which the observation was begun (`at` is when it was answered).
    """

    injection: int
    when: Literal["before", "during", "after"]
    holds: bool
    observer: str
    saw: str
    asked: float


class Healing(Event, frozen=True, kw_only=True, tag="healing"):
    """The fault's removal begins."""

    injection: int


class Healed(Event, frozen=True, kw_only=True, tag="healed"):
    """The fault's removal is over. `clean`: the target itself says that nothing is left.

    `by` is `found` where the target was found clean and nobody wrote down what ended the fault: its lease, the reaper, or
    the end of the process that held it.
    """

    injection: int
    clean: bool
    saw: str
    by: Literal["executor", "reaper", "lease", "found"] = "executor"


class Slice(Event, frozen=True, kw_only=True, tag="slice"):
    """What an indicator's requests came to in one slice, by the time each was meant to be sent.

    `planned` requests were due; `unsent` of them could not be sent (neither good nor bad: missing). `good` were
    answered as expected, `bad` maps a kind of failure (`refused`, `reset`, `timeout`, `status-503`, `body`, `error`, …)
    to its count. `latency` maps a histogram bucket (core/histogram.py) to a count of good answers, measured from the
    intended time; of a lag, to a count of all that were measured, good or out of bounds.

    The edges, in run seconds, absent where there is none: `good_before` is the intended time of the last good request
    sent before the first bad one of the slice (of the last good one if none is bad); `bad_from` is when the first bad
    request's failure was seen (its deadline, if it timed out); `bad_until` is the intended time of the last bad request;
    `good_after` is when the first good answer came among the requests sent after the last bad one (among all if none is
    bad).
    """

    indicator: str
    counted: Counted
    n: int
    planned: int
    unsent: int = 0
    good: int = 0
    bad: dict[str, int] = {}
    latency: dict[int, int] = {}
    good_before: float | None = None
    bad_from: float | None = None
    bad_until: float | None = None
    good_after: float | None = None


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A write that was acknowledged and is gone. `acknowledged`: run seconds."""

    id: str
    acknowledged: float


class Ledgered(Event, frozen=True, kw_only=True, tag="ledger"):
    """A ledger was read back. `read` is False where the oracle could not be reached (`saw` says why): nothing is known.

    `indeterminate` writes were neither acknowledged nor refused in time; `lost` has at most 1,000 entries, `lost_count`
    them all. `disputed`: writes that are lost and not in the service's own log of conflicts, or the other way round, where it
    has one. `oldest_lost` and `newest_lost` are acknowledgement times.
    """

    indicator: str
    read: bool
    saw: str = ""
    acknowledged: int = 0
    indeterminate: int = 0
    lost_count: int = 0
    lost: list[Lost] = []
    disputed: list[str] = []
    oldest_lost: float | None = None
    newest_lost: float | None = None


class Sharded(Event, frozen=True, kw_only=True, tag="shard"):
    """One of the generators that share the load: `shard` of `shards`, counted from 0; `where` it runs.

    `ready`: it sends its share. `lost`: it does not, or no longer (`why`). `skewed`: it sends, but when is not known well
    enough. `skew`: seconds that its clock may be off ours, as measured; absent where both are the same clock.
    """

    shard: int
    shards: int
    state: Literal["ready", "lost", "skewed"]
    where: str = ""
    skew: float | None = None
    why: str = ""


class Tripped(Event, frozen=True, kw_only=True, tag="guardrail"):
    """A guardrail tripped: `indicator` was below `below` (a share) for `lasted` seconds."""

    guardrail: int
    indicator: str
    below: float
    lasted: float


class Aborting(Event, frozen=True, kw_only=True, tag="abort"):
    """The run is cut short."""

    reason: Literal["Guardrail", "User", "Halt", "ExecutorLost", "TargetLost"]
    message: str


class Cleaned(Event, frozen=True, kw_only=True, tag="cleaned"):
    """Every target was asked what is left. `left` has a line a trace; `unasked` a line a place that did not answer."""

    left: list[str] = []
    unasked: list[str] = []


class Errored(Event, frozen=True, kw_only=True, tag="error"):
    """The tool failed, or a target refused what it was asked; the run can't pass."""

    problem: str
    advice: str = ""


class Noted(Event, frozen=True, kw_only=True, tag="note"):
    """Something worth knowing that decides nothing."""

    text: str


class Ended(Event, frozen=True, kw_only=True, tag="ended"):
    """The executor is done. A journal without it was cut off."""


Any_ = (
    Begun | Entered | Fronting | Intended | Injected | Observed | Healing | Healed | Slice | Ledgered | Sharded | Tripped
    | Aborting
    | Cleaned | Errored | Noted | Ended
)  # fmt: skip


def _plain(value: Any) -> float:
    """Write a unit (a duration, a percentage) as the number that it is."""
    if isinstance(value, float):
        return float(value)
    raise NotImplementedError(f"a journal can't hold a {type(value).__name__}")


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain)
_decoder: msgspec.json.Decoder[Any_] = msgspec.json.Decoder(Any_, strict=False)
E_ = TypeVar("E_", bound=Event)


def encode(event: Event) -> bytes:
    """Return the record as one line of JSON, newline included."""
    return _encoder.encode(event) + b"\n"


def tree_of(event: Event) -> dict[str, Any]:
    """Return the record as a plain tree, for whoever has to change texts in it before it is written."""
    tree: dict[str, Any] = msgspec.to_builtins(event)
    return tree


def encode_tree(tree: dict[str, Any]) -> bytes:
    """Return a plain tree as one line of JSON, newline included."""
    return _encoder.encode(tree) + b"\n"


def decode(line: bytes) -> Any_ | None:
    """Read one line; None for a line that was torn by a crash."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class History:
    """A journal, decoded. Nothing in it changes."""

    def __init__(self, events: Iterable[Any_]) -> None:
        self.events: tuple[Any_, ...] = tuple(events)

    def all(self, kind: type[E_]) -> list[E_]:
        """Return every record of one kind, in the journal's order."""
        return [event for event in self.events if isinstance(event, kind)]

    def first(self, kind: type[E_]) -> E_ | None:
        """Return the first record of one kind."""
        return next((event for event in self.events if isinstance(event, kind)), None)

    @property
    def begun(self) -> Begun:
        """The frozen inputs. A journal without them isn't one: LookupError."""
        begun = self.first(Begun)
        if begun is None:
            raise LookupError("the journal has no first record")
        return begun

    def entered(self, phase: str) -> float | None:
        """Return the run seconds at which `phase` was entered first."""
        return next((event.at for event in self.all(Entered) if event.phase == phase), None)


def parse(journal: bytes) -> History:
    """Decode a whole journal. A torn line costs that line only."""
    return History(event for line in journal.splitlines() if (event := decode(line)) is not None)
