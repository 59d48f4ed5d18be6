"""What a run ends with on a terminal, and where there is none."""

from pathlib import Path

import pytest

import report_samples as samples
from aftershock.reports import terminal


def test_plain_lines_begin_with_the_verdict_and_end_with_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show(*samples.demo(), Path("/runs/r/report.html"), colour=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✔ Passed: db-connection-exhaustion on meetings-1k"
    assert lines[-1] == "report: /runs/r/report.html"


def test_drawn_or_plain_the_same_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    terminal.show(*samples.demo(), Path("/runs/r/report.html"), colour=True)
    drawn = capsys.readouterr().out
    for said in ("✔ Passed", "✘ Failed", "30 min to 30 min 1 s of 4 min 19 s (uptime)", "/runs/r/report.html", "▁"):
        assert said in drawn


def test_a_word_and_a_sign_stand_for_each_verdict() -> None:
    for build, said in ((samples.unknown, "? Inconclusive"), (samples.aborted, "✘ Failed")):
        assert terminal.render(*build()).startswith(said)
