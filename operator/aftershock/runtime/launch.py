"""Runs an experiment in the foreground: folder, locks, journal, signals around the executor; judge and reports after it."""

import asyncio
import os
import signal
import string
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from aftershock import __version__
from aftershock.adapters import secrets
from aftershock.adapters.store import Journal
from aftershock.core.history import Aborting, Any_, Begun, Entered, Healed, History, Intended
from aftershock.core.judge import judge_all
from aftershock.core.redact import Redactor
from aftershock.core.verdict import Judgement
from aftershock.errors import AftershockError, HeldError
from aftershock.model.load import Document, Kind
from aftershock.model.metadata import Metadata
from aftershock.model.run import Run, RunSpec, RunStatus
from aftershock.runtime import conclude
from aftershock.runtime.clock import RunClock
from aftershock.runtime.executor import Executor
from aftershock.runtime.folders import RunFolder, stack_held
from aftershock.runtime.loading import Request
from aftershock.runtime.recorder import Recorder, Watcher

if TYPE_CHECKING:
    from aftershock.runtime.shards import Start

TOKEN = 8
_ALPHABET = string.ascii_lowercase + string.digits


class Outcome(msgspec.Struct, frozen=True):
    """What came of a run. `failure` is the tool's own, if it failed; the history is judged all the same."""

    folder: RunFolder
    history: History
    judgements: Sequence[Judgement]
    failure: AftershockError | None


class Identity(msgspec.Struct, frozen=True):
    """What a run is called. `holds` is what no other run of this machine may hold meanwhile."""

    token: str
    folder: RunFolder
    holds: str

    @classmethod
    def new(cls, request: Request) -> "Identity":
        """Name a run of this machine: after its experiment, with a token nobody else has."""
        number, letters = int.from_bytes(os.urandom(16)), ""
        while len(letters) < TOKEN:
            number, place = divmod(number, len(_ALPHABET))
            letters += _ALPHABET[place]
        return cls(letters, RunFolder(request.runs / f"{request.experiment.name}-{letters}"), request.stack.name)


def _say(text: str) -> None:
    """Write to standard error, whatever becomes of this process next; standard output may be read by a machine.

    That nobody hears it (the terminal is gone) must not keep a run from healing.
    """
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class Audience(msgspec.Struct, frozen=True):
    """Who takes part in a run besides its executor.

    `watchers` get each event; `warn` what a person has to know at once (it has to write it out before it returns);
    `published` the run's record whenever it changes; `beside` runs beside the executor, which it may tell to abort.
    `generators` starts those that share a load; None for processes beside this one.
    """

    watchers: Sequence[Watcher] = ()
    warn: Callable[[str], object] = _say
    published: Callable[[Run], object] = lambda run: None
    beside: Callable[[Executor], Awaitable[object]] | None = None
    generators: "Start | None" = None


def launch(request: Request, watchers: Sequence[Watcher] = (), warn: Callable[[str], object] = _say) -> Outcome:
    """Run a checked request to its verdict. HeldError where another run holds the stack; nothing is touched then."""
    return launch_as(Identity.new(request), request, Audience(watchers, warn))


def launch_as(identity: Identity, request: Request, audience: Audience) -> Outcome:
    """Do the same under a name that was given, with all who take part."""
    folder = identity.folder
    with ExitStack() as held:
        held.enter_context(stack_held(identity.holds, folder.name))
        lock = folder.lock()
        if lock is None:
            raise HeldError(f"a run named {folder.name} is going on", "run again")
        held.callback(os.close, lock)
        return _launch(request, identity, audience)


def _launch(request: Request, identity: Identity, audience: Audience) -> Outcome:
    clock, folder = RunClock(), identity.folder
    status = _Status(folder, request, clock, audience.published)
    journal = Journal.open(folder.journal)
    recorder = Recorder(journal, [status.follow, *audience.watchers])
    inputs = request.inputs(folder.name, identity.token)
    try:
        recorder.record(_begun(request, folder.name, identity.token, clock), durable=True)
        executor = Executor(inputs, recorder, clock, generators=audience.generators)
        asyncio.run(_in_company(executor, folder, audience))
    finally:
        journal.close()
    history = recorder.history()
    judgements = judge_all(history, request.eras)
    failure = executor.failure or recorder.failure
    if not recorder.broken:
        try:
            status.finish(judgements)
        except AftershockError as error:
            failure = failure or error
    return Outcome(folder, history, judgements, failure)


