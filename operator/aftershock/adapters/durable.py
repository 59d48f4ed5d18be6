"""Files that are there wholly or not at all, also after a crash of the machine."""

import os
import tempfile
from pathlib import Path


def write(path: Path, content: bytes, *, like: Path | None = None) -> None:
    """Write the file beside its place, sync it, and move it there. OSError if the disk won't have it; then nothing changes.

    It is for its owner alone; or whoever `like`, a file or a folder, belongs to may read and write it as they may that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            if like is not None:
                _belong(file.fileno(), like)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    sync(path.parent)


def _belong(handle: int, like: Path) -> None:
    status = like.stat()
    os.fchown(handle, status.st_uid, status.st_gid)
    os.fchmod(handle, status.st_mode & 0o666)


def sync(folder: Path) -> None:
    """Make what was added to or removed from the folder survive a crash."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
