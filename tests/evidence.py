"""What lies in `docs/evidence/`: `make evidence` runs every experiment on every era's stack, and keeps the journals.

`python tests/evidence.py 10k/replica-lag 1k` does so again for one run, and for all of an era. A run takes a minute.
"""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from aftershock.errors import InputError
from aftershock.faults.registry import FAULTS
from aftershock.model.load import Document, load, load_text
from aftershock.model.problem import Invalid
from aftershock.model.stack import Stack
from aftershock.reports import eras
from aftershock.runtime import folders, loading
from aftershock.stacks import layout, local, render, values

ROOT = Path(__file__).parent.parent
EXPERIMENTS = ROOT / "experiments"
HOME = Path("/var/tmp/aftershock-evidence")
"""Where the stacks lie: its name stands in the journals."""


SWITCHED = {
    "1k": {"overload": ["POOL_SIZE=20", "RATE_LIMIT=200"]},
    "10k": {"peak-hour": ["CACHE=off", "CACHE=off,INDEXES=1"], "replica-lag": ["READS=split", "CACHE=all"]},
    "1m": {"failover": ["SYNCHRONOUS=on"]},
}
"""What else is run, with a stack's switches turned: what history did after an incident changes the verdict."""


def experiments() -> list[Path]:
    """Return the files of all experiments that need no cluster."""
    return sorted(EXPERIMENTS.glob("*.yaml"))


def refusal(era: str, experiment: Path) -> str | None:
    """Return why an experiment can't run on an era's stack; None where it can. No stack is up for that."""
    (document,) = load(experiment, FAULTS).sound()
    stack = local_stack(era)
    try:
        loading.check_fit(document, stack)  # type: ignore[arg-type]
        loading.fitted(document, stack, [], Path())  # type: ignore[arg-type]
    except Invalid as error:
        targets = [each for each in error.problems if each.field.endswith(".target")]
        return (targets or list(error.problems))[0].message
    except InputError as error:
        return error.problem
    return None


def local_stack(era: str) -> Document[Stack]:
    """Return the Stack file that `aftershock stack up` would write."""
    wanted = values.load(era)
    ports = {name: 20000 + number for number, name in enumerate(layout.wanted_ports(wanted))}
    words = dict.fromkeys(layout.wanted_passwords(wanted), "x")
    folder = Path("/tmp/stack")
    name, ports, ways = f"meetings-{era}", layout.shared(wanted, ports), layout.hosts(wanted)
    decided = layout.Layout(name, folder, folder / "logs", "unix:///tmp/s.sock", ports, words, "test", ways)
    (document,) = load_text(render.stack(wanted, decided), "stack.yaml", FAULTS).sound()
    assert isinstance(document.object, Stack)
    return document  # type: ignore[return-value]


def planned() -> Iterator[tuple[str, Path, str | None]]:
    """Give out every era with a stack, every experiment, and why it is refused there."""
    for era in values.eras():
        for experiment in experiments():
            yield era, experiment, refusal(era, experiment)


def switched(era: str) -> Iterator[tuple[Path, str]]:
    """Give out the experiments that also run with switches turned, and which."""
    for name, ways in SWITCHED.get(era, {}).items():
        for way in ways:
            yield EXPERIMENTS / f"{name}.yaml", way


def _kept(era: str, name: str) -> Path:
    return ROOT / eras.EVIDENCE / era / f"{name}{eras.ENDING}"


def _wanted(era: str, experiment: str, asked: Sequence[str]) -> bool:
    return not asked or era in asked or f"{era}/{experiment}" in asked


def gather(asked: Sequence[str]) -> None:
    """Run what is asked for, everything where nothing is, and write the tables anew."""
    refused: dict[str, dict[str, str]] = {}
    runs: dict[tuple[str, str], list[Path]] = {}
    for era, experiment, why in planned():
        if why is not None:
            refused.setdefault(era, {})[experiment.stem] = why
        elif _wanted(era, experiment.stem, asked):
            runs.setdefault((era, ""), []).append(experiment)
    for era in values.eras():
        for experiment, way in switched(era):
            if _wanted(era, experiment.stem, asked):
                runs.setdefault((era, way), []).append(experiment)
    for (era, way), each in runs.items():
        _run_all(era, way, each)
    text = msgspec.json.format(msgspec.json.encode(refused, order="sorted"), indent=2)
    (ROOT / eras.EVIDENCE / eras.REFUSED).write_bytes(text + b"\n")
    page = ROOT / eras.PAGE
    page.write_text(eras.written(page.read_text(encoding="utf-8"), eras.gathered(ROOT), eras.refusals(ROOT)), "utf-8")


def _run_all(era: str, way: str, each: Sequence[Path]) -> None:
    turned = dict(one.split("=", 1) for one in way.split(",") if one)
    stack = local.up(era, switched=turned)
    try:
        for experiment in each:
            _run(experiment, stack, _kept(era, f"{experiment.stem}@{way}" if way else experiment.stem))
    finally:
        local.down(f"meetings-{era}")


def _run(experiment: Path, stack: Path, where: Path) -> None:
    print(f"== {experiment.stem} on {stack.parent.name}", flush=True)
    line = [sys.executable, "-m", "aftershock", "run", str(experiment.relative_to(ROOT)), "--stack", str(stack)]
    subprocess.run(line, cwd=ROOT, check=False, timeout=600)
    newest = folders.every()[-1]
    assert newest.name.startswith(experiment.stem), newest.name
    where.parent.mkdir(parents=True, exist_ok=True)
    with where.open("wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
        packed.write(newest.journal.read_bytes())


if __name__ == "__main__":
    HOME.mkdir(mode=0o755, exist_ok=True)
    os.environ["AFTERSHOCK_HOME"] = str(HOME)
    try:
        gather(sys.argv[1:])
    finally:
        shutil.rmtree(HOME)
