"""What the operator decides, held against slower ways of saying the same, and in a small world where anything may happen."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aftershock.core.reconcile import (
    Concurrency,
    Release,
    RunFacts,
    concurrency,
    due,
    in_line,
    meaningless,
    overdue,
    release,
    surplus,
)

ZONES = ("Etc/UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")
CRONS = {
    "* * * * *": lambda at: True,
    "*/15 * * * *": lambda at: at.minute % 15 == 0,
    "30 2 * * *": lambda at: (at.hour, at.minute) == (2, 30),
    "0 6-8 * * 1-5": lambda at: at.minute == 0 and at.hour in {6, 7, 8} and at.weekday() < 5,
}
runs = st.builds(
    RunFacts,
    name=st.sampled_from("abcdefgh"),
    uid=st.uuids().map(str),
    created=st.sampled_from([f"2026-01-01T00:00:0{n}Z" for n in range(4)]),
    stack=st.just("s"),
    finished=st.booleans(),
    verdict=st.sampled_from([None, "Passed", "Failed", "Aborted"]),
    claimed=st.booleans(),
    deleting=st.booleans(),
    held=st.booleans(),
    clean=st.booleans(),
    abandoned=st.booleans(),
)
many = st.lists(runs, max_size=12, unique_by=lambda run: run.uid)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))


@given(st.sampled_from(sorted(CRONS)), st.sampled_from(ZONES), moments, st.integers(0, 90), st.integers(1, 3600))
def test_due_is_the_last_minute_that_fits_and_was_not_seen(
    cron: str, zone: str, now: datetime, ago: int, deadline: int
) -> None:
    """Against a look at each minute. The hour that a change of clocks skips or repeats is croniter's to read: left out."""
    since = now - timedelta(minutes=ago)
    if any(
        at.astimezone(ZoneInfo(zone)).utcoffset() != now.astimezone(ZoneInfo(zone)).utcoffset()
        for at in _minutes(since - timedelta(hours=3), now)
    ):
        return
    fitting = [at for at in _minutes(since, now) if CRONS[cron](at.astimezone(ZoneInfo(zone)))]
    last = fitting[-1] if fitting else None
    expected = last if last is not None and (now - last).total_seconds() <= deadline else None
    assert due(cron, zone, since, now, deadline) == expected


def _minutes(since: datetime, now: datetime) -> list[datetime]:
    """Whole minutes after `since`, up to `now`."""
    first = since.replace(second=0, microsecond=0) + timedelta(minutes=1)
    count = int((now - first) // timedelta(minutes=1)) + 1
    return [first + timedelta(minutes=number) for number in range(max(0, count))]


@pytest.mark.parametrize(
    ("cron", "zone", "word"),
    [
        ("99 0 * * *", "Etc/UTC", "cron"),
        ("0 0 30 2 *", "Etc/UTC", "cron"),
        ("* * * *", "Etc/UTC", "cron"),
        ("0 0 * * *", "Mars/Base", "timeZone"),
        ("0 0 * * *", "../../etc/passwd", "timeZone"),
        ("0 0 * * *", "", "timeZone"),
    ],
)
def test_a_schedule_that_never_comes_due_is_said_to_be_one(cron: str, zone: str, word: str) -> None:
    assert word in meaningless(cron, zone, datetime(2026, 1, 1, tzinfo=UTC))


@given(many, st.integers(0, 4), st.integers(0, 4))
def test_only_finished_and_clean_runs_go_and_the_newest_stay(all_: list[RunFacts], passed: int, others: int) -> None:
    going = surplus(all_, passed, others)
    assert all(run.finished and run.clean and not run.deleting for run in going)
    for good, limit in ((True, passed), (False, others)):
        kind = [
            run for run in all_ if run.finished and run.clean and not run.deleting and (run.verdict == "Passed") is good
        ]
        kept = [run for run in kind if run not in going]
        assert len(kept) == min(limit, len(kind))
        assert all(old.created <= new.created for old in kind if old in going for new in kept)


@given(many)
def test_the_line_is_by_age_and_the_same_for_all_who_ask(all_: list[RunFacts]) -> None:
    line = in_line(all_)
    assert line == sorted(line, key=lambda run: (run.created, run.name))
    assert [run.uid for run in in_line(reversed(line))] == [run.uid for run in line] or len(
        {r.name for r in line}
    ) < len(line)
    assert not any(run.claimed or run.finished or run.deleting for run in line)


@given(many, st.randoms())
def test_who_has_the_stack_already_is_first_in_line_and_the_others_keep_their_order(
    all_: list[RunFacts], chance: random.Random
) -> None:
    line = in_line(all_)
    if line:
        holder = chance.choice(line)
        assert in_line(all_, holder.uid) == [holder, *(run for run in line if run is not holder)]
    assert in_line(all_, "somebody else's") == line


@given(runs)
def test_a_run_that_was_begun_is_let_go_only_when_clean_or_by_somebodys_word(run: RunFacts) -> None:
    if release(run) is Release.CLEAN and run.claimed:
        assert run.finished and run.clean
    if release(run) is Release.ABANDONED:
        assert run.abandoned


@given(st.sampled_from(["Allow", "Forbid", "Replace"]), many)
def test_concurrency_minds_only_runs_that_go_on(policy: str, all_: list[RunFacts]) -> None:
    decided = concurrency(policy, all_)
    assert (decided is Concurrency.START) == (not all_ or policy == "Allow")


def test_overdue() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert not overdue(now, now + timedelta(seconds=10), 10)
    assert overdue(now, now + timedelta(seconds=10.1), 10)


# A small world: one Stack, Runs that come and go, two operators that see it late, executors that die


@dataclass
class World:
    """What the API server holds. Its rules are the real one's: a write to what was read before it changed is refused."""

    runs: dict[str, RunFacts] = field(default_factory=dict)
    version: dict[str, int] = field(default_factory=dict)
    holder: str | None = None
    injected: dict[str, int] = field(default_factory=dict)
    holding: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)

    def write(self, name: str, seen: int, **changes: object) -> bool:
        if name not in self.runs or self.version[name] != seen:
            return False
        self.runs[name] = replace(self.runs[name], **changes)  # type: ignore[arg-type]
        self.version[name] += 1
        return True


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_no_run_is_begun_twice_and_no_two_hold_the_stack(seed: int) -> None:
    chance = random.Random(seed)
    world = World()
    views: list[tuple[dict[str, RunFacts], dict[str, int]]] = [({}, {}), ({}, {})]
    for step in range(400):
        if chance.random() < 0.5:
            _act(world, *views[chance.randrange(2)], chance)
        elif chance.random() < 0.3:
            views[chance.randrange(2)] = (dict(world.runs), dict(world.version))
        else:
            _happen(world, chance, step)
        assert len(world.holding) <= 1, f"seed {seed}, step {step}: {world.holding}"
        assert all(count == 1 for count in world.injected.values()), f"seed {seed}, step {step}"
        assert world.holding <= world.runs.keys(), f"seed {seed}, step {step}: let go of while it held a fault"


