"""gdnsd's file of forced states: our lines come and go, everybody else's stay to the byte."""

import os
import stat
from pathlib import Path

import pytest

from aftershock.adapters import admin_state
from aftershock.core.lease import Lease
from aftershock.errors import TargetError

OURS = Lease("dns-stale", "k3f9a2x1", 1790000000)
OTHER = Lease("dns-stale", "another1", 1790000001)
UP = {"127.0.1.1": True, "2001:db8::2": False}
PERSONS = "# ours: don't touch\n127.0.3.1/region => DOWN # until the new disks are there\n\n*/xmpp => UP/30\n"


def test_our_lines_stand_last_and_each_bears_the_lease() -> None:
    text = admin_state.held(PERSONS, UP, OURS)
    assert text.removeprefix(PERSONS).splitlines() == [
        f"127.0.1.1/* => UP # {OURS.name}",
        f"2001:db8::2/* => DOWN # {OURS.name}",
    ]
    assert admin_state.leases(text) == [OURS]
    assert admin_state.held(text, UP, OURS) == text, "twice is once"


@pytest.mark.parametrize("text", ["", PERSONS, "127.0.1.1/region => DOWN # my own\n", "caf\udce9 # not UTF-8\r\n"])
def test_what_others_wrote_comes_out_as_it_went_in(text: str) -> None:
    both = admin_state.held(admin_state.held(text, UP, OURS), UP, OTHER)
    assert admin_state.leases(both) == [OURS, OTHER]
    assert admin_state.leases(admin_state.released(both, {OURS.name})) == [OTHER]
    assert admin_state.released(both, {OURS.name, OTHER.name}) == text
    assert admin_state.leases(text) == []


def test_a_last_line_without_an_end_is_no_part_of_ours() -> None:
    text = admin_state.held("127.0.3.1/region => DOWN", UP, OURS)
    assert text.startswith("127.0.3.1/region => DOWN\n127.0.1.1/* => UP")
    assert admin_state.released(text, {OURS.name}) == "127.0.3.1/region => DOWN\n"


def test_no_key_stands_twice() -> None:
    """With one that does, gdnsd ignores the whole file."""
    text = admin_state.held("127.0.1.1/* => DOWN\n'127.0.1.1/**' => DOWN\n", UP, OURS)
    keys = [line.split(" =>")[0].strip("'") for line in text.splitlines()]
    assert keys == ["127.0.1.1/*", "127.0.1.1/**", "127.0.1.1/***", "2001:db8::2/*"]


def test_the_file_keeps_its_owner_and_who_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "admin_state"
    path.write_text(PERSONS)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    before = path.stat()
    admin_state.hold(path, UP, OURS)
    assert admin_state.leases(path.read_text()) == [OURS]
    after = path.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert admin_state.release(path, {OURS.name})
    assert not admin_state.release(path, {OURS.name})
    assert path.read_text() == PERSONS
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_ours_alone_belongs_to_who_has_the_folder_and_goes_with_the_lease(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
    path = tmp_path / "admin_state"
    assert admin_state.read(path) == ""
    admin_state.hold(path, UP, OURS)
    assert path.stat().st_uid == tmp_path.stat().st_uid, "gdnsd has to read it"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    admin_state.release(path, {OURS.name})
    assert not path.exists()


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text(PERSONS)
    (tmp_path / "admin_state").symlink_to("kept")
    admin_state.hold(tmp_path / "admin_state", UP, OURS)
    assert (tmp_path / "admin_state").is_symlink()
    assert admin_state.leases((tmp_path / "kept").read_text()) == [OURS]


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Nothing there would read as: nothing is left."""
    with pytest.raises(TargetError, match=r"can't read .*admin_state") as told:
        admin_state.read(tmp_path / "elsewhere" / "admin_state")
    assert "adminState" in told.value.advice
    (tmp_path / "admin_state").mkdir()
    with pytest.raises(TargetError, match="can't read"):
        admin_state.read(tmp_path / "admin_state")


def test_a_file_that_can_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("aftershock.adapters.durable.write", full)
    with pytest.raises(TargetError, match=r"can't write .*: No space left on device"):
        admin_state.hold(tmp_path / "admin_state", UP, OURS)
