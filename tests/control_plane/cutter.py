"""A TCP proxy whose connections can be cut, for what stands behind an API server: watches that end, in mid-word if need be."""

import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

_RESET = struct.pack("ii", 1, 0)
"""Linger for 0 s: closing sends RST, as a middlebox does that forgot the connection."""


class Cutter:
    """Passes bytes on to a port of 127.0.0.1, whatever they are; TLS is not its business."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut()

    def cut(self) -> int:
        """Reset every connection that is open now; return how many clients lost theirs. New ones are accepted."""
        with self._lock:
            ends = list(self._open)
            self._open.clear()
            for end in ends:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RD)  # wakes the thread that pumps it, which closes it
        self.cuts += len(ends) // 2
        return len(ends) // 2

    @contextmanager
    def cutting(self, every: float = 1.0) -> Iterator[None]:
        """Cut all connections again and again, each `every` seconds."""
        over = threading.Event()

        def loop() -> None:
            while not over.wait(every):
                self.cut()

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream), 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        try:
            _pump(client, server)
        finally:
            with self._lock:
                self._open -= {client, server}
                client.close()
                server.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on both ways until either side is done."""
    with suppress(OSError):
        while True:
            for end in select.select([one, other], [], [])[0]:
                data = end.recv(1 << 16)
                if not data:
                    return
                (other if end is one else one).sendall(data)
