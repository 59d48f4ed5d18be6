"""`aftershock validate`: what it is given (the corpus has what is in it), and what it says of a syntax that is none."""

import os
from pathlib import Path

import pytest

from aftershock.cli.app import USAGE, run
from aftershock.faults.registry import FAULTS
from aftershock.model.load import load_text
from aftershock.runtime.loading import validate

GOOD = "apiVersion: aftershock.dev/v1alpha1\nkind: Stack\nmetadata: {name: here}\nspec: {era: 1k, environment: test}\n"


def test_a_tab_is_called_a_tab() -> None:
    (problem,) = load_text("kind: Stack\nmetadata:\n\tname: here\n", "x.yaml").problems
    assert "a tab" in str(problem)
    assert "indent with spaces" in str(problem)


def test_another_slip_of_the_syntax_is_called_what_it_is() -> None:
    (problem,) = load_text("kind: [Stack\n", "x.yaml").problems
    assert "check indentation, colons and quotes" in str(problem)


def test_a_document_of_no_known_kind_is_told_of_its_version_too() -> None:
    problems = load_text("apiVersion: aftershock.dev/v1\nkind: Experimnt\n", "x.yaml").problems
    assert [problem.field for problem in problems] == ["apiVersion", "kind"]


def test_a_fault_that_is_none_is_told_of_beside_parameters_that_are_none() -> None:
    text = (
        "apiVersion: aftershock.dev/v1alpha1\nkind: Experiment\nmetadata: {name: x}\nspec:\n  stack: x\n  timeline:\n"
    )
    text += "  - {for: 1s, fault: latancy, target: db, with: 5}\n"
    problems = load_text(text, "x.yaml", FAULTS).problems
    assert {problem.field for problem in problems} == {"spec.timeline[0].fault", "spec.timeline[0].with"}


def test_an_empty_name_is_wrong_usage_and_not_this_folder() -> None:
    assert run(["validate", ""]) == USAGE


def test_a_folder_is_looked_through_and_only_for_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "stack.yml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("no YAML")
    os.mkfifo(tmp_path / "pipe.yaml")  # to open it would wait for ever
    found = validate([tmp_path])
    assert (found.files, found.documents, found.problems) == ([tmp_path / "deep" / "stack.yml"], 1, [])


def test_a_folder_that_is_closed_is_a_problem_and_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "stack.yaml").write_text(GOOD)
    real = os.scandir

    def refusing(path: str | os.PathLike[str]) -> object:
        if Path(path) == closed:  # root may look into any folder, so it is refused here
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    (problem,) = validate([tmp_path]).problems
    assert str(closed) in str(problem)
    assert "check its permissions" in str(problem)
