"""The walk through types, loading, and the rules between an experiment and its stack."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from aftershock.faults.registry import FAULTS
from aftershock.model.against import check_against
from aftershock.model.check import Walk
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment, ExperimentSpec, Injection
from aftershock.model.load import Document, from_object, from_tree, load, load_text
from aftershock.model.metadata import Metadata
from aftershock.model.problem import Invalid
from aftershock.model.stack import Stack
from aftershock.model.units import Duration
from aftershock.model.write import to_tree
from aftershock.model.yaml12 import LARGEST, node_of

HEAD = "apiVersion: aftershock.dev/v1alpha1\nkind: {}\nmetadata: {{name: {}}}\nspec:\n"
STACK = (
    HEAD.format("Stack", "here")
    + """\
  era: 1k
  environment: test
  toxiproxies: [{name: main, url: "http://127.0.0.1:8474"}]
  databases: [{name: primary, dsn: {env: DSN}}]
  links: [{name: to-primary, toxiproxy: main, proxy: p}]
  workloads: [{name: app, pidFile: {path: app.pid}}]
  indicators: [{name: join, http: {url: "http://127.0.0.1/"}}, {name: meet, http: {url: "http://127.0.0.1/"}}]
"""
)


def experiment(spec: str) -> Document[Experiment]:
    (document,) = load_text(HEAD.format("Experiment", "x") + spec, "x.yaml", FAULTS).sound()
    assert isinstance(document.object, Experiment)
    return document  # type: ignore[return-value]


def stack(text: str = STACK) -> Document[Stack]:
    (document,) = load_text(text, "stack.yaml").sound()
    return document  # type: ignore[return-value]


def against(spec: str, text: str = STACK) -> list[str]:
    return [str(problem) for problem in check_against(experiment(spec), stack(text), FAULTS)]


def test_an_experiment_that_fits_its_stack() -> None:
    spec = """\
  stack: elsewhere
  expect: [{indicator: join, during: recovery, atLeast: 99%}]
  load: {indicator: meet, rate: 1/s}
  timeline:
  - {for: 1s, fault: db-connection-exhaustion, target: primary}
  - {for: 1s, fault: link-down, target: to-primary}
  - {for: 1s, fault: process-kill, target: app}
  - {for: 1s, fault: dependency-slow, target: app, with: {latency: 1s}}
  - {for: 1s, fault: dependency-slow, target: primary, with: {latency: 1s}}
  - {for: 1s, fault: traffic-spike, target: load, with: {factor: 2}}
  - {at: 1s, for: 1s, fault: traffic-spike, target: meet, with: {factor: 2}}
  guardrails: [{indicator: join, below: 5%, for: 1s}]
"""
    assert against(spec) == []


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            "  timeline: [{for: 1s, fault: link-down, target: to-primry}]",
            "x.yaml:6: spec.timeline[0].target: stack `here` names no link `to-primry`; did you mean `to-primary`?",
        ),
        (
            "  timeline: [{for: 1s, fault: link-down, target: primary}]",
            (
                "x.yaml:6: spec.timeline[0].target: `primary` is a database; `link-down` is held at a link; "
                "did you mean `to-primary`?"
            ),
        ),
        (
            "  timeline: [{for: 1s, fault: cache-loss, target: primary, with: {by: kill}}]",
            (
                "x.yaml:6: spec.timeline[0].target: `primary` is a database; `cache-loss` is held at a cache; "
                "add one to `caches` of the stack"
            ),
        ),
        (
            "  timeline: [{for: 1s, fault: process-kill, target: web}]",
            "x.yaml:6: spec.timeline[0].target: stack `here` names no workload `web`; use `app`",
        ),
        (
            "  timeline: [{for: 1s, fault: dependency-slow, target: to-primary, with: {latency: 1s}}]",
            (
                "x.yaml:6: spec.timeline[0].target: `to-primary` is a link; `dependency-slow` is held at a part; "
                "did you mean `primary`?"
            ),
        ),
        (
            "  timeline: [{for: 1s, fault: traffic-spike, target: load, with: {factor: 2}}]",
            (
                "x.yaml:6: spec.timeline[0].fault: `traffic-spike` changes the load, and the experiment has none; "
                "add `load:` with an indicator and a rate"
            ),
        ),
        (
            (
                "  load: {indicator: meet, rate: 1/s}\n"
                "  timeline: [{for: 1s, fault: traffic-spike, target: join, with: {factor: 2}}]"
            ),
            "x.yaml:7: spec.timeline[0].target: the load doesn't go to `join`; write `load` or `meet`",
        ),
        (
            "  load: {indicator: met, rate: 1/s}",
            "x.yaml:6: spec.load.indicator: stack `here` has no indicator `met`; did you mean `meet`?",
        ),
        (
            "  expect: [{indicator: q, during: recovery, atLeast: 1%}]",
            "x.yaml:6: spec.expect[0].indicator: stack `here` has no indicator `q`; use one of `join`, `meet`",
        ),
        (
            "  guardrails:\n  - {indicator: q, below: 1%, for: 1s}",
            "x.yaml:7: spec.guardrails[0].indicator: stack `here` has no indicator `q`; use one of `join`, `meet`",
        ),
    ],
)
def test_an_experiment_that_does_not_fit(spec: str, problem: str) -> None:
    assert against("  stack: here\n" + spec + "\n") == [problem]


def test_everything_that_does_not_fit_is_found_at_once() -> None:
    spec = """\
  stack: here
  expect: [{indicator: a, during: recovery, atLeast: 1%}, {indicator: b, during: recovery, atLeast: 1%}]
  timeline: [{for: 1s, fault: link-down, target: c}, {for: 1s, fault: process-kill, target: d}]
