"""Journals on a volume that both nodes mount, a folder of this machine: a test reads them where they lie."""

from collections.abc import Iterator
from contextlib import contextmanager

from aftershock.adapters import store
from aftershock.core.history import History
from cluster import ground
from cluster.conftest import upgrade
from cluster.doors import Namespace

CLAIM = "kept"
KEPT = ground.FOLDER / "journals"
VOLUME = f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {CLAIM}}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: [ReadWriteMany]
  storageClassName: ""
  hostPath: {{path: {KEPT}, type: Directory}}
  claimRef: {{name: {CLAIM}, namespace: NAMESPACE}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {CLAIM}}}
spec: {{accessModes: [ReadWriteMany], storageClassName: "", volumeName: {CLAIM}, resources: {{requests: {{storage: 1Gi}}}}}}
"""


@contextmanager
def kept(meetings: Namespace) -> Iterator[None]:
    """Have journals kept there, until the end of the block; a run that goes on then is to be gone by itself."""
    KEPT.mkdir(exist_ok=True)
    KEPT.chmod(0o777)
    meetings.kubectl("apply", "-f", "-", feed=VOLUME.replace("NAMESPACE", meetings.name))
    upgrade(meetings.cluster, "aftershock", "journals.store=pvc", f"journals.pvc.existingClaim={CLAIM}")
    try:
        yield
    finally:
        upgrade(meetings.cluster, "aftershock")


def history(meetings: Namespace, run: str) -> History:
    """Read the journal where it lies."""
    claim, _, path = meetings.tree("run", run)["status"]["journal"].removeprefix("pvc://").partition("/")
    assert claim == CLAIM
    return store.read(KEPT / path)
