"""`kubectl aftershock`, typed with the real kubectl on a real API server, with an operator that carries runs out."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster import objects
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import DEFINITIONS, account_token, api_of, new_namespace, started_plane, until
from control_plane.operating import ROOT, Field, latency

ROLES = k8s.Resource("rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False)
BINDINGS = k8s.Resource("rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False)
HOLD = "60s"
"""How long a fault would be held that the test ends."""


@dataclass(frozen=True)
class Plugin:
    """Types `kubectl aftershock …` in a folder and an environment of its own."""

    kubectl: Path
    folder: Path
    environment: dict[str, str]

    def __call__(self, *words: str, code: int = 0, **extra: str) -> "subprocess.CompletedProcess[str]":
        """Type it, and expect an exit code. kubectl passes on that of its plugin."""
        done = subprocess.run(
            [self.kubectl, "aftershock", *words], cwd=self.folder, env={**self.environment, **extra},
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said
        return done

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [self.kubectl, "aftershock", *words], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def installed(folder: Path) -> Path:
    """Put a `kubectl-aftershock` there as pip would, for this interpreter."""
    script = folder / "kubectl-aftershock"
    script.write_text(f"#!{sys.executable}\nfrom aftershock.cli.kubectl import main\nmain()\n")
    script.chmod(0o755)
    return folder


def context(plane: ControlPlane, namespace: str, folder: Path, user: str = "admin") -> Path:
    """Write a kubeconfig whose context has that namespace."""
    path = folder / f"kubeconfig.{user}"
    path.write_text(plane.address(user).kubeconfig(namespace))
    return path


@pytest.fixture
def plugin(plane: ControlPlane, field: Field, tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    folder = tmp_path_factory.mktemp("plugin")
    way = f"{installed(folder)}{os.pathsep}{os.environ['PATH']}"
    ours = {
        "PATH": way,
        "KUBECONFIG": str(context(plane, field.namespace, folder)),
        "PYTHONPATH": str(ROOT / "operator"),
        "AFTERSHOCK_HOME": str(field.state),
    }
    return Plugin(plane.kubectl, folder, {**os.environ, **ours})


def manual(field: Field, hold: str = "1s", name: str = "slow") -> None:
    field.apply(field.experiment(name, [latency(hold)], trigger="Manual"))


def test_kubectl_finds_it_and_it_says_what_there_is(plugin: Plugin) -> None:
    listed = subprocess.run(
        [plugin.kubectl, "plugin", "list"], env=plugin.environment, capture_output=True, text=True
    ).stdout
    assert "kubectl-aftershock" in listed
    told = plugin("--help").stdout
    assert "kubectl aftershock" in told
    assert all(word in told for word in ("run", "plan", "watch", "report", "judge", "abort", "halt"))
    assert "Did you mean 'watch'" in plugin("wach", code=64).stderr
    assert "not both" in plugin("halt", "-A", "-n", "x", code=64).stderr


def test_the_console_script_is_declared() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'kubectl-aftershock = "aftershock.cli.kubectl:main"' in text


def test_run_and_wait_to_the_verdict_then_report_and_judge(plugin: Plugin, field: Field) -> None:
    field.place()
    field.operator()
    manual(field)
    done = plugin("run", "slow", "--wait")
    assert "run slow-1-r1 created" in done.stdout
    assert "verdict Passed" in done.stdout
    run = field.run("slow-1-r1")
    assert run["metadata"]["labels"] == {objects.EXPERIMENT: "slow"}
    assert run["metadata"]["ownerReferences"][0]["name"] == "slow"
    told = json.loads(plugin("run", "slow", "--wait", "--json").stdout)
    assert (told["metadata"]["name"], told["status"]["verdict"]) == ("slow-1-r2", "Passed")
    assert plugin("report", "slow").stdout == "slow-1-r2.html\n"
    assert "slow" in (plugin.folder / "slow-1-r2.html").read_text()
    assert "Passed" in plugin("report", "slow-1-r1", "--form", "markdown", "--out", "-").stdout
    assert "Passed" in plugin("judge", "slow-1-r1").stdout
    assert "verdict Passed" in plugin("watch", "slow-1-r1").stdout


def test_the_exit_code_is_that_of_the_verdict(plugin: Plugin, field: Field) -> None:
    field.place()
    field.operator()
    expect = [{"indicator": "meeting-success", "during": "fault", "atLeast": "100%"}]
    down = {"at": "0s", "for": "2s", "fault": "link-down", "target": "in"}
    through = {"url": f"http://{listen(field)}/meet"}
    field.api.patch(k8s.STACKS, "planted", {"spec": {"indicators": [
        {"name": "meeting-success", "every": "50ms", "timeout": "1s", "http": through}]}}, field.namespace)  # fmt: skip
    field.apply(field.experiment("down", [down], trigger="Manual", expect=expect, baseline="1s"))
    done = plugin("run", "down", "--wait", code=1)
    assert "verdict Failed" in done.stdout
    assert plugin("judge", "down", code=1).stdout


def listen(field: Field) -> str:
    from whole_runs import proxies

    return str(proxies(field.toxiproxy)[f"{field.namespace}.planted"]["listen"])


def test_who_runs_again_at_once_gets_numbers_of_their_own(plugin: Plugin, field: Field) -> None:
    manual(field)
    going = [plugin.start("run", "slow") for _ in range(4)]
    said = [each.communicate()[0] for each in going]
    assert [each.returncode for each in going] == [0] * 4, said
    assert field.runs() == [f"slow-1-r{n}" for n in (1, 2, 3, 4)]
    assert all("follow it: kubectl aftershock watch slow-1-r" in each for each in said)


def test_ctrl_c_ends_the_waiting_and_abort_the_run(plugin: Plugin, field: Field) -> None:
    field.place()
    field.operator()
    manual(field, HOLD)
    waiting = plugin.start("run", "slow", "--wait")
    until(field.toxics)
    script = plugin_process(waiting.pid)
    os.kill(script, signal.SIGINT)
    said = waiting.communicate()[0]
    assert waiting.returncode == 130, said
    assert "the run goes on; to end it: kubectl aftershock abort slow-1-r1" in said
    assert field.toxics()
    done = plugin("abort", "slow")
    assert "slow-1-r1: told to end" in done.stdout
    assert "slow-1-r1: ended, and clean" in done.stdout
    assert field.toxics() == []
    assert field.status("slow-1-r1")["verdict"] == "Aborted"
    assert "told to end" not in plugin("abort", "slow-1-r1").stdout, "it is over: nothing to do"
    assert "verdict Aborted" in plugin("watch", "slow", code=2).stdout


def test_who_watches_where_nothing_is_is_told_so_and_sees_what_comes(plugin: Plugin, field: Field) -> None:
    watching = plugin.start("watch")
    assert watching.stdout is not None
    assert f"no Run in the namespace {field.namespace} yet" in watching.stdout.readline()
    manual(field)
    plugin("run", "slow")
    assert f"{field.namespace}/slow-1-r1  phase Pending" in watching.stdout.readline()
    os.kill(plugin_process(watching.pid), signal.SIGINT)
    watching.communicate()
    assert watching.returncode == 130


def plugin_process(pid: int) -> int:
    """kubectl becomes its plugin (exec): the process is one and the same."""
    until(lambda: b"kubectl-aftershock" in Path(f"/proc/{pid}/cmdline").read_bytes())
    return pid


def test_halt_ends_what_goes_on_in_a_namespace_and_what_waits(plugin: Plugin, field: Field) -> None:
    field.place()
    field.operator()
    manual(field, HOLD)
    plugin("run", "slow")
    until(field.toxics)
    plugin("run", "slow")
    field.until_reason("slow-1-r2", "WaitingForTarget")
    with new_namespace(field.api) as other:
        assert "no run is going on" in plugin("halt", "-n", other).stdout
    assert field.toxics()
    done = plugin("halt")
    assert "slow-1-r1: ended, and clean" in done.stdout
    assert "slow-1-r2: ended, and clean" in done.stdout
    assert field.toxics() == []


def test_plan_shows_what_would_be_done_and_reads_no_secret(plugin: Plugin, field: Field, plane: ControlPlane) -> None:
    field.place(databases=[database()])
    manual(field)
    told = plugin("plan", "slow").stdout
    assert "slow on planted (test)" in told
    assert "latency at in" in told
    tree = field.experiment("mine", [latency()], stack="planted")
    (plugin.folder / "mine.yaml").write_text(json.dumps(tree))
    assert "mine on planted (test)" in plugin("plan", "mine.yaml").stdout
    tree["spec"]["stack"] = "nowhere"
    (plugin.folder / "mine.yaml").write_text(json.dumps(tree))
    assert "no Stack nowhere" in plugin("plan", "mine.yaml", code=4).stderr
    assert field.runs() == []
    assert field.toxics() == []


def database() -> k8s.Tree:
    return {
        "name": "primary",
        "role": "primary",
        "engine": "postgresql",
        "dsn": {"secretRef": {"name": "no", "key": "x"}},
    }


def test_what_is_not_there_is_said_with_what_is(plugin: Plugin, field: Field) -> None:
    manual(field)
    manual(field, name="quick")
    refused = plugin("run", "slwo", code=4).stderr
    assert "no Experiment 'slwo'" in refused
    assert "there are: quick, slow" in refused or "there are: slow, quick" in refused
    assert "no Run 'none'" in plugin("report", "none", code=4).stderr
    assert "no Run 'slow'" in plugin("abort", "slow", code=4).stderr
    plugin("run", "slow")
    assert "no journal yet" in plugin("report", "slow", code=4).stderr
    missing = plugin("run", "slow", "--context", "nowhere", code=4).stderr
    assert "there are: aftershock" in missing
    assert "no such file" in plugin("run", "slow", "--kubeconfig", "/nonexistent", code=4).stderr


def test_a_missing_right_is_named(plugin: Plugin, field: Field, plane: ControlPlane) -> None:
    manual(field)
    alice = str(context(plane, field.namespace, plugin.folder, "alice"))
    refused = plugin("run", "slow", "--kubeconfig", alice, code=5).stderr
    assert 'cannot list resource "experiments"' in refused
    assert "grant" in refused
    with pytest.raises(k8s.ForbiddenError):
        api_of(plane, "alice").list(k8s.EXPERIMENTS, field.namespace)


DOCUMENT = ROOT / "docs" / "how-to" / "kubectl.md"


def test_what_the_document_shows(plugin: Plugin, field: Field) -> None:
    field.place()
    field.operator()
    manual(field, name="db-connection-exhaustion")
    shown = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("kubectl aftershock ")]
    assert len(shown) >= 8
    for line in shown:
        words, _, comment = line.partition("#")
        code = int(comment.removeprefix(" exits ")) if comment.startswith(" exits ") else 0
        plugin(*words.split()[2:], code=code)
    assert field.runs() == ["db-connection-exhaustion-1-r1", "db-connection-exhaustion-1-r2"]


def test_the_rights_that_the_document_names_are_those_it_takes(
    plugin: Plugin, field: Field, plane: ControlPlane, api: k8s.Api
) -> None:
    """Each command as a user who has its row of the table, and nothing else."""
    field.place()
    field.operator()
    manual(field)
    plugin("run", "slow", "--wait")
    lines = {"run": ["run", "slow"], "plan": ["plan", "slow"], "halt": ["halt"]}
    lines |= {word: [word, "slow-1-r1"] for word in ("watch", "report", "judge", "abort")}
    rights = documented()
    assert rights.keys() == lines.keys()
    for word, line in lines.items():
        with granted(api, field.namespace, rights[word]) as token:
            path = plugin.folder / "granted"
            path.write_text(plane.address(token=token).kubeconfig(field.namespace))
            plugin(*line, "--kubeconfig", str(path))


def documented() -> dict[str, list[tuple[list[str], list[str]]]]:
    """Return the table: each command's rights, as verbs and resources."""
    rows = re.findall(r"^\| (`.*`) \| (\w.*) \|$", DOCUMENT.read_text(), re.MULTILINE)
    found = {}
    for commands, rights in rows:
        parts = [(re.findall(r"list|get|create|patch", each), re.findall(r"`(\w+)`", each)) for each in clauses(rights)]
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", commands), parts))
    return found


