"""Inject and heal one latency toxic: the adapter beside a bare keep-alive HTTP loop of the same calls.

Run: python bench/toxic.py [ROUNDS]. Prints the median microseconds of both and their ratio (aim: at most 1.3).
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from socket import create_connection, create_server

sys.path.insert(0, str(Path(__file__).parent.parent / "operator"))

from aftershock.adapters.toxiproxy import Proxy, Server, Toxic
from aftershock.stacks.toxiproxy import program

NAME = "aftershock.latency_downstream.benchmrk.1790000000"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    port = _free()
    process = subprocess.Popen([program(), "-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        with Server("bench", f"http://127.0.0.1:{port}") as server:
            server.create(Proxy("p", "127.0.0.1:0", "127.0.0.1:9"))
            bare, ours = _both(_bare(port), _ours(server), rounds)
    finally:
        process.terminate()
        process.wait()
    print("| what | beside | ratio | aim |")
    print("|---|---|---|---|")
    print(f"| inject + heal through the adapter | the same calls, bare keep-alive | {ours / bare:.2f} | <= 1.3 |")


def _both(one: Callable[[], None], other: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Take turns, so that whatever else the machine does falls on both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for each, took in zip((one, other), times, strict=True):
            begun = time.perf_counter()
            each()
            took.append(time.perf_counter() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


def _bare(port: int) -> Callable[[], None]:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    toxic = {
        "name": NAME, "type": "latency", "stream": "downstream", "toxicity": 1.0,
        "attributes": {"latency": 100, "jitter": 0},
    }  # fmt: skip

    def inject_and_heal() -> None:
        connection.request("POST", "/proxies/p/toxics", json.dumps(toxic), {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.request("DELETE", f"/proxies/p/toxics/{NAME}")
        connection.getresponse().read()

    return inject_and_heal


def _ours(server: Server) -> Callable[[], None]:
    toxic = Toxic(NAME, "latency", attributes={"latency": 100, "jitter": 0})

    def inject_and_heal() -> None:
        server.add_toxic("p", toxic)
        server.remove_toxic("p", NAME)

    return inject_and_heal


def _free() -> int:
    with create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit("Toxiproxy did not start")


if __name__ == "__main__":
    main()
