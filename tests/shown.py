"""What a document shows, as its reader has it: files to write down, lines to type.

`sh` lines work on any machine (component/test_documents.py types them); `console` lines need what the document says before:
a server, a cluster. A line that is meant to fail says so: `# exits 1`.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(sh|console|yaml)([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXITS = re.compile(r"# exits (\d+)")


def blocks(document: Path) -> list[tuple[str, str, str]]:
    """Return kind, what stands beside it, and text of every block, in order."""
    return [(kind, info.strip(), text) for kind, info, text in BLOCK.findall(document.read_text(encoding="utf-8"))]


def file_name(info: str) -> str | None:
    """Return the name of the file that a block is to be written to, if it has one."""
    named = re.match(r"file=(\S+)", info)
    return named[1] if named else None


def files(document: Path) -> dict[str, str]:
    """Return the files that a document shows, by name."""
    found = ((file_name(info), text) for kind, info, text in blocks(document) if kind == "yaml")
    return {name: text for name, text in found if name is not None}


def lines(text: str) -> list[str]:
    """Return the lines of a block that are to be typed, each whole."""
    whole = text.replace("\\\n", " ").splitlines()
    return [line for line in whole if line.strip() and not line.startswith("#")]


def typed(document: Path) -> list[str]:
    """Return all lines that a document's reader types, in order."""
    return [line for kind, _, text in blocks(document) if kind != "yaml" for line in lines(text)]


def type_line(line: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Type one line; return what it prints. Its exit code has to be what it says."""
    said = EXITS.search(line)
    done = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == (int(said[1]) if said else 0), f"$ {line}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