"""
    assert len(against(spec, STACK.replace("environment: test", "environment: production"))) == 6


@pytest.mark.parametrize("on_stack", [True, False])
@pytest.mark.parametrize("on_experiment", [True, False])
def test_production_needs_both_allowances(on_stack: bool, on_experiment: bool) -> None:
    allow = "  allow: {production: true}\n"
    text = STACK.replace("environment: test", "environment: production") + (allow if on_stack else "")
    found = against("  stack: here\n" + (allow if on_experiment else ""), text)
    assert [problem.partition(":")[0] for problem in found] == ["stack.yaml"] * (not on_stack) + ["x.yaml"] * (
        not on_experiment
    )
    assert all("in production" in problem and "add `allow: {production: true}`" in problem for problem in found)


def test_an_unknown_fault_is_a_problem_of_an_experiment_read_without_faults() -> None:
    (document,) = load_text(
        HEAD.format("Experiment", "x") + "  stack: here\n  timeline: [{for: 1s, fault: latncy, target: app}]\n",
        "x.yaml",
    ).sound()
    found = check_against(document, stack(), FAULTS)  # type: ignore[arg-type]
    assert [problem.advice for problem in found] == ["did you mean `latency`?"]


BROKEN = """\
  stack: here
  expect: [{indicator: jion, during: fault, atLeast: 190%}, {during: fault, atLeast: 90%}]
  load: {indicator: nope, rate: 20}
  timeline:
  - {fro: 1s, fault: latency, target: nowhere, with: {latency: 100ms}}
  - {for: 1s, fault: latncy, target: nowhere}
  - {for: 1s, fault: link-down, target: app, with: {leave: 1}}
  guardrails: 7
