"""`aftershock stack`: a reference stack as processes of this machine.

Every command looks at what is there and makes it so: it can be interrupted anywhere, run twice, and run after a crash. A
lock keeps two commands on one stack apart; it goes with its process.
"""

import json
import os
import pwd
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aftershock.adapters import supervisor
from aftershock.errors import InputError, StackError, TargetError
from aftershock.model.stack import SupervisorControl
from aftershock.stacks import clusters, installed, patroni, ports, postgres, processes, ready, stores, toxiproxy, values
from aftershock.stacks.account import unprivileged
from aftershock.stacks.layout import REAPER, Layout, Programs, hosts, shared, wanted_passwords, wanted_ports
from aftershock.stacks.parts import CLIENT, Values
from aftershock.stacks.place import Place, place, places, read_record, write
from aftershock.stacks.render import configurations, resolver, secret_files, stack
from aftershock.stacks.supervised import supervisord

TRIES = 4
"""How often ports are chosen, should somebody take one between our choosing and our listening."""
PATIENCE = 30.0
"""Seconds that supervisord itself may take to start."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Part:
    """A part of a stack. `state` is supervisord's word for it, or `not running`; `detail` is for a person."""

    name: str
    state: str
    detail: str
    up: bool


def up(
    era: str, name: str | None = None, progress: Progress = print, switched: Mapping[str, str] | None = None
) -> Path:
    """Bring the stack of `era` up; return its Stack file. Nothing happens if it is up; a broken one is repaired.

    `switched`: settings at other values than the era's; those of an earlier `up` stay as they were. `progress` is told what
    takes time. InputError for an unknown era or setting, StackError (with the log to read) if it can't be done.
    """
    ground = place(name or f"meetings-{era}")
    values.load(era, switched)
    with ground.lock(progress):
        _same_era(ground, era)
        switches = {**_switched(ground), **(switched or {})}
        wanted = values.load(era, switches)
        if switches == _switched(ground) and _whole(wanted, ground):
            progress(f"{ground.name} is up already")
            _revive_reaper(ground)
            return ground.stack
        try:
            _bring_up(wanted, ground, progress, switches)
        except BaseException:
            _end(ground)
            raise
    return ground.stack


def down(name: str) -> None:
    """End every process of a stack and remove its folder. Nothing happens if there is none. An era means its own stack."""
    ground = _named(name)
    with ground.lock(lambda _: None):
        _end(ground)
        ground.remove()


def status(name: str) -> list[Part]:
    """Return the parts of a stack, supervisord first and each with its state. InputError if there is no such stack."""
    ground = _named(name)
    if name not in listing() and ground.name not in listing():
        raise InputError(f"there is no stack {name!r} on this machine", "`aftershock stack ls` lists those there are")
    try:
        kept = supervisor.programs(ground.supervisor)
        itself = Part("supervisord", "RUNNING", f"pid {supervisor.supervisor_pid(ground.supervisor)}", up=True)
    except TargetError:
        left = len(processes.of(ground.folder))
        detail = f"`aftershock stack up` starts it; {left} processes are left over" if left else "the stack is down"
        return [Part("supervisord", "not running", detail, up=False)]
    return [itself, *map(_part, kept), *_doors(ground)]


def listing() -> list[str]:
    """Return the names of this machine's stacks: those with a folder, and those with processes left over from one."""
    home = place("x").folder.parent
    orphaned = {Path(each.folder).name for each in processes.marked() if Path(each.folder).parent == home}
    return sorted({each.name for each in places()} | orphaned)


def _named(name: str) -> Place:
    return place(f"meetings-{name}" if name in values.eras() else name)


def _end(ground: Place) -> None:
    """End every process of the stack, and give back the memory of servers that were killed, half-made ones too."""
    processes.end(ground.folder, ground.supervisor)
    for told in ground.folder.glob("postgresql/*/**/postmaster.pid"):
        postgres.release(told.parent)


def _same_era(ground: Place, era: str) -> None:
    other = read_record(ground.record).get("era", era)
    if other != era:
        raise StackError(
            f"{ground.name} is a stack of era {other}",
            f"`aftershock stack down {ground.name}` first, or choose another --name",
        )


