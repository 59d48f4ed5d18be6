"""The first process of a node. It runs what it is told, buries what others leave behind, and with it the node ends.

Stands alone: it runs in the node's namespaces, where nothing of this repository is needed.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path


def main(plan: Path) -> int:
    told = json.loads(plan.read_text())
    socket.sethostname(told["hostname"])
    for line in (
        ["mount", "--make-rshared", "/"],  # of this namespace alone: volumes of pods are to be seen by other pods
        ["mount", "-t", "tmpfs", "tmpfs", "/run/netns"]
        if Path("/run/netns").is_dir()
        else ["mkdir", "-p", "/run/netns"],
    ):
        subprocess.run(line, check=True)
    Path(told["apart"]).touch()
    wait(lambda: Path("/proc/net/route").read_text().count("eth0") >= 2)
    children = [start("containerd", told["containerd"], plan.parent)]
    wait(Path(told["socket"]).exists)
    wait(lambda: subprocess.run(told["import"], check=False).returncode == 0)
    children += [start(name, line, plan.parent) for name, line in told["programs"].items()]
    return bury({child.pid for child in children})


def start(name: str, line: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")


def wait(done: object) -> None:
    end = time.monotonic() + 120
    while not done():  # type: ignore[operator]
        if time.monotonic() > end:
            sys.exit("this took more than 120 s")
        time.sleep(0.05)


def bury(own: set[int]) -> int:
    """Wait for children, adopted ones too, until one of the node's own programs ends: no node without it."""
    while True:
        pid, status = os.wait()
        if pid in own:
            print(f"process {pid} of the node ended: {status}", file=sys.stderr, flush=True)
            return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
