"""Runs whose executor died: what is missing from their journals is appended, and nothing else."""

from datetime import datetime
from pathlib import Path

import pytest

from aftershock.adapters import store
from aftershock.core.history import Aborting, Ended, Event, Healed, History
from aftershock.model.metadata import API_VERSION, Metadata
from aftershock.model.run import Run, RunSpec, RunStatus
from aftershock.runtime.folders import RunFolder
from aftershock.runtime.lost import OF_LATE, _end, ended_of_late
from journals import demo


def written(folder: Path, events: tuple[Event, ...]) -> RunFolder:
    journal = store.Journal.open(folder / "run" / store.NAME)
    for event in events:
        journal.append(event)
    journal.close()
    return RunFolder(folder / "run")


def test_a_run_that_came_to_its_end_is_not_called_lost(tmp_path: Path) -> None:
    history = demo()
    run = written(tmp_path, history.events)
    assert _end(run, history) is history
    assert store.read(run.journal).all(Aborting) == []


@pytest.mark.parametrize("after", ["intent", "injected", "healing"])
def test_a_run_that_was_cut_off_is_ended_once(tmp_path: Path, after: str) -> None:
    events = demo().events
    cut = next(n for n, event in enumerate(events) if event.__struct_config__.tag == after)
    run = written(tmp_path, events[: cut + 1])
    ended = _end(run, History(events[: cut + 1]))
    assert [event.reason for event in ended.all(Aborting)] == ["ExecutorLost"]
    assert [event.by for event in ended.all(Healed)] == ["found"]
    kept = store.read(run.journal)
    assert kept.events == ended.events
    assert _end(run, kept) is kept
    assert len(store.read(run.journal).all(Ended)) == 1


def test_who_asks_after_a_kill_is_told_what_the_watching_reaper_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a run's end is no news any more, or where the run is another stack's, nothing is said."""
    monkeypatch.setenv("AFTERSHOCK_HOME", str(tmp_path))
    events = demo().events
    cut = next(n for n, event in enumerate(events) if event.__struct_config__.tag == "injected")
    run = written(tmp_path / "runs", events[: cut + 1])
    _end(run, History(events[: cut + 1]))
    stack = "meetings-1k"
    finished = RunStatus(phase="Finished", verdict="Aborted", finished="2026-01-01T00:00:00+00:00")
    spec = RunSpec(experiment="e", stack=stack)
    run.write(Run(api_version=API_VERSION, metadata=Metadata(name="run"), spec=spec, status=finished))
    then = datetime.fromisoformat("2026-01-01T00:00:00+00:00").timestamp()
    (line,) = ended_of_late(stack, then + OF_LATE)
    assert "db-connection-exhaustion at primary was found healed, and it was ended at 00:00:00 UTC" in line
    assert ended_of_late(stack, then + OF_LATE + 1) == []
    assert ended_of_late("another", then) == []
