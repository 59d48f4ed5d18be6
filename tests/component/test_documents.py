"""What the documents show is run: every shell line, in order, and every YAML document, in a folder of its own.

`make` lines are left to the tests that run them whole, `console` lines to those that have what they need.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from own_home import own_home
from shown import ROOT, blocks, file_name, lines, type_line

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
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


def shows(document: Path) -> bool:
    return any(kind != "console" for kind, _, _ in blocks(document))


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if shows(d)], ids=lambda d: str(d.relative_to(ROOT)))
def test_what_a_document_shows_works(document: Path, place: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    for kind, info, text in blocks(document):
        if kind == "yaml":
            _keep(tmp_path, info, text, place)
        elif kind == "sh":
            for line in lines(text):
                if not line.startswith("make "):
                    type_line(line, tmp_path, place)


def _keep(folder: Path, info: str, text: str, environment: dict[str, str]) -> None:
    path = folder / (file_name(info) or "shown.yaml")
    path.write_text(text, encoding="utf-8")
    if re.search(r"^kind:", text, re.MULTILINE):
        type_line(f"aftershock validate {path.name}", folder, environment)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(ROOT)))
def test_no_link_leads_nowhere(document: Path) -> None:
    for target in LINK.findall(document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target
