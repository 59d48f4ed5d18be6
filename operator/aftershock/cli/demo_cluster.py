"""`aftershock demo --operator` on the cluster of $KUBECONFIG, by Helm, in a namespace of its own that goes again."""

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from aftershock.adapters import catalog
from aftershock.cli import ending
from aftershock.cli.demo_kubectl import Kubectl
from aftershock.cli.demo_operator import EXPERIMENT, STACK, ended, experiment, open_
from aftershock.core.verdict import Verdict
from aftershock.errors import InputError, StackError
from aftershock.stacks import programs

NAMESPACE = "aftershock-demo"
RELEASE = "aftershock"
TIMEOUT = "5m"
DEFINITION = "runs.aftershock.dev"


def command(registry: str) -> int:
    """Install both charts, apply the experiment, show its run, take everything away again. `registry` has the images."""
    kubectl = Kubectl(_tool("kubectl"), os.environ["KUBECONFIG"], NAMESPACE)
    _introduce(kubectl)
    known = kubectl.succeeds("get", "crd", DEFINITION)
    with ended(lambda: _end(kubectl, known=known)):
        _install(kubectl, registry, known=known)
        kubectl.show("apply", "-f", experiment())
        return _tell(kubectl.follow_run(EXPERIMENT, lambda: None))


def _tool(name: str) -> Path:
    """Return the user's own program, which fits the user's cluster, or else one that is built."""
    return Path(shutil.which(name) or programs.program(name, click.echo))


def _introduce(kubectl: Kubectl) -> None:
    """Say where this is going to be. Nothing of it may be there: at the end the whole namespace goes."""
    asked = kubectl.run("get", "--raw", "/readyz")
    if asked.returncode != 0:
        raise InputError(
            f"the cluster of KUBECONFIG={kubectl.kubeconfig} can't be used: {asked.stderr.strip()}",
            "make `kubectl get namespaces` work, or unset KUBECONFIG: then a control plane is made for the demo",
        )
    context = kubectl("config", "current-context").strip()
    if kubectl.succeeds("get", "namespace", NAMESPACE):
        raise InputError(
            f"the cluster of the context {context} has a namespace {NAMESPACE} already",
            f"if it is left over from a demo that was killed: kubectl delete namespace {NAMESPACE}",
        )
    click.echo(f"using the cluster of the context {context}; all of it goes into the namespace {NAMESPACE}")


def _install(kubectl: Kubectl, registry: str, *, known: bool) -> None:
    kubectl("create", "namespace", NAMESPACE)
    charts = catalog.data() / "charts"
    keep = "pvc" if _stores(kubectl) else "none"
    ours = [f"crds.install={str(not known).lower()}", "crds.keep=false", "eras.install=false", f"journals.store={keep}"]
    _helm(kubectl, RELEASE, charts / "aftershock", [f"image.repository={registry}/aftershock", *ours])
    _helm(kubectl, STACK, charts / "era-stack", [f"image.repository={registry}/aftershock-stack"])
    kubectl("wait", "pods", "--all", "--for=condition=Ready", f"--timeout={TIMEOUT}")


def _stores(kubectl: Kubectl) -> bool:
    """Tell whether the cluster gives out storage unasked: then the journal outlives the executor's pod."""
    return "is-default-class" in kubectl("get", "storageclass", "--output=jsonpath={.items[*].metadata.annotations}")


def _helm(kubectl: Kubectl, release: str, chart: Path, values: list[str]) -> None:
    settings = [word for value in values for word in ("--set", value)]
    line = ["install", release, str(chart), "--namespace", NAMESPACE, "--wait", "--timeout", TIMEOUT, *settings]
    click.echo(f"\n$ helm {' '.join(line)}")
    done = subprocess.run([_tool("helm"), *line], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pods = kubectl("get", "pods")
        raise StackError(
            f"helm install {release}: {done.stderr.strip()}\n{pods}".rstrip(),
            "build the images (docs/how-to/install.md), push them to where the cluster finds them, and name it: "
            "AFTERSHOCK_REGISTRY=registry.example make demo-operator",
        )


def _tell(run: dict[str, Any]) -> int:
    """Show what the Run says of itself and, where its journal is kept, the report; return the exit code of its verdict."""
    name, status = run["metadata"]["name"], run["status"]
    click.echo(f"\n{status['verdict']}: {status.get('because', '')}")
    for each in status.get("conditions", []):
        click.echo(f"  {each['type']:15} {each['status']:7} {each.get('message', '')}")
    line = [sys.executable, "-m", "aftershock", "report", f"run/{name}", "--namespace", NAMESPACE]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    click.echo(f"\nreport: {done.stdout.strip()}" if done.returncode == 0 else f"\nno report: {done.stderr.strip()}")
    if done.returncode == 0:
        open_(Path(done.stdout.strip()))
    return ending.CODES[Verdict(status["verdict"])]


def _end(kubectl: Kubectl, *, known: bool) -> None:
    """Take all of it away, Aftershock first: it heals what is held, while the stack is still there."""
    click.echo("taking everything away again")
    helm = _tool("helm")  # found or built before
    begun = bool(kubectl.run("get", "runs", "--output=name").stdout.strip())
    with ExitStack() as last_first:
        last_first.callback(kubectl.run, "delete", "namespace", NAMESPACE, "--ignore-not-found", f"--timeout={TIMEOUT}")
        for release in (STACK, RELEASE):
            last_first.callback(_uninstall, helm, release, heal=begun)
    if kubectl.succeeds("get", "namespace", NAMESPACE):
        click.echo(f"the namespace {NAMESPACE} is not gone yet: see `kubectl get all -n {NAMESPACE}`", err=True)
        return
    kinds = "" if known else f"; the kinds of {DEFINITION.partition('.')[2]} are gone too"
    click.echo(f"nothing is left running{kinds}")


def _uninstall(helm: Path, release: str, *, heal: bool) -> None:
    """Take a release away, if it is there. Its farewell heals what is held: where nothing has begun it is not waited for."""
    line = [str(helm), "uninstall", release, "--namespace", NAMESPACE, "--ignore-not-found", "--timeout", TIMEOUT]
    done = subprocess.run([*line, *([] if heal else ["--no-hooks"])], check=False, capture_output=True)
    if heal and done.returncode != 0:
        subprocess.run([*line, "--no-hooks"], check=False, capture_output=True)
