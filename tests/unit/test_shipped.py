"""Every file that ships is a test case: valid, and an experiment fits the stack that it names."""

from pathlib import Path

import pytest

from aftershock.adapters import catalog
from aftershock.core.plan import compile_plan
from aftershock.faults.registry import FAULTS
from aftershock.model.against import check_against
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.load import load, load_text
from aftershock.reports import outline
from evidence import local_stack


@pytest.mark.parametrize("path", [*catalog.experiments(), *catalog.eras()], ids=lambda path: path.stem)
def test_it_is_valid(path: Path) -> None:
    loaded = load(path, FAULTS)
    assert loaded.problems == ()
    assert [document.name for document in loaded.documents] == [path.stem]


@pytest.mark.parametrize("path", catalog.experiments(), ids=lambda path: path.stem)
def test_an_experiment_fits_its_stack_and_says_what_it_is_about(path: Path) -> None:
    (document,) = load(path, FAULTS).sound()
    experiment = document.object
    assert isinstance(experiment, Experiment)
    assert experiment.spec.hypothesis
    assert path.read_text(encoding="utf-8").startswith("# ")
    stack = local_stack(experiment.spec.stack.removeprefix("meetings-"))
    assert check_against(document, stack, FAULTS) == []  # type: ignore[arg-type]
    eras = [era for path in catalog.eras() if isinstance(era := load(path, FAULTS).sound()[0].object, Era)]
    judges = experiment.spec.eras or [stack.object.spec.era]
    own = [era for era in eras if era.metadata.name in judges]
    plan = compile_plan(experiment, stack.object)
    said = outline.text(plan, experiment, stack.object, own)
    assert outline.doubts(plan, stack.object, own) == [], "what can't settle is never decided"
    for objective in own[0].spec.objectives:
        assert f"{objective.name}: " in said
    for injection in experiment.spec.timeline:
        assert f"{injection.target} (" in said


CLUSTER = """
apiVersion: aftershock.dev/v1alpha1
kind: Stack
metadata: {name: meetings-1k, namespace: meetings}
spec:
  era: 1k
  environment: test
  workloads: [{name: app, selector: {app: meetings}, region: us-west}]
  regions: [{name: us-west, nodes: {topology.kubernetes.io/region: us-west}}]
  nodes: [{name: first, node: worker-1.example}]
"""


def test_each_fault_of_a_cluster_has_an_experiment_that_fits_such_a_stack() -> None:
    (stack,) = load_text(CLUSTER, "stack.yaml", FAULTS).sound()
    seen = set()
    for path in sorted((catalog.data() / "experiments" / "kubernetes").glob("*.yaml")):
        (document,) = load(path, FAULTS).sound()
        assert isinstance(document.object, Experiment)
        assert document.name == path.stem
        assert document.object.spec.hypothesis and path.read_text(encoding="utf-8").startswith("# ")
        assert check_against(document, stack, FAULTS) == []  # type: ignore[arg-type]
        seen |= {injection.fault for injection in document.object.spec.timeline}
    assert seen == {"pod-kill", "workload-hold-down", "node-drain", "region-loss"}
