"""`/healthz` over HTTP, for a kubelet that asks whether this process still does its work, and not only whether it lives."""

from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from aftershock.errors import TargetError


@dataclass(frozen=True)
class Served:
    """A server that is up. Call it to end it."""

    server: ThreadingHTTPServer
    thread: Thread

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_port)

    def __call__(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve(port: int, amiss: Callable[[], str], address: str = "0.0.0.0") -> Served:  # noqa: S104 - a pod's own address
    """Answer 200 while `amiss` returns nothing, and 503 with what it says otherwise. Port 0 is any free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Ask, and answer."""
            wrong = amiss()
            body = (wrong or "ok").encode()
            self.send_response(503 if wrong else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the library's own name
            """Say nothing: it is asked every few seconds."""

    try:
        server = ThreadingHTTPServer((address, port), Handler)
    except OSError as error:
        raise TargetError(
            f"can't serve /healthz on port {port}: {error.strerror}", "choose another with --health-port"
        ) from None
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return Served(server, thread)
