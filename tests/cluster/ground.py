"""Where the cluster stands on this machine: its names, its addresses, what the machine must have, and how it is cleared.

Everything of the cluster bears one of these names, so that the next run can clear what a killed one left, and nothing else.
What lives in a namespace (mounts, shims, interfaces) ends with the node's first process; only what is named here can stay.
"""

import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

FOLDER = Path("/var/lib/aftershock-test-cluster")
INTERFACE = "aftershock"
BRIDGE = f"{INTERFACE}0"
MARK = "AFTERSHOCK_TEST_CLUSTER"
"""In the environment of every process of the cluster but for those in pods."""

HOST = "172.31.250.1"
NODES = ip_network("172.31.250.0/24")
PODS = ip_network("10.88.0.0/16")
SERVICES = "10.96.0.0/16"
DNS = "10.96.0.10"

PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
"""Some shells of root have no sbin."""
PATIENCE = 900.0
"""Seconds that another test run on this machine may keep the cluster's names."""

PACKAGES = {
    "containerd": "containerd", "ctr": "containerd", "runc": "runc", "iptables": "iptables", "ip": "iproute2",
    "conntrack": "conntrack", "debootstrap": "debootstrap", "buildah": "buildah", "unshare": "util-linux",
    "setpriv": "util-linux", "nsenter": "util-linux", "openssl": "openssl", "nft": "nftables",
}  # fmt: skip
PLUGINS = Path("/usr/lib/cni")


def why_not() -> str | None:
    """Return in one line why no cluster can stand here, None if it can."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "a cluster with nodes needs root on Linux"
    packages = {package for program, package in PACKAGES.items() if shutil.which(program, path=PATH) is None}
    packages |= set() if (PLUGINS / "ptp").exists() else {"containernetworking-plugins"}
    if packages:
        return f"a cluster with nodes needs these packages: {' '.join(sorted(packages))}"
    for what, line in _TRIALS.items():
        done = subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH})
        if done.returncode != 0:
            return f"a cluster with nodes needs {what}, and this machine says: {_last(done.stderr)}"
    return _taken()


_OVERLAY = """mount -t tmpfs t /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/o \\
&& mount -t overlay -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w o /mnt/o"""
_TRIALS = {
    "namespaces": ["unshare", "--net", "--pid", "--mount", "--fork", "--mount-proc", "true"],
    "virtual ethernet": ["unshare", "--net", "ip", "link", "add", "name", "va", "type", "veth", "peer", "name", "vb"],
    "bridges": ["unshare", "--net", "ip", "link", "add", "name", "bridge0", "type", "bridge"],
    "iptables": ["unshare", "--net", "iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"],
    "overlay file systems": ["unshare", "--mount", "sh", "-c", _OVERLAY],
}  # fmt: skip


def _taken() -> str | None:
    """Tell whether the addresses lead elsewhere."""
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    for line in routes.splitlines():
        first = line.split()[0]
        if first[0].isdigit() and f"dev {BRIDGE}" not in line:
            found = ip_network(first)
            if found.prefixlen > 0 and (found.overlaps(NODES) or found.overlaps(PODS)):
                return f"a cluster with nodes needs {NODES} and {PODS}, and this machine has a route {line.strip()!r}"
    return None


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1]


@contextmanager
def alone() -> Iterator[None]:
    """Hold the cluster's names: one test run on a machine has them, the next one waits."""
    lock = (
        Path("/run/lock/aftershock-test-cluster")
        if Path("/run/lock").is_dir()
        else Path("/tmp/aftershock-test-cluster")
    )
    with lock.open("w") as held:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert time.monotonic() < end, f"another test run has had the cluster for {PATIENCE:.0f} s ({lock})"
                time.sleep(0.5)
        yield


def clear() -> None:
    """Remove whatever bears the cluster's names: processes first, then what they held. AssertionError if some stays."""
    end = time.monotonic() + 30
    while pids := [*programs(), *in_pods()]:
        assert time.monotonic() < end, f"these processes of the cluster would not end: {pids}"
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    while found := interfaces():
        assert time.monotonic() < end, f"these interfaces of the cluster would not go: {found}"
        subprocess.run(["ip", "link", "del", found[0]], capture_output=True, check=False)
    while found := [place for group in groups() for place in [group, *group.rglob("*/")]]:
        assert time.monotonic() < end, f"these control groups of the cluster would not go: {found}"
        for place in sorted(found, key=lambda each: -len(each.parts)):
            with suppress(OSError):  # a process of it is just ending
                place.rmdir()
    for place in [*_parents(), _cpu_groups() / INTERFACE]:
        with suppress(OSError):  # others have containers; most often there is none
            place.rmdir()
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    assert left() == []


