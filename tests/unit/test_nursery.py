"""The process that executors are forked from has loaded what each of them uses: none pays for that by itself."""

import subprocess
import sys

LOADED = """
import sys
from aftershock.adapters import kubernetes
from aftershock.runtime.cluster import nursery
nursery._import()
before = set(sys.modules)
kubernetes.pykube.HTTPClient, kubernetes.requests.Session, kubernetes.door.Door
import aftershock.adapters.toxiproxy_python, aftershock.probes.process
print(*sorted(set(sys.modules) - before))
"""


def test_who_is_forked_off_it_finds_what_it_needs_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
