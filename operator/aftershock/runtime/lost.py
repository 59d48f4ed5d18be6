"""Runs whose executor died: ended as Aborted/ExecutorLost once their targets are clean, and never run again."""

import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aftershock.adapters import store
from aftershock.adapters.threads import within
from aftershock.core.history import Aborting, Any_, Cleaned, Ended, Entered, Healed, History, Intended
from aftershock.core.judge import judge_all
from aftershock.core.wording import listed
from aftershock.errors import AftershockError
from aftershock.faults import created
from aftershock.model.era import Era
from aftershock.model.run import Run, RunStatus
from aftershock.model.stack import Stack
from aftershock.runtime import conclude, folders, leftovers
from aftershock.runtime.folders import RunFolder
from aftershock.runtime.loading import eras_for
from aftershock.runtime.places import has_services

OF_LATE = 600.0
"""Seconds for which the end of a lost run is news to somebody who asks the reaper."""

FRONTS = 20.0
"""Seconds that taking Toxiproxies away from Services may take."""

_finished: set[Path] = set()
"""Runs that were seen finished: that is final, and the reaper asks four times a second."""


async def conclude_lost(stack: Stack, folder: Path) -> list[str]:
    """End every lost run of the stack whose targets are clean; return a line each."""
    done = []
    for run in folders.every():
        if run.path in _finished or (record := run.read()) is None:
            continue
        if record.status.phase == "Finished":
            _finished.add(run.path)
        elif (
            record.spec.stack == stack.metadata.name
            and (line := await _conclude(run, record, stack, folder)) is not None
        ):
            done.append(line)
    return done


async def _conclude(run: RunFolder, record: Run, stack: Stack, folder: Path) -> str | None:
    lock = run.lock()
    if lock is None:
        return None
    try:
        history = store.read(run.journal)
        await remove_links(history, stack)
        left = await leftovers.ask(stack, folder, history.begun.token)
        if left.left or left.unasked:
            return None
        status = concluded(run, history, record.status.started)
        run.write(finished(record, status))
        return f"run {run.name} lost its executor; its targets are clean, it ends as Aborted"
    except AftershockError:
        return None  # no journal that can be read or written: nothing to end, and the next round tries again
    finally:
        os.close(lock)


def ended_of_late(stack: str, now: float) -> list[str]:
    """Say which lost runs of the stack were ended within `OF_LATE` before `now`, epoch seconds, and what they had held.

    Whoever asks after a kill is rarely the one who heals: the reaper that watches was there first.
    """
    told = []
    for run in folders.every():
        record = run.read()
        if record is None or record.spec.stack != stack or record.status.verdict != "Aborted":
            continue
        ended = datetime.fromisoformat(record.status.finished) if record.status.finished else None
        if ended is None or not 0 <= now - ended.timestamp() <= OF_LATE:
            continue
        with suppress(AftershockError):  # a journal that can't be read says nothing here; `report` says why
            if held := _held(store.read(run.journal)):
                told.append(f"run {run.name} had lost its executor; {held}, and it was ended at {ended:%H:%M:%S} UTC")
    return told


def _held(history: History) -> str:
    """Say what a lost run's end found healed; nothing where the run was not lost, or held nothing."""
    if not any(event.reason == "ExecutorLost" for event in history.all(Aborting)):
        return ""
    found = {event.injection for event in history.all(Healed) if event.by == "found"}
    names = [f"{event.fault} at {event.target}" for event in history.all(Intended) if event.injection in found]
    return f"{listed(names)} {'was' if len(names) == 1 else 'were'} found healed" if names else ""


def concluded(run: RunFolder, history: History, started: str | None) -> RunStatus:
    """Close the journal of a lost run whose targets are clean, judge it, and return what its record has to say."""
    ended = _end(run, history)
    judgements = judge_all(ended, _eras(ended))
    return conclude.status(judgements, started, datetime.now(UTC).isoformat(timespec="seconds"))


def finished(record: Run, status: RunStatus) -> Run:
    """Return a run's record with its last status."""
    return Run(api_version=record.api_version, metadata=record.metadata, spec=record.spec, status=status)


async def remove_links(history: History, stack: Stack) -> None:
    """Remove the links that were created for the run, once its last fault is over: nobody is left who would use them.

    Their own lease lasts as long as the run could have; until it ends, they would keep the next run from the stack.
    """
    if all(event.expires <= time.time() + event.skew for event in history.all(Intended)):
        await take_links(stack, history.begun.token)


async def take_links(stack: Stack, token: str) -> None:
    """Remove the links that were created for a run, whatever their expiry. Twice is once."""
    await created.remove(stack, token)
    if has_services(stack):  # what it takes to ask Kubernetes is imported where a stack leads there, as in `places`
        from aftershock.faults import fronts
        from aftershock.faults.cluster import ground_of

        await within(FRONTS, fronts.remove, stack, ground_of(stack), token)


def _eras(history: History) -> list[Era]:
    return eras_for(history, ())


def _end(run: RunFolder, history: History) -> History:
    """Append what the executor could not; nothing where it came as far as the end, and only its verdict is missing."""
    if history.first(Ended) is not None:
        return history
    at = round(time.time() - history.begun.origin, 4)
    healed = {event.injection for event in history.all(Healed)}
    closing: list[Any_] = [
        Healed(at=at, injection=event.injection, clean=True, saw="nothing of its lease is left", by="found")
        for event in history.all(Intended)
        if event.injection not in healed
    ]
    if not history.all(Aborting):
        closing.append(Aborting(at=at, reason="ExecutorLost", message="the executor ended without a word"))
    closing += [Entered(at=at, phase="Cleanup"), Cleaned(at=at), Ended(at=at)]
    journal = store.Journal.open(run.journal)
    try:
        for event in closing:
            journal.append(event)
    finally:
        journal.close()
    return History([*history.events, *closing])