def left() -> list[str]:
    """Return what there is of the cluster, in words."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [
        *(f"process {pid}" for pid in [*programs(), *in_pods()]),
        *(f"interface {name}" for name in interfaces()),
        *(f"mount {place}" for place in mounts if place.startswith(f"{FOLDER}/")),
        *(str(place) for place in [FOLDER, *groups()] if place.exists()),
    ]


def programs() -> list[int]:
    """Return the cluster's own processes: those that carry its mark."""
    mark = f"{MARK}=".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if any(each.startswith(mark) for each in (entry / "environ").read_bytes().split(b"\0")):
                    found.append(int(entry.name))
    return found


def in_pods() -> list[int]:
    """Return the processes of pods: they carry nothing, but are in the control groups of the cluster's containers."""
    found = set()
    for group in groups():
        with suppress(OSError):  # a container's group goes while it is looked through
            for file in group.rglob("cgroup.procs"):
                with suppress(OSError):
                    found |= {int(pid) for pid in file.read_text().split()}
    return sorted(found - {0})


def interfaces() -> list[str]:
    """Return the bridge and what is plugged into it, on this side."""
    return sorted(each.name for each in Path("/sys/class/net").iterdir() if re.fullmatch(rf"{INTERFACE}\d+", each.name))


def groups() -> list[Path]:
    """Return the control groups of the cluster's containers. containerd calls their parent k8s.io everywhere, so that it
    is each container's own folder that tells whether it is ours.
    """
    known = [*FOLDER.glob("*/containerd/io.containerd.grpc.v1.cri/*/*"), *FOLDER.glob("*/state/*/k8s.io/*")]
    names = {place.name for place in known}
    return [place for parent in _parents() for place in parent.iterdir() if place.name in names]


def prefer() -> None:
    """Let the pods have the processor when they want it: all of them together would count as much as one other program,
    and a prober that doesn't get its turn makes a verdict Inconclusive. To be called before there is a container.
    """
    _preferred(PODS_GROUP)


@contextmanager
def beside_pods() -> Iterator[None]:
    """Give this process and what it starts meanwhile as good a claim to the processor as the pods have: neither may their
    own API server starve beside them, nor what they are compared with.
    """
    before = _own_cpu_group()
    place = _preferred(INTERFACE)
    try:
        _enter(place)
        yield
    finally:
        _enter(before)
        with suppress(OSError):  # a process of it is just ending: the next run clears it
            place.rmdir()


PODS_GROUP = "k8s.io"


def _cpu_groups() -> Path:
    """Return the tree of control groups that share the processor: version 1 has one of its own for it."""
    root = Path("/sys/fs/cgroup")
    return root / "cpu" if (root / "cpu").is_dir() else root


def _own_cpu_group() -> Path:
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    found = next((way for _, controllers, way in lines if "cpu" in controllers.split(",") or not controllers), "/")
    return _cpu_groups() / found.lstrip("/")


def _preferred(name: str) -> Path:
    """Make a group that gets sixty times what a process outside it gets, if it wants that."""
    place = _cpu_groups() / name
    with suppress(OSError):  # it is there already, and has its share; or none may be made
        place.mkdir()
        for file, share in (("cpu.shares", "65536"), ("cpu.weight", "5000")):
            if (place / file).exists():
                (place / file).write_text(share)
    return place


def _enter(place: Path) -> None:
    with suppress(OSError):  # where groups may not be made, nothing is preferred
        (place / "cgroup.procs").write_text(str(os.getpid()))


def _parents() -> list[Path]:
    """Return where containerd's control groups are: version 1 has a tree for each controller."""
    root = Path("/sys/fs/cgroup")
    return [place for place in [*root.glob("*/k8s.io"), root / "k8s.io"] if place.is_dir()]
