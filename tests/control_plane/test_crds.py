"""The kinds on a real API server: what passes `aftershock validate` passes it, and the other way round.

What it cannot see is in UNSEEN, each with its reason; nothing else may differ.
"""

import copy
import json
import os
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from aftershock.adapters import kubernetes as k8s
from aftershock.faults.registry import FAULTS
from aftershock.model import bounds, yaml12
from aftershock.model.load import KINDS, load
from aftershock.stacks.control_plane import ControlPlane
from control_plane.conftest import Kubectl
from doors import Tree, admitted, validated
from fuzzed import GOOD, ROOT, fuzzed
from typed import documents

pytestmark = pytest.mark.usefixtures("applied_crds")
SOAK = bool(os.environ.get("AFTERSHOCK_SOAK"))
BAD = sorted((ROOT / "tests" / "corpus" / "bad").iterdir())
UNSEEN = {
    "status": "nobody creates a status: the API server throws away what a file says there, unread but for its fields' names",
}
"""Fields of which only `validate` says that they are wrong, and why."""


def unseen(problems: str) -> bool:
    """Tell whether all problems are of those that the API server cannot see."""
    fields = [line.removeprefix("tree: ").partition(":")[0] for line in problems.splitlines()]
    return all(field.partition(".")[0] in UNSEEN for field in fields)


def agree(api: k8s.Api, tree: Tree, namespace: str, seed: str = "") -> bool:
    """Hold both doors against each other; tell whether they let the document through."""
    ours, theirs = validated(tree), admitted(api, tree, namespace)
    if ours is not None and theirs is None and unseen(ours):
        return True
    assert (ours is None) == (theirs is None), f"{seed}\n{json.dumps(tree)}\nvalidate: {ours}\nAPI server: {theirs}"
    return ours is None


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_documents_pass_both(path: Path, api: k8s.Api, namespace: str) -> None:
    for document in load(path, FAULTS).sound():
        assert agree(api, document.tree, namespace)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_documents_of_bad_files_pass_both_or_none(path: Path, api: k8s.Api, namespace: str) -> None:
    """What is no YAML, or YAML that is read in two ways, is seen by no API server: kubectl's own reading is tested below."""
    for node, sound in yaml12.read(path.read_text(), path.name)[0]:
        tree = node.plain()
        if sound and isinstance(tree, dict) and tree.get("kind") in KINDS and "apiVersion" in tree:
            agree(api, tree, namespace)


def document(name: str, kind: str) -> Tree:
    """Return the first document of a kind in a good file."""
    loaded = load(ROOT / "tests" / "corpus" / "good" / f"{name}.yaml", FAULTS)
    return next(copy.deepcopy(each.tree) for each in loaded.sound() if each.kind == kind)


BASES = {
    "Era": partial(document, "era-with-everything", "Era"),
    "Stack": partial(document, "stack-local", "Stack"),
    "Cluster": partial(document, "stack-in-a-cluster", "Stack"),
    "Experiment": partial(document, "experiment-with-everything", "Experiment"),
    "Run": partial(document, "run", "Run"),
}
GONE = object()


def held(fault: str, parameters: Any) -> list[Tree]:
    """A timeline of one fault."""
    return [{"for": "10s", "fault": fault, "target": "app", "with": parameters}]