def _switched(ground: Place) -> dict[str, str]:
    """Return the settings that an earlier `up` was given."""
    found = read_record(ground.record).get("switched")
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _recorded(ground: Place) -> Layout | None:
    """Return what an earlier `up` decided, if that can be read."""
    record, passwords = read_record(ground.record), read_record(ground.secrets / "passwords.json")
    chosen, instance = record.get("ports"), record.get("instance")
    if not isinstance(chosen, dict) or not isinstance(instance, str):
        return None
    ways = record.get("hosts")
    return Layout(
        ground.name, ground.folder, ground.logs, ground.supervisor, chosen, passwords, instance,
        ways if isinstance(ways, dict) else {},
    )  # fmt: skip


def _whole(wanted: Values, ground: Place) -> bool:
    """Tell whether the stack is up, all of it, by asking it. A stack that has just been started may need a moment."""
    layout = _recorded(ground)
    if layout is None or not ground.stack.exists() or set(layout.ports) != set(wanted_ports(wanted)):
        return False
    if not set(layout.passwords) >= set(wanted_passwords(wanted)):  # an earlier version left open what this one closes
        return False
    end = time.monotonic() + 2.0
    try:
        supervisor.supervisor_pid(ground.supervisor)
        while ready.missing_now(wanted, layout):
            if time.monotonic() > end:
                return False
            time.sleep(ready.PAUSE)
    except (TargetError, ready.NotReady):
        return False
    return True


def _revive_reaper(ground: Place) -> None:
    """Start the reaper again if it has been given up on. The stack is up without it: `status` shows it."""
    try:
        fallen = [each.program for each in supervisor.programs(ground.supervisor) if each.pid is None]
        if REAPER in fallen:
            supervisor.start(SupervisorControl(url=ground.supervisor, program=REAPER))
    except TargetError:
        return


def _bring_up(wanted: Values, ground: Place, progress: Progress, switches: Mapping[str, str]) -> None:
    account = unprivileged()
    _end(ground)  # whatever an earlier command left
    ground.make(account)
    programs = _programs(wanted, ground, progress)
    layout = _decided(wanted, ground)
    clusters.make(wanted, ground, layout, progress)
    stores.make(wanted, ground, layout, programs.installed, progress)
    for attempt in range(TRIES):
        if attempt or not layout.ports or any(map(ports.taken, layout.ports.values())):
            layout = replace(layout, ports=_chosen(wanted))
        _write(wanted, ground, layout, programs, switches)
        progress(f"starting {ground.name}" if not attempt else "a port was taken meanwhile: starting again with others")
        failed = _started(wanted, ground, layout)
        if failed is None:
            return
        _end(ground)
        if not failed.robbed and not any(map(ports.taken, layout.ports.values())):
            raise _explained(failed, ground)
    raise StackError(
        f"a port was taken from under {ground.name} {TRIES} times", "find out who takes them, and try again"
    )


def _programs(wanted: Values, ground: Place, progress: Progress) -> Programs:
    """Return what is run, but for the databases, whose command lines need ports."""
    there = {name: str(installed.program(name)) for name in needed(wanted)}
    if not toxiproxy.ready():
        progress(f"building Toxiproxy {toxiproxy.VERSION}, once for this machine (about 30 s)")
    built = toxiproxy.program({processes.MARK: str(ground.folder)})
    account = unprivileged()
    lent = patroni.lent(sys.executable, account) if wanted.failing_over() else ([], None)
    return Programs(sys.executable, str(built), {}, account.name if account else None, there, lent)


def needed(wanted: Values) -> list[str]:
    """Return the programs that a stack needs installed."""
    failing_over = wanted.failing_over()
    kinds = {
        "haproxy": [*wanted.gateways, *failing_over],
        "redis-server": wanted.caches,
        "gdnsd": wanted.resolver,
        "patroni": failing_over,
        "etcd": wanted.stores,
    }
    return [name for name, parts in kinds.items() if parts]


