"""Every form of the report, whole, as it was last looked at and found good.

`AFTERSHOCK_GOLDEN=write pytest tests/unit/test_report_golden.py` writes the files anew; then read `git diff tests/golden`.
The page's style and script are left out (they are files of their own), and so is this version's number.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import report_samples as samples
from aftershock import __version__
from aftershock.core.history import History
from aftershock.core.verdict import Judgement
from aftershock.reports import html, json_report, junit, markdown, terminal

GOLDEN = Path(__file__).parent.parent / "golden" / "reports"
REGENERATE = "run `AFTERSHOCK_GOLDEN=write pytest tests/unit/test_report_golden.py` and read the difference"


def _page(history: History, judgements: list[Judgement]) -> str:
    """Return the page with one element a line, so that a difference can be read."""
    text = re.sub(
        r"(<style>|<script>).*?(</style>|</script>)", r"\1…\2", html.render(history, judgements), flags=re.DOTALL
    )
    text = re.sub(r"sha256-[\w+/=]*", "sha256-…", text)
    text = text.replace(f"Aftershock {__version__}", "Aftershock VERSION")
    return re.sub(r"(?=<(?:section|h\d|p|li|tr|figure|div|table|details|nav|footer|svg|path)\b)", "\n", text)


def _drawn(history: History, judgements: list[Judgement]) -> str:
    from rich.console import Console

    console = Console(width=110, no_color=True, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(terminal.drawn(history, judgements, "runs/r/report.html"))
        return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"


FORMS: dict[str, Callable[[History, list[Judgement]], str]] = {
    "html": _page,
    "md": markdown.render,
    "line.json": lambda *both: json_report.line(*both).replace('},{"', '},\n{"') + "\n",
    "xml": junit.render,
    "txt": lambda *both: terminal.render(*both, "runs/r/report.html"),
    "rich.txt": _drawn,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sample", samples.SAMPLES)
def test_report_is_as_it_was_found_good(sample: str, form: str) -> None:
    made = FORMS[form](*samples.SAMPLES[sample]())
    path = GOLDEN / f"{sample}.{form}"
    if os.environ.get("AFTERSHOCK_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made, encoding="utf-8")
    assert path.exists(), f"{path} is missing: {REGENERATE}"
    assert made == path.read_text(encoding="utf-8"), REGENERATE


def test_no_golden_file_is_left_that_nothing_makes() -> None:
    made = {f"{sample}.{form}" for sample in samples.SAMPLES for form in FORMS}
    assert {path.name for path in GOLDEN.iterdir()} == made