ONE_WRONG: list[tuple[str, str, Any]] = [
    ("Era", "spec.window", "0s"),
    ("Era", "spec.window", "10000d"),
    ("Era", "spec.window", "9999d24h"),
    ("Era", "spec.incidentShare", "0.000%"),
    ("Era", "spec.incidentShare", "100.1%"),
    ("Era", "spec.objectives", []),
    ("Era", "spec.objectives.0.target", GONE),
    ("Era", "spec.objectives.1.below", GONE),
    ("Era", "spec.objectives.1.statistic", GONE),
    ("Era", "spec.objectives.1.name", "uptime"),
    ("Era", "spec.objectives.1.below", "0s"),
    ("Era", "spec.recovery.rpo.source.note", GONE),
    ("Era", "spec.recovery.rpo.source.note", " \t\n"),
    ("Era", "spec.recovery.rto.value", "0s"),
    ("Era", "spec.figures.0.why", "  "),
    ("Era", "spec.scale.users", "1e4"),
    ("Era", "spec.years", 2013),
    ("Era", "spec.yeers", "2013"),
    ("Stack", "spec.environment", "prod"),
    ("Stack", "spec.toxiproxies.1.name", "main"),
    ("Stack", "spec.toxiproxies.0.url", "http://127.0.0.1:65536"),
    ("Stack", "spec.toxiproxies.0.url", "http://me:secret@127.0.0.1"),
    ("Stack", "spec.toxiproxies.0.restart.supervisor.url", "unix:run/x"),
    ("Stack", "spec.databases.0.of", "replica"),
    ("Stack", "spec.databases.1.of", GONE),
    ("Stack", "spec.databases.1.of", "replica"),
    ("Stack", "spec.databases.0.dsn", {}),
    ("Stack", "spec.databases.0.dsn.file", "x"),
    ("Stack", "spec.databases.0.dsn.env", "NOT-ONE"),
    ("Stack", "spec.links.0.toxiproxy", "other"),
    ("Stack", "spec.links.0.proxy", GONE),
    ("Stack", "spec.links.0.listen", "127.0.0.1:1"),
    ("Stack", "spec.links.1.upstream", GONE),
    ("Stack", "spec.links.2", {"name": "x", "toxiproxy": "main", "proxy": "app-primary"}),
    ("Stack", "spec.links.2", {"name": "x", "toxiproxy": "main", "listen": "127.0.0.1:15432", "upstream": "a:1"}),
    ("Stack", "spec.workloads.0.pidFile", {"path": "x"}),
    ("Stack", "spec.workloads.0.supervisor", GONE),
    ("Stack", "spec.workloads.1.replicas", 0),
    ("Stack", "spec.settings.0.workload", "other"),
    ("Stack", "spec.indicators.0.every", "0.999ms"),
    ("Stack", "spec.indicators.0.timeout", "0s"),
    ("Stack", "spec.indicators.0.http", GONE),
    ("Stack", "spec.indicators.0.sql", {"database": "primary", "query": "SELECT 1"}),
    ("Stack", "spec.indicators.0.http.expect", []),
    ("Stack", "spec.indicators.0.http.expect.0", 99),
    ("Stack", "spec.indicators.0.http.expect.0", 600),
    ("Stack", "spec.indicators.0.http.method", "HEAD"),
    ("Stack", "spec.indicators.0.http.url", "http://127.0.0.1/a b"),
    ("Stack", "spec.indicators.0.http.headers", {"cOOKIE": "a"}),
    ("Stack", "spec.indicators.0.http.headers", {"a b": "a"}),
    ("Stack", "spec.indicators.0.http.headers", {"a": "é"}),
    ("Stack", "spec.indicators.0.http.auth.basic", {"username": "x", "password": {"env": "A"}}),
    ("Stack", "spec.indicators.2.sql.database", "other"),
    ("Stack", "spec.indicators.2.sql.query", "\n"),
    ("Stack", "spec.indicators.3.promql.atLeast", 99.6),
    ("Stack", "spec.indicators.4.ledger.headers.Authorization", "a"),
    ("Cluster", "spec.workloads.0.selector", {}),
    ("Cluster", "spec.workloads.0.selector", {"-a": "b"}),
    ("Cluster", "spec.workloads.0.selector", {"a": "-b"}),
    ("Cluster", "spec.workloads.0.selector", {"a" * 254 + "/b": "c"}),
    ("Cluster", "spec.regions", [{"name": "us-east", "nodes": {}}]),
    ("Experiment", "metadata.name", "a" * 41),
    ("Experiment", "spec.eras.1", "1k"),
    ("Experiment", "spec.eras.1", "1K"),
    ("Experiment", "spec.expect.0.atMost", "94.999999999999%"),
    ("Experiment", "spec.expect.0", {"indicator": "join", "during": "fault"}),
    ("Experiment", "spec.expect.1.indicator", "join"),
    ("Experiment", "spec.load", GONE),
    ("Experiment", "spec.load.rate", "0/s"),
    ("Experiment", "spec.timeline", []),
    ("Experiment", "spec.timeline.0.for", "0s"),
    ("Experiment", "spec.timeline.0.for", "10.000001s"),
    ("Experiment", "spec.timeline.1.at", "9999.999ms"),
    ("Experiment", "spec.timeline.1.represents", "9s"),
    ("Experiment", "spec.timeline.0.fault", "no-fault"),
    ("Experiment", "spec.timeline.0.with.leave", 1),
    ("Experiment", "spec.timeline.0.with.jiter", "1ms"),
    ("Experiment", "spec.timeline.0.with.latency", GONE),
    ("Experiment", "spec.timeline.0.with.latency", 100),
    ("Experiment", "spec.timeline.0.with", GONE),
    ("Experiment", "spec.timeline.0.with.jitter", "100ms"),
    ("Experiment", "spec.timeline.0.with.toxicity", "6%"),
    ("Experiment", "spec.timeline.0.with.direction", "sideways"),
    ("Experiment", "spec.timeline.2.with.every", "99ms"),
    ("Experiment", "spec.timeline.3.with.rate", 0),
    ("Experiment", "spec.timeline.4.with.factor", 1),
    ("Experiment", "spec.timeline", held("pod-kill", {"count": 0})),
    ("Experiment", "spec.timeline", held("pod-kill", {"percent": "0.0%"})),
    ("Experiment", "spec.timeline", held("pod-kill", {"count": 1, "percent": "1%"})),
    ("Experiment", "spec.timeline", held("latency", None)),
    ("Experiment", "spec.guardrails.0.below", "0%"),
    ("Experiment", "spec.guardrails.0.for", "0ms"),
    ("Experiment", "spec.recovery", {"watch": "9.999999s"}),
    ("Experiment", "spec.recovery", {"steady": "2m0.001s"}),
    ("Experiment", "spec.trigger", "Schedule"),
    ("Experiment", "spec.schedule", {"cron": "0 3 * * *"}),
    ("Experiment", "spec.historyLimit", {"passed": -1}),
    ("Experiment", "spec.hypothesis", "a" * (bounds.LONGEST_TEXT + 1)),
    (
        "Experiment",
        "spec.expect",
        [{"indicator": "a", "during": "recovery", "atLeast": "1%"}] * (bounds.LONGEST_LIST + 1),
    ),
    ("Run", "spec.experiment", GONE),
    ("Run", "spec.eras", ["a", "a"]),
    ("Run", "spec.definition", {}),
    ("Run", "spec.definition", {"stack": "a", "trigger": "Schedule"}),
    ("Run", "spec.abort", "true"),
]


