"""The programs of a Kubernetes cluster: built once with Go, kept in the cache by version. Starts none of them.

A control plane (`CONTROL_PLANE`) can be run by an ordinary user; what a node needs besides (`NODES`) needs root to run.
They come from their modules through the Go module proxy, which holds what it once served, and are checked against Go's
checksum database.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from aftershock.stacks import golang

KUBERNETES = "1.34.2"
ETCD = "3.5.21"
HELM = "3.19.2"
COREDNS = "1.12.4"
PROMETHEUS = "0.316.0"
"""What its module calls Prometheus 3.16."""
DEADLINE = 3600.0
"""Seconds that one program may take: kube-apiserver takes 192 s on two idle cores, and a busy machine has fewer."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """A program that can be built. `seconds` is what it takes on two idle cores, with nothing built before."""

    name: str
    version: str
    build: golang.Build
    seconds: int

    @property
    def place(self) -> str:
        """The name of its folder in the cache."""
        return f"{self.name}-{self.version}"


def program(name: str, progress: Progress = print) -> Path:
    """Return a program by its name; the first call on a machine builds it, and tells `progress` so. StackError if it can't."""
    wanted = _PROGRAMS[name]
    if ready(name):
        return golang.kept(wanted.place, name, wanted.build, DEADLINE)
    begun = time.monotonic()
    progress(f"building {name} {wanted.version}, once for this machine (about {_spelled(wanted.seconds)})")
    built = golang.kept(wanted.place, name, wanted.build, DEADLINE)
    progress(f"{name} is built: that took {_spelled(round(time.monotonic() - begun))}")
    return built


def all_of(names: Iterable[str], progress: Progress = print) -> dict[str, Path]:
    """Return these programs by name, each built if it has to be."""
    return {name: program(name, progress) for name in names}


def ready(name: str) -> bool:
    """Tell whether a program is built."""
    return golang.is_kept(_PROGRAMS[name].place, name)


def missing(names: Iterable[str]) -> list[str]:
    """Return those of the programs that are not built yet."""
    return [name for name in names if not ready(name)]


def minutes(names: Iterable[str]) -> int:
    """Return how long it takes to build them on two idle cores."""
    return -(-sum(_PROGRAMS[name].seconds for name in names) // 60)


def _spelled(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds / 60:.0f} min"


_MAIN = """package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
"""


def _etcd(shop: golang.Workshop) -> None:
    """Its server module can't be installed by name: its go.mod has replace lines. A main of our own can call it."""
    _module(shop, f"require go.etcd.io/etcd/server/v3 v{ETCD}")
    (shop.source / "main.go").write_text(_MAIN, encoding="utf-8")
    shop.go("build", "-mod=mod", "-ldflags", "-s -w", "-o", str(shop.whole / "etcd"), ".")


_STAGING = """
api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator
component-base component-helpers controller-manager cri-api cri-client csi-translation-lib dynamic-resource-allocation
endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics
mount-utils pod-security-admission sample-apiserver sample-cli-plugin sample-controller
"""
"""The modules that k8s.io/kubernetes requires at v0.0.0: each has to be replaced by the version that was published."""


def _kubernetes(name: str) -> golang.Build:
    staging = KUBERNETES.replace("1.", "0.", 1)
    replaced = "\n".join(f"replace k8s.io/{each} => k8s.io/{each} v{staging}" for each in _STAGING.split())
    version = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.split(".")
    # without them the API server calls itself v0.0.0, and clients refuse it
    told = f"-X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"

    def build(shop: golang.Workshop) -> None:
        _module(shop, f"require k8s.io/kubernetes v{KUBERNETES}\n{replaced}")
        target = f"k8s.io/kubernetes/cmd/{name}"
        shop.go("build", "-mod=mod", "-ldflags", f"-s -w {told}", "-o", str(shop.whole / name), target)

    return build


def _installed(target: str, *flags: str) -> golang.Build:
    def build(shop: golang.Workshop) -> None:
        shop.go("install", "-ldflags", "-s -w", *flags, target, GOBIN=str(shop.whole))

    return build


def _module(shop: golang.Workshop, rest: str) -> None:
    (shop.source / "go.mod").write_text(f"module local\n\ngo 1.24.0\n\n{rest}\n", encoding="utf-8")


_KUBERNETES = {
    "kube-apiserver": 192, "kubectl": 30, "kubelet": 59, "kube-controller-manager": 29, "kube-scheduler": 5, "kube-proxy": 8,
}  # fmt: skip
_PROMTOOL = f"github.com/prometheus/prometheus/cmd/promtool@v{PROMETHEUS}"
_PROGRAMS = {
    each.name: each
    for each in (
        Program("etcd", ETCD, _etcd, 21),
        *(Program(name, KUBERNETES, _kubernetes(name), seconds) for name, seconds in _KUBERNETES.items()),
        Program("helm", HELM, _installed(f"helm.sh/helm/v3/cmd/helm@v{HELM}"), 87),
        Program("coredns", COREDNS, _installed(f"github.com/coredns/coredns@v{COREDNS}"), 101),
        Program(
            "promtool", PROMETHEUS, _installed(_PROMTOOL, "-tags", "remove_all_sd"), 135
        ),  # asks no cloud for targets
    )
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kubectl")
NODES = ("kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "helm", "coredns")
