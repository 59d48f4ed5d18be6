"""The chart `aftershock`: what Helm makes of it, whether a real API server takes that, and what it refuses.

`AFTERSHOCK_GOLDEN=write pytest tests/control_plane/test_chart.py` writes the goldens anew; then read `git diff tests/golden`.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from aftershock.adapters import kubernetes as k8s
from aftershock.runtime.cluster import rights
from aftershock.stacks import programs
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import Kubectl, new_namespace
from control_plane.granted import EACH

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "charts" / "aftershock"
GOLDEN = ROOT / "tests" / "golden" / "chart"
VALUES = sorted((ROOT / "tests" / "chart_values").glob("*.yaml"))
DEFAULT = ROOT / "tests" / "chart_values" / "default.yaml"
by_name = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
KUBERNETES = ("--kube-version", programs.KUBERNETES)

Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    program = programs.program("helm")
    home = tmp_path_factory.mktemp("helm")
    environment = {**os.environ, **{f"HELM_{what}_HOME": str(home / what) for what in ("CACHE", "CONFIG", "DATA")}}

    def call(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        line = [str(program), *map(str, arguments)]
        return subprocess.run(line, env=environment, capture_output=True, text=True)

    return call


def rendered(helm: Helm, values: Path, namespace: str = "chaos", *more: str) -> list[dict[str, Any]]:
    done = helm("template", "aftershock", CHART, "-n", namespace, "-f", values, *KUBERNETES, *more)
    assert done.returncode == 0, done.stderr
    return [tree for tree in yaml.safe_load_all(done.stdout) if tree]


def of_kind(trees: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [tree for tree in trees if tree["kind"] in kinds]


@by_name
def test_it_has_nothing_that_helm_would_complain_of(helm: Helm, values: Path) -> None:
    done = helm("lint", "--strict", CHART, "-f", values, *KUBERNETES)
    assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr


@by_name
def test_it_renders_as_it_was_found_good(helm: Helm, values: Path) -> None:
    """CRDs have a golden of their own, rights are compared with the code below; files that are carried along are left out."""
    trees = [tree for tree in rendered(helm, values) if tree["kind"] not in {"CustomResourceDefinition", "Era"}]
    for tree in of_kind(trees, "ConfigMap"):
        tree["data"] = dict.fromkeys(tree["data"], "…")
    for tree in of_kind(trees, "PrometheusRule"):
        tree["spec"] = "…"
    for tree in of_kind(trees, "Role", "ClusterRole"):
        tree["rules"] = "…"
    made = yaml.safe_dump_all(trees, sort_keys=False, width=120, allow_unicode=True)
    path = GOLDEN / values.name
    if os.environ.get("AFTERSHOCK_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8"), "if it should: AFTERSHOCK_GOLDEN=write, and read the difference"


@pytest.fixture(scope="module")
def monitored(plane: ControlPlane) -> None:
    """CRDs named as the Prometheus operator's are, which take any spec: its own can't be had here."""
    api = k8s.Api.connect(plane.kubeconfig)
    definitions = k8s.Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
    for plural, kind in (("servicemonitors", "ServiceMonitor"), ("prometheusrules", "PrometheusRule")):
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        name = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        spec = {"group": "monitoring.coreos.com", "names": name, "scope": "Namespaced", "versions": [version]}
        tree = {"metadata": {"name": f"{plural}.monitoring.coreos.com"}, "spec": spec}
        if api.find(definitions, tree["metadata"]["name"]) is None:
            api.create(
                definitions, {"apiVersion": definitions.group_version, "kind": "CustomResourceDefinition", **tree}
            )


@pytest.fixture
def spaces(api: k8s.Api) -> Iterator[None]:
    """The namespaces that the sets of values name; the real ones, since names stand in the goldens."""
    for name in ("chaos", "shop", "meetings"):
        if api.find(k8s.NAMESPACES, name) is None:
            api.create(k8s.NAMESPACES, {"metadata": {"name": name}})
    return


@by_name
@pytest.mark.usefixtures("monitored", "spaces")
def test_an_api_server_takes_every_object_to_the_letter(helm: Helm, values: Path, plane: ControlPlane) -> None:
    ours = {"CustomResourceDefinition", "Era"}  # CRDs have tests of their own, and Eras are files of the era stack
    text = yaml.safe_dump_all(tree for tree in rendered(helm, values) if tree["kind"] not in ours)
    line = [
        plane.kubectl,
        "--kubeconfig",
        plane.kubeconfig,
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    ]
    told = subprocess.run(line, input=text, capture_output=True, text=True)
    assert told.returncode == 0 and "Warning" not in told.stderr, told.stderr


@by_name
def test_its_pods_fit_the_restricted_profile(helm: Helm, values: Path, api: k8s.Api, kubectl: Kubectl) -> None:
    with new_namespace(api) as namespace:
        label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
        api.patch(k8s.NAMESPACES, namespace, label)
        trees = of_kind(rendered(helm, values, namespace), "Deployment", "Job")
        assert len(trees) >= 2
        for tree in trees:
            template = tree["spec"]["template"]
            account = template["spec"].pop("serviceAccountName")
            assert account.startswith("aftershock-")
            template["spec"].pop("priorityClassName", None)
            meta = {"name": "tried", "namespace": namespace, "labels": template["metadata"]["labels"]}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
            kubectl("apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-", feed=json.dumps(pod))
            container = template["spec"]["containers"][0]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    "setting",
    [
        "image.tg=x",
        "journals.store=disk",
        "watchNamespaces={Shop}",
        "retention.runs=30 days",
        "notifications.format=mail",
    ],
)
def test_a_value_that_is_not_known_is_refused(helm: Helm, setting: str) -> None:
    done = helm("template", "aftershock", CHART, "--set", setting, *KUBERNETES)
    assert done.returncode != 0 and setting.partition(".")[0].partition("=")[0] in done.stderr


def test_s3_without_a_bucket_is_refused(helm: Helm) -> None:
    done = helm("template", "aftershock", CHART, "--set", "journals.store=s3", *KUBERNETES)
    assert done.returncode != 0 and "journals.s3.url" in done.stderr


def test_the_notes_teach_the_first_command(helm: Helm, plane: ControlPlane) -> None:
    where = ("-n", "chaos", "--kubeconfig", str(plane.kubeconfig), "--set", "watchNamespaces={shop}")
    done = helm(
        "install", "aftershock", CHART, *where, "--dry-run=client", "--set", "eras.install=false,crds.install=false"
    )
    assert "kubectl -n shop apply -f experiments/db-connection-exhaustion.yaml" in done.stdout, done.stderr
    assert "kubectl -n shop get runs --watch" in done.stdout


# Rights


def test_the_rights_are_those_of_the_code() -> None:
    assert (ROOT / rights.FILE).read_text(encoding="utf-8") == rights.text(), (
        "run: python -m aftershock.runtime.cluster.rights"
    )


@pytest.mark.parametrize("everywhere", [False, True])
def test_a_role_has_the_rights_of_its_part_and_no_others(helm: Helm, everywhere: bool) -> None:
    values = DEFAULT.with_name("cluster-wide.yaml") if everywhere else DEFAULT
    trees = rendered(helm, values)
    for part in rights.PARTS:
        roles = {
            tree["kind"]: tree["rules"]
            for tree in of_kind(trees, "Role", "ClusterRole")
            if tree["metadata"]["name"].endswith(f"-{part}")
        }
        local = [rule for scope in rights.NAMESPACED for rule in rights.rules(part, scope)]
        cluster = rights.rules(part, "cluster")
        wanted = {"ClusterRole": cluster + local} if everywhere else {"Role": local, "ClusterRole": cluster}
        assert roles == {kind: rules for kind, rules in wanted.items() if rules}


@by_name
def test_every_rule_of_every_role_has_tests_without_it(helm: Helm, values: Path) -> None:
    """What stands in the chart alone, and not in the table that those tests are made of, would be nobody's."""
    granted = {rule for role in of_kind(rendered(helm, values), "Role", "ClusterRole") for rule in rules_of(role)}
    tried = {(one.right.part, one.right.resource.group, one.right.called, one.verb) for one in EACH}
    assert granted <= tried
    if values.stem == "everything":
        assert granted == tried, "a right that no set of values brings"


