"""What a judge says: claims, conditions, recovery, and the verdict that follows from them.

Plain frozen records, so that every report prints the same thing and any of it can be stored.
"""

from enum import StrEnum
from typing import Literal

import msgspec


class Truth(StrEnum):
    """A claim is true, false, or not known: missing data never passes."""

    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """The run's answer."""

    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ABORTED = "Aborted"
    ERROR = "Error"


class Interval(msgspec.Struct, frozen=True):
    """What is known of a number: it lies between the two, both included."""

    low: float
    high: float


class Claim(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One thing that was held against the record.

    `statement` is the claim as a sentence, `finding` what the record shows, `missing` what would be needed to know.
    `measured` and `allowed` are in `unit` (`s` for seconds of budget or span, `share` for 0 to 1).
    `binding` is False for a claim that is printed but doesn't decide (RTO).
    """

    kind: Literal["budget", "latency", "expect", "steady", "loss", "guardrail", "load", "recovery"]
    name: str
    truth: Truth
    statement: str
    finding: str
    indicator: str | None = None
    source: str | None = None
    measured: Interval | None = None
    allowed: float | None = None
    unit: Literal["s", "share"] | None = None
    missing: list[str] = []
    binding: bool = True


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One of the four, with a reason in CamelCase and a sentence."""

    type: Literal["FaultLanded", "ObjectivesHeld", "Recovered", "CleanedUp"]
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str


class Bracket(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One indicator's outage, in run seconds; every end is an interval, never a point.

    `began` and `ended` bracket the outage's two ends; `rto` its length; `after_healing` the time from the end of the
    last healing to the outage's end (0 where it ended before). All None where the indicator had no outage; `ended`,
    `rto` and `after_healing` None where it had not ended when the record stops. `lasted` is the seconds of good record
    that follow.
    """

    indicator: str
    began: Interval | None = None
    ended: Interval | None = None
    rto: Interval | None = None
    after_healing: Interval | None = None
    lasted: float = 0.0


class Survival(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How long the stack could have lived with a fault before an objective's allowance was gone, in seconds.

    `seconds` is None where nothing was bad while the fault had settled: no end is in sight then, and `at_least` is what
    the number of samples is good for. There is no record at all where the fault did not settle.
    """

    injection: int
    objective: str
    seconds: Interval | None = None
    at_least: float | None = None


class Judgement(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One run held against one era. `because` is one sentence that names what decided.

    `uptime` is the era's first availability target, and `uptime_source` says how sure it is: a stated one is a promise, an
    achieved one a measurement; neither is printed as the other.
    """

    run: str
    era: str
    uptime: float | None
    uptime_source: str | None = None
    verdict: Verdict
    because: str
    claims: list[Claim]
    conditions: list[Condition]
    recovery: list[Bracket]
    survives: list[Survival] = []
    rto_allowed: float | None = None
