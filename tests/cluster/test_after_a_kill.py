"""A test run that was killed leaves a bridge, a folder and control groups: the next one clears them, by their names.

Runs in `make soak`: it has a cluster of its own, and so comes before the one that the other files share.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aftershock.stacks import programs as built
from cluster import ground, images

pytestmark = pytest.mark.skipif(not os.environ.get("AFTERSHOCK_SOAK"), reason="AFTERSHOCK_SOAK is not set")

KILLED = f"""
import sys, time
sys.path[:0] = {[str(Path(__file__).parent.parent), str(images.ROOT / "operator")]!r}
from pathlib import Path
from aftershock.stacks import programs as built
from cluster import images
from cluster.cluster import standing
with standing(built.all_of([*built.CONTROL_PLANE, *built.NODES], lambda _: None), images.archive()) as running:
    pause = ["--image", images.PAUSE, "--restart=Never"]
    running.plane.kubectl("run", "left", *pause)
    running.plane.kubectl("wait", "pod/left", "--for=condition=Ready", "--timeout=120s")
    print("stands", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_run_left_is_cleared_by_the_next() -> None:
    if why := ground.why_not():
        pytest.skip(why)
    built.all_of([*built.CONTROL_PLANE, *built.NODES])
    images.archive()
    with ground.alone():
        with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None and run.stdout.readline() == "stands\n"
            assert ground.in_pods()
            run.send_signal(signal.SIGKILL)
        assert ground.left() != []
        ground.clear()
        assert ground.left() == []
