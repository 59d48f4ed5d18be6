"""Does a run's executor live? Two answers, for the two things that an executor can be."""

from collections.abc import Mapping
from typing import Any

from aftershock.adapters.kubernetes import PODS, Api
from aftershock.runtime.cluster import objects
from aftershock.runtime.folders import RunFolder

OVER = ("Succeeded", "Failed")


class ByLock:
    """Executors that are processes of this machine: each holds a lock on its run's folder."""

    def alive(self, run: Mapping[str, Any]) -> bool:
        """Ask the kernel whether the lock is held."""
        meta = run["metadata"]
        return RunFolder(objects.run_folder(meta["name"], objects.token(meta["uid"]))).alive()


class ByPod:
    """Executors that are pods; `status.executor` names theirs."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def alive(self, run: Mapping[str, Any]) -> bool:
        """Ask the API for the pod. One that is gone or has ended carries out nothing any more."""
        pod = self._api.find(PODS, run["status"]["executor"], run["metadata"]["namespace"])
        return pod is not None and (pod.get("status") or {}).get("phase") not in OVER
