"""Does a run's executor live? It says what it is in `status.executor`: a pod, or a process as `host/id`.

What can't be told from here counts as living: a run is never ended on a guess.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aftershock.adapters.kubernetes import PODS, Api
from aftershock.runtime.cluster import objects
from aftershock.runtime.folders import LOCK, RunFolder

OVER = ("Succeeded", "Failed")


class Executors:
    """Executors wherever they are."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def alive(self, run: Mapping[str, Any]) -> bool:
        """Ask the kernel for the lock that a process of this machine holds, or the API for the pod."""
        name = str(run["status"]["executor"])
        host, _, process = name.partition("/")
        if process:
            return host != socket.gethostname() or _process_lives(run, process)
        pod = self._api.find(PODS, name, run["metadata"]["namespace"])
        return pod is not None and (pod.get("status") or {}).get("phase") not in OVER


def _process_lives(run: Mapping[str, Any], process: str) -> bool:
    """Ask for the lock; before it was ever taken, for the process, which has claimed the run and is about to take it."""
    folder = _folder(run)
    if (folder.path / LOCK).exists():
        return folder.alive()
    return process.isdecimal() and Path(f"/proc/{process}").exists()


def _folder(run: Mapping[str, Any]) -> RunFolder:
    meta = run["metadata"]
    return RunFolder(objects.run_folder(meta["name"], objects.token(meta["uid"])))
