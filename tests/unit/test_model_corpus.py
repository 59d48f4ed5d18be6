"""The corpus: what is good passes, and of what is bad every problem is found, with file and line, and none beyond.

A bad file begins with lines `# expect: line: field: fragment`; the fragment is part of the problem as it is printed.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, note, settings
from hypothesis import strategies as st

from aftershock.faults.registry import FAULTS
from aftershock.model import yaml12
from aftershock.model.era import Era
from aftershock.model.experiment import Experiment
from aftershock.model.load import from_object, from_tree, load, load_text
from aftershock.model.problem import Invalid, Problem
from aftershock.model.run import Run
from aftershock.model.stack import Stack
from aftershock.model.write import dump_yaml, to_tree

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus"
GOOD = sorted(
    [*(CORPUS / "good").iterdir(), *(ROOT / "experiments").glob("*.yaml"), *ROOT.glob("charts/era-stack/eras/*.yaml")]
)
BAD = sorted((CORPUS / "bad").iterdir())


def file_name(path: Path) -> str:
    return path.stem


def test_there_is_a_corpus() -> None:
    assert len(GOOD) >= 15
    assert len(BAD) >= 14


@pytest.mark.parametrize("path", GOOD, ids=file_name)
def test_good_files_are_good(path: Path) -> None:
    loaded = load(path, FAULTS)
    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.sound()


@pytest.mark.parametrize("path", GOOD, ids=file_name)
def test_good_documents_come_back_from_trees_and_yaml(path: Path) -> None:
    for document in load(path, FAULTS).sound():
        kind = type(document.object)
        tree = to_tree(document.object)
        assert from_tree(tree, kind, FAULTS) == document.object
        assert from_tree(document.tree, kind) == document.object
        assert from_object(document.object, FAULTS).object == document.object
        (again,) = load_text(dump_yaml(tree), "again.yaml", FAULTS).sound()
        assert again.object == document.object
        assert yaml.safe_load(dump_yaml(tree)) == tree


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize("path", BAD, ids=file_name)
def test_every_problem_of_a_bad_file_is_found_and_none_beyond(
    path: Path, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml12, "_LOADER", getattr(yaml, loader))
    head = [line.removeprefix("# expect: ") for line in path.read_text().splitlines() if line.startswith("# expect: ")]
    expected = [tuple(line.split(": ", 2)) for line in head]
    assert expected, "a bad file says what is wrong with it"
    found = list(load(path, FAULTS).problems)
    for line, field, fragment in expected:
        fitting = [p for p in found if (str(p.line), p.field) == (line, field) and fragment in str(p)]
        assert fitting, f"not found: {line}: {field}: {fragment}\nfound: {[str(p) for p in found]}"
        found.remove(fitting[0])
    assert [str(problem) for problem in found] == []


@pytest.mark.parametrize("path", BAD, ids=file_name)
def test_every_problem_says_what_would_do(path: Path) -> None:
    loaded = load(path, FAULTS)
    for problem in loaded.problems:
        assert problem.file == str(path)
        assert problem.message
        assert problem.advice
        assert str(problem).startswith(f"{path}:{problem.line}: ")
        assert "\n" not in str(problem)
    with pytest.raises(Invalid) as raised:
        loaded.sound()
    assert raised.value.problems == loaded.problems


Change = Callable[[random.Random, list[str]], None]


def drop(rng: random.Random, lines: list[str]) -> None:
    del lines[rng.randrange(len(lines))]


def repeat(rng: random.Random, lines: list[str]) -> None:
    lines.insert(rng.randrange(len(lines)), rng.choice(lines))


def indent(rng: random.Random, lines: list[str]) -> None:
    place = rng.randrange(len(lines))
    lines[place] = rng.choice(["  ", " ", "\t", "- "]) + lines[place]


def swap(rng: random.Random, lines: list[str]) -> None:
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def scribble(rng: random.Random, lines: list[str]) -> None:
    place = rng.randrange(len(lines))
    at = rng.randrange(len(lines[place]) + 1)
    ink = rng.choice(
        ["", "{", "]", ":", "&a ", "*a", "!", "null", "-1", "0x1", "~", "'", "\x00", "é", "\ud800", "9" * 50]
    )
    lines[place] = lines[place][:at] + ink + lines[place][at + rng.randrange(3) :]


def replace(rng: random.Random, lines: list[str]) -> None:
    place = rng.randrange(len(lines))
    name, colon, _ = lines[place].partition(":")
    lines[place] = (
        name + colon + " " + rng.choice(["[]", "{}", "null", "1", "1.5", "true", "x", '""', "[[1]]", "{a: 1}"])
    )


@settings(deadline=None)
@given(path=st.sampled_from(GOOD), seed=st.integers(0, 2**32), changes=st.integers(1, 6))
def test_mutated_documents_give_problems_and_nothing_else(path: Path, seed: int, changes: int) -> None:
    rng = random.Random(seed)
    lines = path.read_text().splitlines()
    for _ in range(changes):
        rng.choice([drop, repeat, indent, swap, scribble, replace])(rng, lines)
        lines = lines or [""]
    text = "\n".join(lines)
    note(text.encode(errors="backslashreplace").decode())
    loaded = load_text(text, "mutated.yaml", FAULTS)
    assert loaded.documents or loaded.problems
    for problem in loaded.problems:
        assert problem.line is None or 1 <= problem.line <= len(lines) + 1
        assert "\n" not in str(problem)
    for document in loaded.documents:
        assert from_tree(to_tree(document.object), type(document.object), FAULTS) == document.object


@settings(deadline=None)
@given(content=st.binary(max_size=400))
def test_any_bytes_give_problems_and_nothing_else(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x.yaml"
    path.write_bytes(content)
    assert load(path, FAULTS).problems


kinds = st.sampled_from(["Era", "Stack", "Experiment", "Run", "Gate"])
words = st.sampled_from(
    ["name", "spec", "timeline", "for", "at", "fault", "target", "with", "links", "indicators", "http", "url", "env", "dsn",
     "objectives", "source", "kind", "labels", "load", "rate", "1s", "latency", "99%", "selector", "of", "listen", "value"]
)  # fmt: skip
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=5),
    max_leaves=25,
)


@settings(deadline=None)
@given(kind=kinds, metadata=trees, spec=trees, wanted=st.sampled_from([Era, Stack, Experiment, Run]))
def test_any_tree_is_a_document_or_invalid(kind: str, metadata: object, spec: object, wanted: type) -> None:
    tree = {"apiVersion": "aftershock.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    problems: tuple[Problem, ...] = ()
    try:
        document = from_tree(tree, wanted, FAULTS)
    except Invalid as invalid:
        problems = invalid.problems
    else:
        assert isinstance(document, wanted)
        return
    assert problems
    assert all(problem.line is None and str(problem) for problem in problems)