def changed(tree: Tree, way: str, value: Any) -> Tree:
    """Return a document with one value changed."""
    tree = copy.deepcopy(tree)
    *steps, last = (int(step) if step.isdigit() else step for step in way.split("."))
    holder: Any = tree
    for step in steps:
        holder = holder[step] if isinstance(holder, list) else holder.setdefault(step, {})
    if value is GONE:
        del holder[last]
    elif isinstance(holder, list) and last == len(holder):
        holder.append(value)
    else:
        holder[last] = value
    return tree


@pytest.mark.parametrize(("base", "way", "value"), ONE_WRONG)
def test_one_thing_wrong_is_refused_by_both(base: str, way: str, value: Any, api: k8s.Api, namespace: str) -> None:
    good = BASES[base]()
    good.pop("status", None)
    assert not agree(api, changed(good, way, value), namespace)


JUST_RIGHT: list[tuple[str, str, Any]] = [
    ("Era", "spec.window", "9999d23h59m59.999999s"),
    ("Stack", "spec.indicators.0.every", "0.001s"),
    ("Stack", "spec.indicators.0.http.expect", [599.0]),
    ("Stack", "spec.indicators.3.promql.atLeast", 99.5),
    ("Stack", "spec.indicators.0.http.contains", None),
    ("Cluster", "spec.workloads.0.selector", {"a" * 253 + "/" + "b" * 63: "c"}),
    ("Experiment", "spec.timeline.0.for", "9.999999s"),
    ("Experiment", "spec.timeline.0.for", "0.002777h"),
    ("Experiment", "spec.timeline.1.represents", "10000ms"),
    ("Experiment", "spec.expect.0.atMost", "95.000000000000%"),
    ("Experiment", "spec.recovery", {"watch": "0.5d", "steady": "12h"}),
    ("Experiment", "spec.recovery", {"watch": "10000ms"}),
    ("Experiment", "spec.timeline.0.with.direction", None),
    ("Experiment", "spec.timeline", held("pod-kill", None)),
    ("Experiment", "spec.timeline", held("pod-kill", {"percent": "0.000000000001%"})),
    ("Experiment", "spec.expect.0.atLeast", None),
    ("Experiment", "spec.trigger", None),
    ("Experiment", "spec.guardrails", None),
    ("Experiment", "spec.hypothesis", "é" * bounds.LONGEST_TEXT),
    ("Run", "spec.definition", {"stack": "a", "trigger": "Schedule", "schedule": {"cron": "0 3 * * *"}}),
]