def _decided(wanted: Values, ground: Place) -> Layout:
    """Return names and passwords: those that its databases were made with by an earlier `up`, new ones for what has none."""
    earlier = _recorded(ground)
    there = read_record(ground.secrets / "passwords.json")
    passwords = {key: there.get(key) or secrets.token_hex(16) for key in wanted_passwords(wanted)}
    if passwords != there:
        write(ground.secrets / "passwords.json", json.dumps(passwords))
    usable = earlier is not None and set(earlier.ports) == set(wanted_ports(wanted))
    before = earlier.ports if earlier is not None and usable else {}
    instance = secrets.token_hex(8)
    return Layout(
        ground.name, ground.folder, ground.logs, ground.supervisor, before, passwords, instance, hosts(wanted)
    )


def _chosen(wanted: Values) -> dict[str, int]:
    names = wanted_ports(wanted)
    return shared(wanted, dict(zip(names, ports.choose(len(names)), strict=True)))


def _write(wanted: Values, ground: Place, layout: Layout, programs: Programs, switches: Mapping[str, str]) -> None:
    record = {
        "era": wanted.era, "instance": layout.instance, "ports": dict(layout.ports), "switched": dict(switches),
        "hosts": dict(layout.hosts),
    }  # fmt: skip
    write(ground.record, json.dumps(record, indent=1))
    for name, text in secret_files(wanted, layout).items():
        write(ground.secrets / name, text)
    for name, text in configurations(wanted, layout).items():
        write(ground.folder / name, text)
    if wanted.resolver is not None:
        ground.make_resolver(wanted.resolver.name, resolver(wanted, layout), unprivileged())
    before, _ = programs.lent
    for database, failover in wanted.failing_over():
        for name in failover.members:
            config = patroni.member(wanted, database, name, layout, str(ground.cluster(name)))
            # What the account is lent, it may use for what is written there: so it must not be able to write it.
            owner = None if before else unprivileged()
            ground.make_member(name, {patroni.CONFIG: config, **patroni.programs()}, owner)
    user = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() == 0 else str(os.geteuid())
    whole = replace(programs, databases=clusters.commands(wanted, ground, layout))
    write(ground.config, supervisord(wanted, layout, whole, user))
    write(ground.stack, stack(wanted, layout))


def _started(wanted: Values, ground: Place, layout: Layout) -> ready.NotReady | None:
    """Start supervisord and wait for the stack; return why it isn't up, None if it is."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", ground.config], check=False, cwd="/",
            env=_environment(ground), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return ready.NotReady(f"supervisord did not start within {PATIENCE:.0f} s", "supervisord")
    if done.returncode != 0:
        return ready.NotReady(f"supervisord did not start: {(done.stderr or done.stdout).strip()}", "supervisord")
    try:
        ready.wait(wanted, layout)
    except ready.NotReady as failed:
        return failed
    return None


def _environment(ground: Place) -> dict[str, str]:
    """Return what every process of the stack inherits: its mark, our own folders and code, and nothing else of ours."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "AFTERSHOCK_HOME", "AFTERSHOCK_CACHE", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    code = Path(__file__).parent.parent.parent
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONPATH": str(code),
        processes.MARK: str(ground.folder),
    }


def _explained(failed: ready.NotReady, ground: Place) -> StackError:
    log = ground.logs / f"{failed.program}.log"
    try:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    except OSError:
        said = []
    tail = "".join(f"\n    {line}" for line in said)
    return StackError(
        f"{ground.name} did not come up: {failed}{tail}",
        f"read {log}; `aftershock stack down {ground.name}` clears everything for a new start",
    )


def _part(kept: supervisor.Info) -> Part:
    """STARTING is up: supervisord calls a process so in its first second."""
    up = kept.state in ("RUNNING", "STARTING")
    return Part(kept.program, kept.state, f"pid {kept.pid}" if up else f"{kept.because}; see {kept.log}", up)


def _doors(ground: Place) -> list[Part]:
    """Return the links that clients come through, each with its address and whether the service behind it is ready."""
    layout = _recorded(ground)
    try:
        wanted = values.load(str(read_record(ground.record).get("era")))
    except InputError:
        return []
    if layout is None:
        return []
    doors = [link.name for link in wanted.links if link.from_ == CLIENT and link.name in layout.ports]
    answers = {door: ready.ask(layout.ports[door], "/readyz", layout.host(door)) for door in doors}
    return [
        Part(door, "ready" if answer and "instance" in answer else "not ready", layout.url(door), "instance" in (answer or {}))
        for door, answer in answers.items()
    ]  # fmt: skip
