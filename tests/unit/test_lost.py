"""Runs whose executor died: what is missing from their journals is appended, and nothing else."""

from pathlib import Path

import pytest

from aftershock.adapters import store
from aftershock.core.history import Aborting, Ended, Event, Healed, History
from aftershock.runtime.folders import RunFolder
from aftershock.runtime.lost import _end
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
