"""Lease records: what stands for a fault that can bear no name at its target, in the stack's folder, `leases/<lease>.json`.

Written before anything is done, removed after it is undone. A record names a known operation with typed arguments.
"""

from pathlib import Path

import msgspec

from aftershock.adapters.durable import sync, write
from aftershock.adapters.lease_files import FOLDER, path_of
from aftershock.adapters.processes import Process
from aftershock.errors import TargetError
from aftershock.model.stack import SupervisorControl


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fault` was done to `workload`: to `processes`, or through `supervisor`. `boot`: the machine's start it belongs to.

    `whole`: `processes` are all that were hit. Until it is known, their descendants may have been hit too.
    """

    lease: str
    fault: str
    workload: str
    boot: str
    processes: list[Process] = []
    whole: bool = False
    supervisor: SupervisorControl | None = None


def put(folder: Path, record: Record) -> None:
    """Write the record, so that it survives a crash. TargetError if the disk won't have it: then nothing may be done."""
    try:
        write(path_of(folder, record.lease), msgspec.json.encode(record))
    except OSError as error:
        raise TargetError(
            f"can't write the lease record in {folder / FOLDER}: {error.strerror}",
            "free some space, or see permissions",
        ) from None


def get(path: Path) -> Record | None:
    """Read one record; None if there is none. TargetError if it can't be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise TargetError(
            f"can't read the lease record {path}: {error}", "undo by hand what it says, and remove it"
        ) from None


def drop(folder: Path, lease: str) -> None:
    """Remove the record, if it is there."""
    try:
        path_of(folder, lease).unlink(missing_ok=True)
        if (folder / FOLDER).is_dir():
            sync(folder / FOLDER)
    except OSError as error:
        raise TargetError(
            f"can't remove the lease record of {lease}: {error.strerror}", "see its permissions"
        ) from None