def rules_of(role: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    """Return part, API group, resource and verb of each thing that a role allows."""
    part = role["metadata"]["name"].rpartition("-")[2]
    lists = [(rule.pop("apiGroups"), rule.pop("resources"), rule.pop("verbs")) for rule in role["rules"]]
    assert not any(role["rules"]), "rules for single names or for URLs have no tests"
    return {(part, *one) for each in lists for one in product(*each)}


@by_name
def test_every_role_is_bound_to_the_accounts_of_its_part(helm: Helm, values: Path) -> None:
    trees = rendered(helm, values)
    accounts = {(tree["metadata"]["namespace"], tree["metadata"]["name"]) for tree in of_kind(trees, "ServiceAccount")}
    roles = {
        (tree["metadata"].get("namespace"), tree["metadata"]["name"]) for tree in of_kind(trees, "Role", "ClusterRole")
    }
    bindings = of_kind(trees, "RoleBinding", "ClusterRoleBinding")
    assert {(tree["metadata"].get("namespace"), tree["roleRef"]["name"]) for tree in bindings} == roles
    bound = {(one["namespace"], one["name"]) for tree in bindings for one in tree["subjects"]}
    assert bound == accounts
    used = {tree["spec"]["template"]["spec"]["serviceAccountName"] for tree in of_kind(trees, "Deployment", "Job")}
    assert used <= {name for _, name in accounts}


def test_by_default_nothing_of_the_cluster_but_eras(helm: Helm) -> None:
    trees = rendered(helm, DEFAULT)
    for role in of_kind(trees, "ClusterRole"):
        for rule in role["rules"]:
            assert rule["resources"] == ["eras"] and set(rule["verbs"]) <= {"get", "list", "watch"}
    assert {tree["metadata"]["namespace"] for tree in of_kind(trees, "Role", "RoleBinding")} == {"chaos"}


@by_name
def test_no_role_says_everything(helm: Helm, values: Path) -> None:
    for role in of_kind(rendered(helm, values), "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_region_faults_alone_bring_rights_on_nodes(helm: Helm) -> None:
    def nodes(*more: str) -> bool:
        trees = rendered(helm, DEFAULT, "chaos", *more)
        rules = [rule for role in of_kind(trees, "Role", "ClusterRole") for rule in role["rules"]]
        return any("nodes" in rule["resources"] for rule in rules)

    assert not nodes()
    assert nodes("--set", "regionFaults.enabled=true") == any(right.scope == "regionFaults" for right in rights.RIGHTS)


def test_executors_may_touch_services_only_if_that_is_wanted(helm: Helm) -> None:
    def touched(*more: str) -> set[str]:
        trees = rendered(helm, DEFAULT, "chaos", *more)
        (role,) = [each for each in of_kind(trees, "Role") if each["metadata"]["name"].endswith("executor")]
        return {verb for rule in role["rules"] if "services" in rule["resources"] for verb in rule["verbs"]}

    assert {"create", "patch", "delete"} <= touched()
    assert touched("--set", "toxiproxy.enabled=false") == set()


# What it carries along


def test_its_eras_are_those_of_the_era_stack() -> None:
    ours, theirs = CHART / "files" / "eras", ROOT / "charts" / "era-stack" / "eras"
    names = sorted(path.name for path in theirs.iterdir())
    assert sorted(path.name for path in ours.iterdir()) == names
    for name in names:
        assert (ours / name).read_bytes() == (theirs / name).read_bytes(), f"cp {theirs / name} {ours / name}"


@pytest.fixture
def promtool() -> Path:
    """It takes minutes to build: where nobody has, `AFTERSHOCK_SOAK=1` (make soak) does."""
    if not programs.ready("promtool") and not os.environ.get("AFTERSHOCK_SOAK"):
        pytest.skip("promtool is not built on this machine; make soak builds it")
    return programs.program("promtool")


def test_prometheus_takes_the_alert_rules(promtool: Path) -> None:
    line = [promtool, "check", "rules", "--lint=all", "--lint-fatal", CHART / "files" / "alerts.yaml"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_not_before(promtool: Path) -> None:
    line = [promtool, "test", "rules", ROOT / "tests" / "alerts.test.yaml"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