def clauses(rights: str) -> list[str]:
    return re.split(r"[,;]", rights.removesuffix("; it reads no Secret"))


@contextmanager
def granted(api: k8s.Api, namespace: str, rights: list[tuple[list[str], list[str]]]) -> Iterator[str]:
    """Yield the token of a service account that has these rights and no others."""
    name = f"user-{secrets.token_hex(4)}"
    rules = [{"apiGroups": ["aftershock.dev"], "resources": what, "verbs": verbs} for verbs, what in rights]
    who = [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    token = account_token(api, name, namespace)
    api.create(ROLES, {"metadata": {"name": name}, "rules": rules})
    api.create(BINDINGS, {"metadata": {"name": name}, "roleRef": ref, "subjects": who})
    asking = k8s.Resource("authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)
    for rule in rules:
        for verb, what in product(rule["verbs"], rule["resources"]):
            wanted = {"namespace": namespace, "verb": verb, "group": "aftershock.dev", "resource": what}
            spec = {"user": f"system:serviceaccount:{namespace}:{name}", "resourceAttributes": wanted}
            until(lambda spec=spec: api.create(asking, {"spec": spec})["status"]["allowed"])
    try:
        yield token
    finally:
        api.delete(BINDINGS, name)
        api.delete(ROLES, name)


def test_a_login_by_command_as_kubectl_has_it(plugin: Plugin, field: Field, plane: ControlPlane) -> None:
    """The same kubeconfig, with an `exec` user of v1, works with kubectl and with its plugin."""
    manual(field)
    said = {
        "kind": "ExecCredential",
        "apiVersion": "client.authentication.k8s.io/v1",
        "status": {"token": plane.token()},
    }
    (plugin.folder / "login").write_text(f"#!/bin/sh\necho '{json.dumps(said)}'\n")
    (plugin.folder / "login").chmod(0o755)
    tree = json.loads(plane.address().kubeconfig(field.namespace))
    login = {"apiVersion": said["apiVersion"], "command": "./login", "interactiveMode": "Never"}
    tree["users"] = [{"name": "user", "user": {"exec": login}}]
    path = plugin.folder / "with-login"
    path.write_text(json.dumps(tree))
    named = subprocess.run(
        [plugin.kubectl, "--kubeconfig", path, "get", "experiments", "-o", "name"], capture_output=True, text=True
    )
    assert named.stdout == "experiment.aftershock.dev/slow\n", named.stderr
    assert "slow-1-r1 created" in plugin("run", "slow", KUBECONFIG=str(path)).stdout


def test_an_api_that_is_away_and_a_cluster_without_our_kinds(plugin: Plugin) -> None:
    with started_plane() as bare:
        assert k8s.Api.connect(bare.kubeconfig).find(DEFINITIONS, "runs.aftershock.dev") is None
        refused = plugin("run", "slow", "--kubeconfig", str(bare.kubeconfig), code=4).stderr
        assert "no kind `experiments`" in refused
        assert "aftershock crds | kubectl apply -f -" in refused
        bare.stop_api()
        assert "can't be reached" in plugin("run", "slow", "--kubeconfig", str(bare.kubeconfig), code=5).stderr