def _happen(world: World, chance: random.Random, step: int) -> None:
    """Something that is no operator's doing."""
    name = chance.choice(sorted(world.holding or world.runs) or [f"r{step}"])
    match chance.choice(["make", "end", "die", "reap", "delete"]):
        case "make" if len(world.runs) < 12:
            world.runs[f"r{step}"], world.version[f"r{step}"] = RunFacts(f"r{step}", f"r{step}", f"{step:04}", "s"), 0
        case "end" if name in world.holding:
            _end(world, name, "Passed")
        case "die" if name in world.holding:
            world.lost.add(name)  # what it holds is there still
        case "reap" if name in world.lost:
            _end(world, name, "Aborted")
        case "delete" if world.runs:
            gone = chance.choice(sorted(world.runs))
            world.write(gone, world.version[gone], deleting=True)


def _end(world: World, name: str, verdict: str) -> None:
    world.holding.discard(name)
    world.lost.discard(name)
    world.write(name, world.version[name], finished=True, clean=True, verdict=verdict)


def _act(world: World, seen: dict[str, RunFacts], version: dict[str, int], chance: random.Random) -> None:
    """One look of an operator with an old view of the world, cut off at a random moment by its death."""
    over = [name for name, run in seen.items() if run.held and release(run) is Release.CLEAN]
    actions: list[Callable[[], None]] = [partial(_let_go, world, name, seen[name], version[name]) for name in over]
    actions += [partial(_free, world), *(partial(_launch, world, run, chance) for run in in_line(seen.values())[:1])]
    for action in actions[: chance.randint(0, len(actions))]:
        action()


def _let_go(world: World, name: str, run: RunFacts, seen: int) -> None:
    if world.write(name, seen, held=False) and (run.deleting or world.runs[name].deleting):
        del world.runs[name], world.version[name]


def _free(world: World) -> None:
    """The holder's Lease goes when its holder, as it is now, is over."""
    if world.holder is not None and (world.holder not in world.runs or world.runs[world.holder].finished):
        world.holder = None


def _launch(world: World, run: RunFacts, chance: random.Random) -> None:
    """Take the Lease; an executor then claims the Run as it is by then, if it is still to be had."""
    if world.holder is None:
        world.holder = run.name
    if world.holder != run.name or chance.random() < 0.2:
        return
    now = world.runs.get(run.name)
    if now is None or now.claimed or now.finished or now.deleting:
        return
    world.write(run.name, world.version[run.name], claimed=True)
    world.injected[run.name] = world.injected.get(run.name, 0) + 1
    world.holding.add(run.name)
