"""The journal: appended, torn lines cost themselves only, secrets never reach it, a full disk is one clear error."""

import os
from pathlib import Path

import pytest

from aftershock.adapters import secrets, store
from aftershock.core.history import Begun, Ended, Noted
from aftershock.errors import JournalError
from aftershock.model.metadata import Secret

BEGUN = Begun(at=0.0, run="r", token="abcd1234", origin=1.0, experiment={}, stack={}, eras=[], judge_by=[])


def test_a_torn_line_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "run" / store.NAME
    journal = store.Journal.open(path)
    journal.append(BEGUN, durable=True)
    journal.append(Noted(at=1.0, text="torn"))
    journal.close()
    os.truncate(path, path.stat().st_size - 5)
    again = store.Journal.open(path)
    again.append(Ended(at=2.0))
    again.close()
    assert store.read(path).events == (BEGUN, Ended(at=2.0))


def test_no_secret_that_was_read_reaches_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_DSN", "postgresql://app:pl%40nted@127.0.0.1/x")
    secrets.read(Secret(env="PLANTED_DSN"), tmp_path)
    journal = store.Journal.open(tmp_path / store.NAME)
    journal.append(Noted(at=0.0, text='server said: "no entry for pl@nted", at postgresql://app:pl%40nted@127.0.0.1/x'))
    journal.close()
    text = (tmp_path / store.NAME).read_text()
    assert "pl@nted" not in text
    assert "pl%40nted" not in text
    assert "server said" in text


def test_a_full_disk_is_one_error_that_says_what_to_do() -> None:
    journal = store.Journal.open(Path("/dev/full"))
    with pytest.raises(JournalError, match="No space left on device") as caught:
        journal.append(BEGUN)
    assert "AFTERSHOCK_HOME" in caught.value.advice
    journal.close()


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("hello\n")
    with pytest.raises(JournalError, match="no record of a run"):
        store.read(path)
    with pytest.raises(JournalError, match="No such file"):
        store.read(tmp_path / "none")