@pytest.mark.parametrize(("base", "way", "value"), JUST_RIGHT)
def test_what_just_fits_is_taken_by_both(base: str, way: str, value: Any, api: k8s.Api, namespace: str) -> None:
    assert agree(api, changed(BASES[base](), way, value), namespace)


def test_documents_made_of_the_types_pass_both_or_none(api: k8s.Api, namespace: str) -> None:
    passed: dict[bool, int] = {True: 0, False: 0}

    @settings(max_examples=2000 if SOAK else 150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(documents())
    def check(tree: Tree) -> None:
        passed[agree(api, tree, namespace)] += 1

    check()
    assert min(passed.values()) > 5, f"the documents say little: {passed}"


def test_fuzzed_documents_pass_both_or_none(api: k8s.Api, namespace: str) -> None:
    """Whatever it is, the API server says yes or no to it: anything else would be raised here."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    passed = [agree(api, tree, namespace, name) for name, tree in fuzzed(seed, 2000 if SOAK else 300)]
    assert len(set(passed)) == 2


def largest() -> list[Tree]:
    """Documents with as much of everything as there may be."""
    many = range(bounds.LONGEST_LIST)
    label = {f"{number:063}": "a" * 63 for number in range(bounds.LARGEST_MAPPING)}
    stack = {
        "era": "e",
        "environment": "test",
        "toxiproxies": [{"name": f"t{n}", "url": "http://t"} for n in many],
        "databases": [
            {"name": f"d{n}", "dsn": {"env": "D"}, **({"role": "replica", "of": "d0"} if n else {})} for n in many
        ],
        "links": [
            {"name": f"l{n}", "toxiproxy": f"t{n}", "listen": f"{'h' * 250}:{n + 1}", "upstream": "d:1"} for n in many
        ],
        "workloads": [{"name": f"w{n}", "selector": label} for n in many],
        "settings": [{"name": f"s{n}", "workload": "w99", "env": "E"} for n in many],
        "indicators": [{"name": f"i{n}", "http": {"url": "http://i", "headers": label}} for n in many],
    }
    claim = {"indicator": "a" * 63, "during": "recovery", "atLeast": "99.999999999999%", "atMost": "100%"}
    fault = {
        "for": "23h59m59.999999s",
        "fault": "latency",
        "target": "a" * 63,
        "with": {"latency": "1s", "jitter": "0.5s"},
    }
    experiment = {
        "stack": "s",
        "eras": [f"e{n}" for n in many],
        "expect": [claim] * bounds.LONGEST_LIST,
        "timeline": [{"at": f"{n}.000001d", **fault} for n in range(bounds.LONGEST_TIMELINE)],
    }
    objective = {"indicator": "a", "target": "99%", "source": {"kind": "derived", "note": " " * 5000 + "x"}}
    era = {"objectives": [{"name": f"o{n}", **objective} for n in many]}
    made = {"Stack": stack, "Experiment": experiment, "Era": era}
    made["Run"] = {"experiment": "x", "stack": "s", "definition": experiment}
    return [{"apiVersion": k8s.OURS, "kind": kind, "metadata": {"name": "large"}, "spec": made[kind]} for kind in made]


@pytest.mark.parametrize("tree", largest(), ids=lambda tree: tree["kind"])
def test_the_largest_documents_are_within_the_api_servers_budget(
    tree: Tree, plane: ControlPlane, namespace: str
) -> None:
    patient = k8s.Api.connect(plane.kubeconfig, timeout=60)  # it takes a second or two where nothing else runs
    assert agree(patient, tree, namespace)


# With kubectl itself


def test_kubectl_takes_every_good_file(kubectl: Kubectl, api: k8s.Api) -> None:
    named = {d.object.metadata.namespace for path in GOOD for d in load(path, FAULTS).sound()} - {None}
    for name in named:
        if api.find(k8s.NAMESPACES, str(name)) is None:
            api.create(k8s.NAMESPACES, {"metadata": {"name": name}})
    files = [argument for path in GOOD for argument in ("-f", path)]
    line = [
        each
        for each in kubectl.line("create", "--dry-run=server", *files)
        if each not in {"--namespace", kubectl.namespace}
    ]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("created (server dry run)") == sum(len(load(path, FAULTS).documents) for path in GOOD)


READ_ALIKE = [
    "10:30", "1:30:00", "2025-01-02", "0o17", "0x1F", "12", "+12", "1.", ".5", "1e3", "~", "null", "true", "FALSE", "=",
    "nULL", "tRUE", "v1_0", "1_x", "_1", "0b12", "'yes'", '"017"', "1_000ms", "-0", "+.5", "1e-2", "10.0"]  # fmt: skip
READ_OTHERWISE = [
    "yes",
    "No",
    "on",
    "OFF",
    "y",
    "N",
    "1_000",
    "017",
    "0b11",
    "0X1F",
    "-0x1F",
    "0O17",
    "1_0.5",
    "0x1_F",
    "-0b1",
    "0o1_7",
]


@pytest.mark.parametrize("text", [*READ_ALIKE, *READ_OTHERWISE])
def test_kubectl_reads_plain_scalars_as_we_do_or_we_refuse_them(text: str, kubectl: Kubectl) -> None:
    """A Run's `with:` would tell of any type; a ConfigMap on its way to the client alone keeps what it is."""
    made = kubectl(
        "annotate", "--local", "--dry-run=client", "-o", "json", "-f", "-", "x=y", feed=f"{CUSTOM}  value: {text}\n"
    )
    told = json.loads(made)["spec"]["value"]
    ours, problems = yaml12.read(f"value: {text}\n", "x.yaml")
    if text in READ_OTHERWISE:
        assert "to kubectl" in str(problems[0])
        assert (told, type(told)) != (yaml12.resolve(text)[1], type(yaml12.resolve(text)[1]))
    else:
        assert not problems
        here = ours[0][0].plain()["value"]
        assert (told, isinstance(told, str | bool)) == (here, isinstance(here, str | bool))


CUSTOM = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\nspec:\n"
