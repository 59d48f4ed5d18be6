"""One thread's event loop: wait on sockets until an instant, to the microsecond; and timers for what is rare.

No asyncio: a wait that is only good to a millisecond, and a task a request, would cost what the promises of timing need.
Handlers must bear being called for nothing.
"""

import select
import socket
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from aftershock.probes.schedule import NEVER, SECOND

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
_LONGEST = 60 * SECOND
_BURST = 256
"""Events handled in one turn, so that sending never waits long for receiving."""

Handler = Callable[[int], None]


class Loop:
    """`now` counts nanoseconds since `origin`, which is on CLOCK_MONOTONIC."""

    def __init__(self, origin: int) -> None:
        self._origin = origin
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        self._dropped: list[socket.socket] = []
        self._pollers = [self._epoll.fileno()]

    def now(self) -> int:
        """Return nanoseconds since the run's origin."""
        return time.monotonic_ns() - self._origin

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        """Call `handler` with what happened, whenever something of `mask` happens. OSError where `fd` can't be watched."""
        self._epoll.register(fd, mask)
        self._handlers[fd] = handler

    def rewatch(self, fd: int, mask: int, handler: Handler) -> None:
        """Change mask and handler of a watched descriptor."""
        self._epoll.modify(fd, mask)
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Watch no longer. The descriptor must still be open."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def drop(self, sock: socket.socket) -> None:
        """Watch no longer, and close once this turn is over: its number must not come back while events may name it."""
        self.unwatch(sock.fileno())
        self._dropped.append(sock)

    def later(self, at: int, call: Callable[[], None]) -> None:
        """Call at `at` or soon after."""
        heappush(self._timers, (at, next(self._numbers), call))

    @property
    def next_timer(self) -> int:
        """When the next timer is due."""
        return self._timers[0][0] if self._timers else NEVER

    def wait(self, until: int) -> list[tuple[int, int]]:
        """Wait for events, at the longest until `until`; return what `handle` takes.

        epoll's own timeout is in whole milliseconds, select's is not.
        """
        left = min(until - self.now(), _LONGEST)
        if left > 0 and not select.select(self._pollers, (), (), left / SECOND)[0]:
            return []
        return self._epoll.poll(0, _BURST)

    def handle(self, events: list[tuple[int, int]], now: int) -> None:
        """Call the handlers of `events`, then the timers that are due."""
        handlers = self._handlers
        for fd, mask in events:
            handler = handlers.get(fd)
            if handler is not None:
                handler(mask)
        while self._timers and self._timers[0][0] <= now:
            heappop(self._timers)[2]()
        if self._dropped:
            self._close_dropped()

    def _close_dropped(self) -> None:
        for sock in self._dropped:
            sock.close()
        self._dropped.clear()

    def close(self) -> None:
        """Let go of everything."""
        self._close_dropped()
        self._epoll.close()