def _begun(request: Request, run: str, token: str, clock: RunClock) -> Begun:
    system = os.uname()  # the module `platform` would start a program to find out more
    document = Redactor(secrets.seen()).document
    documents: list[Document[Kind]] = [request.experiment, request.stack, *request.era_documents]
    return Begun(
        at=clock.now(),
        run=run,
        token=token,
        origin=clock.epoch,
        experiment=document(request.experiment.tree),
        stack=document(request.stack.tree),
        eras=[document(era.tree) for era in request.era_documents],
        judge_by=[era.metadata.name for era in request.eras],
        fingerprints={f"{each.kind}/{each.name}": each.sha256 for each in documents},
        versions={
            "aftershock": __version__,
            "python": sys.version.split()[0],
            "system": f"{system.sysname} {system.release} {system.machine}",
        },
    )


async def _in_company(executor: Executor, folder: RunFolder, audience: Audience) -> None:
    """Execute, with signals heard, and with what goes on beside it for as long."""
    _hear_signals(executor, folder, audience.warn)
    if audience.beside is None:
        await executor.execute()
        return
    beside = asyncio.ensure_future(audience.beside(executor))
    try:
        await executor.execute()
    finally:
        beside.cancel()


def _hear_signals(executor: Executor, folder: RunFolder, warn: Callable[[str], object]) -> None:
    loop = asyncio.get_running_loop()
    told: list[str] = []

    def interrupted(name: str) -> None:
        told.append(name)
        if len(told) > 1:
            warn(_left_to_the_reaper(executor.recorder.history()))
            os._exit(2)
        warn(f"{name}: healing, then judging; once more to leave at once")
        halted = folder.halted()
        message = "ended by `aftershock halt`" if halted else f"interrupted by {name}"
        executor.abort(Aborting(at=executor.clock.now(), reason="Halt" if halted else "User", message=message))
        executor.stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            loop.add_signal_handler(number, interrupted, number.name)


def _left_to_the_reaper(history: History) -> str:
    healed = {event.injection for event in history.all(Healed) if event.clean}
    left = [
        f"  {event.lease} at {event.target}, until {datetime.fromtimestamp(event.expires, UTC):%H:%M:%S} UTC"
        for event in history.all(Intended)
        if event.injection not in healed
    ]
    return "\n".join(["left to the reaper:", *left]) if left else "nothing is left to the reaper"


class _Status:
    """Keeps the run's record in step with the journal."""

    def __init__(
        self, folder: RunFolder, request: Request, clock: RunClock, published: Callable[[Run], object]
    ) -> None:
        self._folder, self._published = folder, published
        self._started = datetime.fromtimestamp(clock.epoch, UTC).isoformat(timespec="seconds")
        self._spec = RunSpec(experiment=request.experiment.name, stack=request.stack.name)
        self._era = request.eras[0].metadata.name if len(request.eras) == 1 else None

    def follow(self, event: Any_) -> None:
        """Write the record anew when the run moves."""
        if isinstance(event, Begun | Entered):
            phase = "Pending" if isinstance(event, Begun) else event.phase
            executor = str(os.getpid())
            self._write(RunStatus(phase=phase, era=self._era, started=self._started, executor=executor))  # type: ignore[arg-type]

    def finish(self, judgements: Sequence[Judgement]) -> None:
        """Write the verdict."""
        self._write(conclude.status(judgements, self._started, datetime.now(UTC).isoformat(timespec="seconds")))

    def _write(self, status: RunStatus) -> None:
        run = Run(
            api_version="aftershock.dev/v1alpha1",
            metadata=Metadata(name=self._folder.name),
            spec=self._spec,
            status=status,
        )
        self._folder.write(run)
        self._published(run)
