"""A node: containerd, kubelet and kube-proxy in namespaces of their own (network, mounts, processes).

The first process of a node is `first.py`: when it ends, the kernel ends all that runs there, and takes mounts and interfaces
with it. That is how a node goes, whatever became of it.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import ground, programs
from cluster.plane import Plane

PAUSE = "localhost/aftershock-pause:test"


@dataclass(frozen=True)
class Node:
    """A node, and the region that it is. `number` counts from 1."""

    name: str
    number: int
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> Path:
        """Where its containerd listens."""
        return self.folder / "containerd.sock"

    @property
    def interface(self) -> str:
        """This machine's end of its cable."""
        return f"{ground.INTERFACE}{self.number}"

    def inside(self, *line: str | Path) -> str:
        """Run a command in its network, and return what it says."""
        return programs.run(["nsenter", f"--net=/proc/{self.process.pid}/ns/net", *line])


def address(number: int) -> str:
    """Return the address of a node."""
    return str(ground.NODES[10 + number])


def subnet(number: int) -> str:
    """Return the addresses of its pods."""
    return str(list(ground.PODS.subnets(new_prefix=24))[number])


def start(name: str, number: int, plane: Plane, images: Path) -> Node:
    """Start a node; the images in `images`, an archive, will be in its store. It may not be ready yet."""
    folder = plane.folder / name
    (folder / "cni").mkdir(parents=True)
    _write(folder, number, plane.config(f"system:node:{name}"))
    line = [
        "unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc",
        sys.executable, Path(__file__).with_name("first.py"), folder / "first.json",
    ]  # fmt: skip
    (folder / "first.json").write_text(json.dumps(_first(name, number, folder, plane, images), default=str))
    node = Node(name, number, folder, programs.start("first", line, folder))
    programs.until(f"{name} has namespaces of its own", (folder / "apart").exists, folder)
    _plug(node)
    return node


def _first(name: str, number: int, folder: Path, plane: Plane, images: Path) -> Mapping[str, object]:
    """Return what the node's first process does: wait for its cable, start containerd, load images, start the rest."""
    return {
        "hostname": name,
        "apart": folder / "apart",
        "containerd": ["containerd", "-c", folder / "containerd.toml"],
        "socket": folder / "containerd.sock",
        "import": ["ctr", "-a", folder / "containerd.sock", "-n", "k8s.io", "images", "import", images],
        "programs": {
            "kubelet": [
                plane.binaries["kubelet"], f"--config={folder / 'kubelet.yaml'}",
                f"--kubeconfig={plane.config(f'system:node:{name}')}", f"--hostname-override={name}",
                f"--node-ip={address(number)}", f"--root-dir={folder / 'kubelet'}", f"--cert-dir={folder / 'certificates'}",
                f"--node-labels=topology.kubernetes.io/region={name},topology.kubernetes.io/zone={name}-a",
            ],
            "kube-proxy": [
                plane.binaries["kube-proxy"], f"--kubeconfig={plane.config('system:kube-proxy')}", "--proxy-mode=iptables",
                f"--cluster-cidr={ground.PODS}", f"--hostname-override={name}", "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
                "--metrics-bind-address=127.0.0.1:10249",
            ],
        },
    }  # fmt: skip


def _plug(node: Node) -> None:
    """Give the node its cable into the bridge, and this machine a way to its pods."""
    inside, outside = f"/proc/{node.process.pid}/ns/net", node.interface
    programs.run(["ip", "link", "add", outside, "type", "veth", "peer", "name", f"{outside}-in"])
    programs.run(["ip", "link", "set", f"{outside}-in", "netns", str(node.process.pid)])
    programs.run(["ip", "link", "set", outside, "master", ground.BRIDGE, "up"])
    programs.run(["ip", "route", "replace", subnet(node.number), "via", address(node.number)])
    enter = ["nsenter", f"--net={inside}"]
    for line in (
        ["sysctl", "-qw", "net.ipv4.ip_forward=1"],
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "set", f"{outside}-in", "name", "eth0"],
        ["ip", "addr", "add", f"{address(node.number)}/{ground.NODES.prefixlen}", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"],
        ["ip", "route", "add", "unreachable", subnet(node.number)],
        ["ip", "route", "add", ground.SERVICES, "dev", "eth0"],  # and nothing that leads out of the cluster
    ):
        programs.run([*enter, *line])


def acquaint(nodes: list[Node]) -> None:
    """Tell each node the way to the other nodes' pods, so that nothing is forwarded by this machine."""
    for one in nodes:
        for other in nodes:
            if one is not other:
                one.inside("ip", "route", "replace", subnet(other.number), "via", address(other.number))


def _write(folder: Path, number: int, kubeconfig: Path) -> None:
    (folder / "cni" / "10-pods.conflist").write_text(json.dumps(_network(folder, number)))
    (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder, plugins=ground.PLUGINS, pause=PAUSE))
    (folder / "kubelet.yaml").write_text(json.dumps(_kubelet(folder)))
    assert kubeconfig.exists()


def _network(folder: Path, number: int) -> dict[str, object]:
    addresses = {
        "type": "host-local", "dataDir": str(folder / "addresses"), "ranges": [[{"subnet": subnet(number)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }  # fmt: skip
    # A cable for each pod, not a bridge: the way to a pod goes with it, and whoever connects there is told so at once. A
    # bridge keeps its neighbours for half a minute, and Toxiproxy, which connects for one client after the other, waits.
    cable = {"type": "ptp", "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [cable, ports]}


# restrict_oom_score_adj: without CAP_SYS_RESOURCE runc dies with "can't get final child's PID from pipe: EOF"
_CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
"""


def _kubelet(folder: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "clusterDNS": [ground.DNS],
        "clusterDomain": "cluster.local",
        "evictionHard": {"imagefs.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 12,
        "podLogsDir": str(folder / "logs"),
        "shutdownGracePeriod": "0s",
    }
