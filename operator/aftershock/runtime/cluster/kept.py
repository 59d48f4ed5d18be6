"""The reaper's own list of places: each Stack that it saw in the API, kept on disk with the Secrets that it names.

It is what the reaper works from, so that it goes on while the API is away and after its own restart. What was known stays
known: a Stack that can't be read any more stands as it was; one that was deleted, and what a Stack said before it was
changed, is forgotten only once all of its places were asked and found clean.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from aftershock.adapters import home
from aftershock.adapters.kubernetes import RUNS, STACKS, Api, Resource, Tree
from aftershock.adapters.threads import within
from aftershock.errors import AftershockError, InputError
from aftershock.runtime import reaper
from aftershock.runtime.cluster import materialise

FILE = "stack.yaml"
PATIENCE = 20.0
"""Seconds that reading one list, or one Stack with its Secrets, may take."""

ANEW = 30.0
"""Seconds after which a Stack is written again though it did not change: a Secret that it names may have."""

ASIDE = "~"
"""Stands between a Stack's name and the digest of what it said before it was changed. No name has it."""

Say = Callable[[str], object]


def folder_of(namespace: str, stack: str) -> Path:
    """Return where a Stack is kept."""
    return home.state() / "places" / namespace / stack


def executing() -> Path:
    """Return where the executors of this machine have the Stacks that they work from, by the names of their runs' folders."""
    return home.state() / "execute"


class Kept:
    """The list, and what of it is up to date. `namespaces`: where Stacks are looked for; empty for everywhere."""

    def __init__(self, api: Api, namespaces: Sequence[str], say: Say) -> None:
        self._api, self._namespaces, self._say = api, namespaces, say
        self._written: dict[Path, tuple[str, float]] = {}

    def files(self) -> list[Path]:
        """Return the file of every Stack that is kept, and those that executors of this machine work from.

        A fault of processes is on record beside the file of the executor that holds it.
        """
        return sorted([*(home.state() / "places").glob(f"*/*/{FILE}"), *executing().glob(f"*/{FILE}")])

    async def refresh(self) -> None:
        """Take in what the API has now. ApiAwayError and the like leave everything as it was."""
        stacks = [stack for namespace in self._where() for stack in await self._list(STACKS, namespace)]
        there = {folder_of(*_names(stack)): stack for stack in stacks}
        for folder, stack in there.items():
            await self._keep(folder, stack)
        for folder in self._folders():
            if folder not in there and self._concerns(folder):
                await self._forget(folder)

    def _where(self) -> Sequence[str | None]:
        return self._namespaces or [None]

    async def _list(self, resource: Resource, namespace: str | None) -> list[Tree]:
        return await within(PATIENCE, self._api.list, resource, namespace)

    def _folders(self) -> list[Path]:
        return [path for path in (home.state() / "places").glob("*/*") if path.is_dir()]

    def _concerns(self, folder: Path) -> bool:
        return not self._namespaces or folder.parent.name in self._namespaces

    async def _keep(self, folder: Path, stack: Tree) -> None:
        """Write the Stack if it changed, or was written long ago. One that can't be written stands as it was."""
        namespace, name = _names(stack)
        version, when = self._written.get(folder, ("", 0.0))
        now = stack["metadata"].get("resourceVersion", "")
        if version == now and time.monotonic() - when < ANEW:
            return
        before = _set_aside(folder)
        try:
            await within(PATIENCE, materialise.stack, self._api, namespace, name, folder)
            self._written[folder] = (now, time.monotonic())
        except AftershockError as error:
            known = "going on with what was known before" if (folder / FILE).is_file() else "its places are not known"
            self._say(f"stack {namespace}/{name}: {error.problem}: {error.advice}; {known}")
        if before is not None and _digest(folder) == _digest(before):
            shutil.rmtree(before)

    async def _forget(self, folder: Path) -> None:
        """Drop a Stack that is gone from the API, if nothing of ours is at its places and no run is about to begin there."""
        self._written.pop(folder, None)
        if not (folder / FILE).is_file() or await self._is_clean(folder):
            with suppress(OSError):  # the next round tries again
                shutil.rmtree(folder)

    async def _is_clean(self, folder: Path) -> bool:
        namespace, name = folder.parent.name, folder.name.partition(ASIDE)[0]
        if any(_under_way(run, name) for run in await self._list(RUNS, namespace)):
            return False
        try:
            left = await reaper.leftovers(reaper.read_stack(folder / FILE), folder)
        except InputError as error:
            self._say(f"stack {namespace}/{name} is gone, and what is kept of it can't be read: {error.problem}")
            return False
        for line in [*left.left, *left.unreachable]:
            self._say(f"stack {namespace}/{name} is gone or changed; its places are kept until they are clean: {line}")
        return not left.left and not left.unreachable


def _names(stack: Tree) -> tuple[str, str]:
    return stack["metadata"]["namespace"], stack["metadata"]["name"]


def _under_way(run: Tree, stack: str) -> bool:
    return run["spec"].get("stack") == stack and (run.get("status") or {}).get("phase") != "Finished"


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()[:8]


def _set_aside(folder: Path) -> Path | None:
    """Copy what is known of a Stack: if it is about to name other places, faults may still be at the old ones."""
    if not (folder / FILE).is_file():
        return None
    aside = folder.with_name(f"{folder.name}{ASIDE}{_digest(folder)}")
    shutil.copytree(folder, aside, dirs_exist_ok=True)
    return aside
