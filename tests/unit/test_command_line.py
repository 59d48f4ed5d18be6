"""The command line's rim: help from a file that can't go stale, exit codes, and no traceback without --debug."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from aftershock.cli import HELP, named
from aftershock.cli.app import COMMANDS, INTERNAL, USAGE, group, run
from aftershock.cli.help import text


def test_the_help_file_says_what_the_commands_say() -> None:
    assert Path(HELP).read_text(encoding="utf-8") == text(), "run: python -m aftershock.cli.help"


def test_help_needs_no_click() -> None:
    code = "import sys; sys.argv = ['aftershock', '--help']\nfrom aftershock.cli import main\ntry: main()\n"
    code += "except SystemExit: assert 'click' not in sys.modules and 'msgspec' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": "operator"})
    assert done.returncode == 0, done.stderr
    assert "aftershock demo" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_an_example(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    help_text = command.get_help(click.Context(command, info_name=name))
    assert f"aftershock {name}" in help_text


@pytest.mark.parametrize("words", [["nonsense"], ["run"], ["run", "x", "--nonsense"], ["validate"]])
def test_wrong_usage_is_64(words: list[str]) -> None:
    assert run(words) == USAGE


@pytest.mark.parametrize(
    ("name", "run"),
    [("run/slow-1", "slow-1"), ("runs/slow-1", "slow-1"), ("run.aftershock.dev/slow-1", "slow-1"), ("slow-1", None),
     ("last", None), ("./run/journal.jsonl", None), ("experiment/slow", None)],
)  # fmt: skip
def test_a_run_of_a_cluster_is_named_as_kubectl_names_it(name: str, run: str | None) -> None:
    assert named.in_cluster(name) == run


@pytest.mark.parametrize("name", ["run/", "run/default/slow-1", "run/Slow", "runs/slow-1/"])
def test_what_can_be_no_run_of_a_cluster_is_refused_before_anybody_is_asked(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", name]) == 4
    assert "kubectl get runs" in capsys.readouterr().err


def test_a_bug_is_confessed_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(group, "main", broken)
    assert run(["doctor"]) == INTERNAL
    said = capsys.readouterr().err
    assert "planted" in said
    assert "Traceback" not in said
    assert run(["doctor", "--debug"]) == INTERNAL
    assert "Traceback" in capsys.readouterr().err
