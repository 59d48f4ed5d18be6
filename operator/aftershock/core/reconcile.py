"""What the operator has to do, given what there is: pure decisions over Experiments and their Runs, from levels, not edges.

Nothing here knows what happened before, or whether somebody else decides at the same moment: every answer may be acted on
twice. What an action must not be done twice for is settled by the API server, where it is done.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from croniter import CroniterError, croniter


class RunFacts(msgspec.Struct, frozen=True):
    """A Run, as far as it matters here. `created` sorts as time does; `clean`: finished, and nothing of it is left."""

    name: str
    uid: str
    created: str
    stack: str
    finished: bool = False
    verdict: str | None = None
    claimed: bool = False
    deleting: bool = False
    held: bool = True
    """Our finalizer is on it."""

    abort: bool = False
    clean: bool = False
    abandoned: bool = False


class Release(Enum):
    """What becomes of the finalizer of a Run."""

    KEEP = "keep"
    CLEAN = "clean"
    ABANDONED = "abandoned"


def release(run: RunFacts) -> Release:
    """Tell whether a Run may be let go: it is finished and clean, it was never begun and is to go, or somebody insists.

    >>> release(RunFacts("a-1", "u", "t", "s", claimed=True, deleting=True))
    <Release.KEEP: 'keep'>
    >>> release(RunFacts("a-1", "u", "t", "s", deleting=True))
    <Release.CLEAN: 'clean'>
    """
    if run.finished and run.clean:
        return Release.CLEAN
    if run.deleting and not run.claimed and not run.finished:
        return Release.CLEAN
    return Release.ABANDONED if run.abandoned else Release.KEEP


def in_line(runs: Iterable[RunFacts], holder: str = "") -> list[RunFacts]:
    """Return the Runs of one Stack that wait for their turn, in the order in which they get it: the oldest first.

    Before them all comes the one that has the Stack already (`holder`, a uid), whose executor may be about to take it or have
    ended before it did: if the others went first, they and it would wait for each other.

    >>> old, new = (RunFacts(n, n, n, "s") for n in ("1", "2"))
    >>> [run.name for run in in_line([new, old])], [run.name for run in in_line([new, old], holder="2")]
    (['1', '2'], ['2', '1'])
    """
    waiting = [run for run in runs if not (run.finished or run.claimed or run.deleting)]
    return sorted(waiting, key=lambda run: (run.uid != holder, run.created, run.name))


def surplus(runs: Iterable[RunFacts], passed: int, others: int) -> list[RunFacts]:
    """Return the finished Runs beyond the limits, the oldest first. What is not clean stays: it says what is left.

    >>> old, new = (RunFacts(n, n, n, "s", finished=True, clean=True, verdict="Passed") for n in ("1", "2"))
    >>> [run.name for run in surplus([new, old], passed=1, others=0)]
    ['1']
    """
    over = sorted(
        (run for run in runs if run.finished and run.clean and not run.deleting),
        key=lambda run: (run.created, run.name),
    )
    good = [run for run in over if run.verdict == "Passed"]
    bad = [run for run in over if run.verdict != "Passed"]
    return [*good[: max(0, len(good) - passed)], *bad[: max(0, len(bad) - others)]]


def due(cron: str, zone: str, since: datetime, now: datetime, deadline: float) -> datetime | None:
    """Return the last scheduled time after `since` and up to `now`, if a run for it may still begin; None otherwise.

    However many times were missed, one run makes up for them, and none does once `deadline` seconds are over.

    >>> at = lambda text: datetime.fromisoformat(f"2026-03-02T{text}:00+00:00")
    >>> due("0 * * * *", "Etc/UTC", at("00:30"), at("03:05"), 600).isoformat()
    '2026-03-02T03:00:00+00:00'
    >>> due("0 * * * *", "Etc/UTC", at("00:30"), at("03:15"), 600) is None
    True
    """
    local = now.astimezone(ZoneInfo(zone))
    found = croniter(cron, local + timedelta(microseconds=1)).get_prev(datetime)
    last: datetime = found.astimezone(UTC)
    timely = last > since and now - last <= timedelta(seconds=deadline)
    return last if timely else None


def meaningless(cron: str, zone: str, now: datetime) -> str:
    """Say why a schedule never comes due, or can't be read; nothing if it can.

    >>> meaningless("0 0 30 2 *", "Etc/UTC", datetime(2026, 1, 1, tzinfo=UTC)) != ""
    True
    >>> meaningless("0 3 * * 1-5", "Europe/Berlin", datetime(2026, 1, 1, tzinfo=UTC))
    ''
    """
    try:
        local = now.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f"spec.schedule.timeZone: `{zone}` is no time zone that is known here; write one like Europe/Berlin"
    try:
        croniter(cron, local).get_next(datetime)
    except (CroniterError, ValueError, KeyError) as error:
        return f"spec.schedule.cron: `{cron}` never comes due: {error}; write five fields, like `0 3 * * 1-5`"
    return ""


class Concurrency(Enum):
    """What a scheduled time comes to while runs of the same Experiment go on."""

    START = "start"
    SKIP = "skip"
    REPLACE = "replace"


def concurrency(policy: str, going: Sequence[RunFacts]) -> Concurrency:
    """Apply `schedule.concurrency`.

    >>> concurrency("Forbid", []), concurrency("Forbid", [RunFacts("a", "a", "1", "s")])
    (<Concurrency.START: 'start'>, <Concurrency.SKIP: 'skip'>)
    """
    if not going or policy == "Allow":
        return Concurrency.START
    return Concurrency.REPLACE if policy == "Replace" else Concurrency.SKIP


def overdue(created: datetime, now: datetime, patience: float) -> bool:
    """Tell whether a Run that could not start has waited for longer than it may."""
    return (now - created).total_seconds() > patience
