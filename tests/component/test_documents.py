"""What the documents show is run: every shell line, in order, and every YAML document, in a folder of its own.

A line that is meant to fail says so: `# exits 1`. `make` lines are left to the tests that run them whole.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from own_home import own_home

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(sh|yaml)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.fixture
def place() -> Iterator[dict[str, str]]:
    """A home of its own, and whatever stack a document starts there stopped again."""
    with own_home():
        yield {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "operator"),
        }


def blocks(document: Path) -> list[tuple[str, str, str]]:
    return [(kind, info.strip(), text) for kind, info, text in BLOCK.findall(document.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d)], ids=lambda d: str(d.relative_to(ROOT)))
def test_what_a_document_shows_works(document: Path, place: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for kind, info, text in blocks(document):
        if kind == "yaml":
            _keep(tmp_path, info, text, place)
        else:
            for line in text.replace("\\\n", " ").splitlines():
                _type(line, tmp_path, place)


def _keep(folder: Path, info: str, text: str, environment: dict[str, str]) -> None:
    named = re.match(r"file=(\S+)", info)
    path = folder / (named[1] if named else "shown.yaml")
    path.write_text(text, encoding="utf-8")
    if re.search(r"^kind:", text, re.MULTILINE):
        done = subprocess.run(
            ["aftershock", "validate", path.name], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"


def _type(line: str, folder: Path, environment: dict[str, str]) -> None:
    if not line.strip() or line.startswith(("make ", "#")):
        return
    said = re.search(r"# exits (\d+)", line)
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == (int(said[1]) if said else 0), f"$ {line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_no_link_leads_nowhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
