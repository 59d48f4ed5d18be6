"""The prober's two ends towards the executor: lines in on stdin, lines out on stdout. Neither may ever block sending.

An executor that stops reading costs records, not requests: what doesn't fit into the buffer any more is dropped, counted
and said. Missing slices are missing data to the judge.
"""

import os
from collections import deque
from collections.abc import Callable

from aftershock.probes.loop import READ, WRITE, Loop

LIMIT = 16 * 1024 * 1024
"""Bytes of records that wait to be read: hours of probes."""


class Lines:
    """Lines that come in. `start` is what was read already, beyond the lines that were taken."""

    def __init__(
        self, loop: Loop, fd: int, start: bytes, on_line: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        self._fd = fd
        self._buffer = start
        self._on_line = on_line
        self._on_end = on_end
        try:
            loop.watch(fd, READ, self._on_readable)
        except PermissionError:  # a file, which is always readable: take all of it
            while self._read():
                pass

    def _on_readable(self, _mask: int) -> None:
        self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:  # a socket may wake us for nothing
            return False
        except OSError:
            data = b""
        if not data:
            self._on_end()
            return False
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        for line in lines:
            if line.strip():
                self._on_line(line)
        return True


class Out:
    """Lines that go out. `on_end` is called when nobody can read them any more."""

    def __init__(self, loop: Loop, fd: int, on_end: Callable[[], None]) -> None:
        self.dropped = 0
        self._loop = loop
        self._fd = fd
        self._on_end = on_end
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._watched = False
        os.set_blocking(fd, False)

    @property
    def empty(self) -> bool:
        """Whether everything was taken."""
        return not self._waiting

    def write(self, line: bytes) -> bool:
        """Send a line when there is room; False where it had to be dropped."""
        if self._size + len(line) > LIMIT:
            self.dropped += 1
            return False
        self._waiting.append(line)
        self._size += len(line)
        if not self._watched:
            self._flush(0)
        return True

    def _flush(self, _mask: int) -> None:
        while self._waiting:
            try:
                sent = os.write(self._fd, self._waiting[0])
            except BlockingIOError:
                break
            except OSError:
                self._waiting.clear()
                self._on_end()
                return
            self._size -= sent
            rest = self._waiting.popleft()[sent:]
            if rest:
                self._waiting.appendleft(rest)
        self._watch(wanted=bool(self._waiting))

    def _watch(self, *, wanted: bool) -> None:
        if wanted and not self._watched:
            self._loop.watch(self._fd, WRITE, self._flush)
        elif self._watched and not wanted:
            self._loop.unwatch(self._fd)
        self._watched = wanted
