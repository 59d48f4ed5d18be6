"""The server that every load generator is held against: one thread, one core, the same short answer to whatever comes.

Run: python bench/small_server.py PORT [CORE]. It does as little as a server can, so that it isn't what is measured.
"""

import os
import select
import socket
import sys

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: small\r\nDate: Mon, 23 Nov 2026 15:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 13\r\n\r\nHello, World!"
)


def main(port: int, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(0)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    lines: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                line, _ = listener.accept()
                line.setblocking(0)
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                lines[line.fileno()] = line
                epoll.register(line, select.EPOLLIN)
            elif not serve(lines[fd]):
                epoll.unregister(fd)
                lines.pop(fd).close()


def serve(line: socket.socket) -> bool:
    """Answer once for what came; no generator here sends a second request before its answer, or one in two pieces."""
    try:
        if not line.recv(65536):
            return False
        line.send(ANSWER)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
