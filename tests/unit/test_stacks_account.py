"""Whom servers run as, where that can't be told on every machine."""

import os
import stat
from pathlib import Path

import pytest

from aftershock.errors import StackError
from aftershock.stacks.account import Account, give, give_folder, unprivileged

NAMELESS = 4_000_000_123


def test_a_user_without_a_name_is_told_before_initdb_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As containers have them that are run under any number."""
    monkeypatch.setattr(os, "geteuid", lambda: NAMELESS)
    with pytest.raises(StackError, match=f"user {NAMELESS} has none"):
        unprivileged()


ANOTHER = Account("another", 64321, 64322)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives away what is its own")


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


@needs_root
def test_what_a_link_leads_to_is_not_given_away(tmp_path: Path) -> None:
    """Whoever can write beside it may have put the link there."""
    ours, link = tmp_path / "ours", tmp_path / "link"
    ours.touch()
    link.symlink_to(ours)
    give(link, ANOTHER)
    assert (owner(ours), owner(link)) == ((0, 0), (64321, 64322))


@needs_root
def test_a_folder_is_the_accounts_alone_whether_it_was_there_or_not(tmp_path: Path) -> None:
    there, new = tmp_path / "there", tmp_path / "new"
    there.mkdir(mode=0o777)
    for folder in (there, new):
        give_folder(folder, ANOTHER)
        assert owner(folder) == (64321, 64322)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("leads_to", ["ours", "nowhere"])
def test_a_link_where_a_folder_is_to_be_is_refused(tmp_path: Path, leads_to: str) -> None:
    ours, link = tmp_path / "ours", tmp_path / "link"
    ours.mkdir()
    ours.chmod(0o755)
    link.symlink_to(tmp_path / leads_to)
    with pytest.raises(StackError, match="link is to be a folder, and is none") as caught:
        give_folder(link, ANOTHER if os.geteuid() == 0 else None)
    assert "remove it" in caught.value.advice
    assert stat.S_IMODE(ours.stat().st_mode) == 0o755
    assert owner(ours) == (os.geteuid(), os.getegid())


def test_a_file_where_a_folder_is_to_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="Not a directory"):
        give_folder(tmp_path / "file", None)
