"""The executor's side of a prober: starts the process, tells it what to do, and hears what it measured."""

import asyncio
import contextlib
import os
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO

from aftershock.errors import TargetError
from aftershock.probes import order as orders
from aftershock.probes.order import Command, Finish, Heard, Order, Ping, Rates, Refused

__all__ = ["Addressed", "Order", "Prober"]

START = 15.0
"""Seconds that a prober may take until it is ready: names have to be resolved."""

_LINE = 16 * 1024 * 1024
_TAIL = 2000


class Addressed(ABC):
    """A prober that can be told what to do, however far away. Nothing is raised where it is gone."""

    @abstractmethod
    async def _say(self, line: bytes) -> None:
        """Send a line to it."""

    async def rates(self, steps: Sequence[tuple[float, float]]) -> None:
        """Set the load's schedule from now on: (run second, requests per second) each."""
        await self._tell(Rates([(float(at), float(rate)) for at, rate in steps]))

    async def ping(self, at: float) -> None:
        """Ask for its clock; the answer is among the events."""
        await self._tell(Ping(at))

    async def finish(self) -> None:
        """Ask to send no more, to read ledgers back and to end; its events then end by themselves."""
        await self._tell(Finish())

    async def _tell(self, command: Command) -> None:
        await self._say(orders.encode(command))


class Prober(Addressed):
    """A running prober. `events` has to be read on, or records are dropped in the end."""

    def __init__(self, process: asyncio.subprocess.Process, stderr: IO[bytes]) -> None:
        self._process = process
        self._stderr = stderr
        self._killed = False
        self._heard = False

    @classmethod
    async def start(cls, order: Order) -> "Prober":
        """Start a prober; return once it has read secrets and resolved names.

        InputError or TargetError with the prober's own words where it can't carry out the order.
        """
        stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        creating = asyncio.ensure_future(_process(stderr))
        try:
            prober = cls(await asyncio.shield(creating), stderr)
        except asyncio.CancelledError:
            await cls(await creating, stderr).kill()  # given up in between, asyncio would lose sight of the process
            raise
        try:
            await prober._greet(order)
        except BaseException:
            await prober.kill()
            raise
        return prober

    async def _greet(self, order: Order) -> None:
        await self._say(orders.encode(order))
        try:
            line = await asyncio.wait_for(self._out.readline(), START)
        except TimeoutError:
            raise TargetError(
                f"the prober was not ready within {START:.0f} s", "check that this machine's name resolution answers"
            ) from None
        if not line:
            await self._process.wait()
            raise self._died()
        reply = orders.read_reply(line)
        if isinstance(reply, Refused):
            raise reply.error()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def _out(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def where(self) -> str:
        """What to call it to a person."""
        return f"process {self.pid}"

    async def events(self) -> AsyncIterator[Heard]:
        """Give out records as they come; end with the process. TargetError after the last one if it died by itself."""
        self._heard = True
        while line := await self._out.readline():
            event = orders.read_heard(line)
            if event is not None:
                yield event
        await self._process.wait()
        try:
            if self._process.returncode and not self._killed:
                raise self._died()
        finally:
            self._let_go()

    async def kill(self) -> None:
        """End the process at once. Never raises."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        while not self._heard and await self._out.read(65536):
            pass
        await self._process.wait()
        self._let_go()

    async def _say(self, line: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):  # it is gone: `events` says so
            stdin.write(line)
            await stdin.drain()

    def _died(self) -> TargetError:
        self._stderr.seek(0)
        said = self._stderr.read()[-_TAIL:].decode("utf-8", "replace").strip()
        code = self._process.returncode
        return TargetError(
            f"the prober (process {self.pid}) ended by itself with {code}: {said or 'it said nothing'}",
            "what was measured until then is in the journal; run again",
        )

    def _let_go(self) -> None:
        self._stderr.close()
        if self._process.stdin is not None:
            self._process.stdin.close()


def _environment() -> dict[str, str]:
    """Return this process's environment, with this very package in the path of the child."""
    import aftershock  # noqa: PLC0415

    here = str(Path(aftershock.__file__).parent.parent)
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{path}" if path else here}


async def _process(stderr: IO[bytes]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "aftershock.probes.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        env=_environment(),
        limit=_LINE,
        start_new_session=True,  # Ctrl-C reaches the executor alone
    )