"""


def test_what_has_problems_of_its_own_is_held_against_its_stack_as_far_as_it_can_be_read() -> None:
    loaded = load_text(HEAD.format("Experiment", "x") + BROKEN, "x.yaml", FAULTS)
    assert not loaded.documents
    (document,) = loaded.experiments
    assert [(problem.field, problem.advice) for problem in check_against(document, stack(), FAULTS)] == [
        ("spec.expect[0].indicator", "did you mean `join`?"),
        ("spec.load.indicator", "use one of `join`, `meet`"),
        ("spec.timeline[0].target", "use `to-primary`"),
        ("spec.timeline[2].target", "use `to-primary`"),
    ]


@pytest.mark.parametrize(
    "spec", ["  hypothesis: none of a stack\n", "  stack: here\n  timeline: 3\n  load: 1\n", "  7\n"]
)
def test_what_can_be_read_of_nothing_is_held_against_nothing(spec: str) -> None:
    (document,) = load_text(HEAD.format("Experiment", "x") + spec, "x.yaml", FAULTS).experiments
    assert check_against(document, stack(), FAULTS) == []


class Bounded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    whole: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    part: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    some_time: Duration = Duration(1)

    def __post_init__(self) -> None:
        if self.some_time > 10:
            raise ValueError("someTime: at most 10s")
        if self.some_time == 7:
            raise ValueError("seven is right out")


@pytest.mark.parametrize(
    ("tree", "problems"),
    [
        ({"whole": 1, "part": 0.5, "someTime": "10s"}, []),
        ({"whole": 0}, ["x: whole: found the number 0; write at least 1"]),
        ({"whole": 6}, ["x: whole: found the number 6; write at most 5"]),
        ({"part": 0}, ["x: part: found the number 0; write more than 0"]),
        ({"part": 1}, ["x: part: found the number 1; write less than 1"]),
        ({"whole": True}, ["x: whole: expected a whole number, found true; write a whole number"]),
        (
            {"whole": 2**70},
            ["x: whole: expected a whole number, found a number of more than 63 bits; write a whole number"],
        ),
        ({"part": float("nan")}, ["x: part: expected a number, found the number nan; write a number"]),
        ({"part": {1}}, ["x: part: expected a number, found a set; write a number"]),
        ({"someTime": "11s"}, ["x: someTime: found 11s; write at most 10s"]),
        ({"someTime": "7s"}, ["x: seven is right out; change what it names"]),
        ({"some_time": "1s"}, ["x: some_time: unknown field; did you mean `someTime`?"]),
    ],
)
def test_bounds_of_types_and_of_records_are_problems(tree: dict[str, Any], problems: list[str]) -> None:
    walk = Walk(node_of(tree), "x", None)
    walk.typed(Bounded)
    assert [str(problem) for problem in walk.problems] == problems


def test_a_slip_of_the_pen_is_one_problem() -> None:
    text = HEAD.format("Experiment", "x") + "  stack: s\n  timeline: [{fro: 1s, fault: latency, target: l}]\n"
    assert [str(problem) for problem in load_text(text, "x.yaml").problems] == [
        "x.yaml:6: spec.timeline[0].fro: unknown field; did you mean `for`?"
    ]


def test_a_fault_that_is_none_is_one_problem_with_the_registry_and_without() -> None:
    text = HEAD.format("Experiment", "x") + "  stack: s\n  timeline: [{for: 1s, fault: link_down, target: l}]\n"
    with_it, without = load_text(text, "x.yaml", FAULTS).problems, load_text(text, "x.yaml").problems
    assert [problem.message for problem in with_it] == ["`link_down` is no known fault"]
    assert [problem.message for problem in without] == ["`link_down` is no name"]


def test_a_broken_name_does_not_make_a_reference_wrong() -> None:
    text = STACK.replace("{name: main,", "{name: 7,")
    assert [problem.field for problem in load_text(text, "x.yaml").problems] == ["spec.toxiproxies[0].name"]


def test_a_broken_record_is_still_the_target_of_references() -> None:
    text = STACK.replace("http://127.0.0.1:8474", "nowhere")
    assert [problem.field for problem in load_text(text, "x.yaml").problems] == ["spec.toxiproxies[0].url"]


def test_sound_documents_are_given_beside_broken_ones() -> None:
    loaded = load_text(STACK + "---\nkind: Nothing\n---\n" + STACK.replace("here", "there"), "x.yaml")
    assert [(document.kind, document.name) for document in loaded.documents] == [("Stack", "here"), ("Stack", "there")]
    with pytest.raises(Invalid, match=r"1 problem found\nx\.yaml:13: kind: `Nothing` is no known kind"):
        loaded.sound()


def test_a_document_with_a_key_twice_is_not_sound() -> None:
    loaded = load_text(STACK + "  era: 10k\n", "x.yaml")
    assert len(loaded.problems) == 1
    assert not loaded.documents


def test_a_file_is_read_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text("\ufeff" + STACK, encoding="utf-8")
    (document,) = load(path).sound()
    assert document.file == str(path)
    assert document.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert document.tree["spec"]["era"] == "1k"


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    latin, large = tmp_path / "latin.yaml", tmp_path / "large.yaml"
    latin.write_bytes(b"a: 1\nb: \xe9\n")
    large.write_bytes(b"#" * (LARGEST + 1))
    for path, fragment in (
        (tmp_path / "absent.yaml", "absent.yaml: can't be read: No such file or directory; check the path"),
        (tmp_path, "can't be read: Is a directory"),
        (Path("nul\0.yaml"), "can't be read: embedded null"),
        (latin, "latin.yaml:2: not UTF-8 text"),
        (large, f"more than {LARGEST} bytes"),
    ):
        (problem,) = load(path).problems
        assert fragment in str(problem)
    assert "characters" in str(load_text("#" * (LARGEST + 1), "x").problems[0])


def test_a_tree_of_another_kind_is_refused() -> None:
    tree = to_tree(stack().object)
    assert isinstance(from_tree(tree, Stack), Stack)
    with pytest.raises(Invalid, match="kind: found Stack; give a Era"):
        from_tree(tree, Era)


def test_a_journal_of_another_day_is_read_without_the_rules_of_this_one() -> None:
    tree = to_tree(stack().object)
    tree["spec"]["indicators"][0]["http"]["url"] = "[redacted]"
    with pytest.raises(Invalid, match="no http or https URL"):
        from_tree(tree, Stack)
    http = from_tree(tree, Stack, rules={}).spec.indicators[0].http
    assert http is not None
    assert http.url == "[redacted]"
    tree["spec"]["era"] = 7
    with pytest.raises(Invalid, match="expected a string"):
        from_tree(tree, Stack, rules={})


def test_a_document_made_in_python_is_held_to_the_same_rules() -> None:
    spec = ExperimentSpec(stack="here", timeline=[Injection(for_=Duration(0), fault="latncy", target="to-primary")])
    thing = Experiment(api_version="aftershock.dev/v1alpha1", metadata=Metadata(name="Python"), spec=spec)
    with pytest.raises(Invalid) as raised:
        from_object(thing, FAULTS)
    assert [problem.field for problem in raised.value.problems] == [
        "metadata.name",
        "spec.timeline[0].fault",
        "spec.timeline[0].for",
    ]


def test_trees_leave_defaults_out_and_write_units_as_text() -> None:
    spec = ExperimentSpec(
        stack="here", timeline=[Injection(at=Duration(0.0), for_=Duration(90), fault="f", target="t")]
    )
    thing = Experiment(api_version="aftershock.dev/v1alpha1", metadata=Metadata(name="x"), spec=spec)
    assert list(to_tree(thing)) == ["apiVersion", "kind", "metadata", "spec"]
    assert to_tree(thing)["spec"] == {"stack": "here", "timeline": [{"for": "1m30s", "fault": "f", "target": "t"}]}
