"""The two doors to the same executor: the command line, against processes, and the Kubernetes API, against pods."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.cluster import Cluster
from cluster.programs import Failed

EXPERIMENTS = Path(__file__).parent / "experiments"
OPERATOR = Path(__file__).parent.parent.parent / "operator"
PATIENCE = 180.0
"""Seconds that a run may take on a busy machine: 15 are usual."""
OWN = ("FaultLanded", "ObjectivesHeld", "Recovered", "CleanedUp")
"""The conditions of a verdict. `Started` is the cluster's alone."""


@dataclass(frozen=True)
class Told:
    """What a run came to: its verdict, and each condition's status and reason. `because` is for whoever reads a failure."""

    verdict: str
    conditions: dict[str, tuple[str, str]]
    because: str = field(default="", compare=False)

    @classmethod
    def by(cls, run: dict[str, Any]) -> "Told":
        """Read a Run, be it a file or an object of the API."""
        status = run["status"]
        found = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"] if each["type"] in OWN}
        return cls(status["verdict"], found, status.get("because", ""))


def experiment(name: str) -> Path:
    """Return the file of an experiment of this folder."""
    return EXPERIMENTS / f"{name}.yaml"


class CommandLine:
    """`aftershock run FILE` in a process of its own, under way."""

    def __init__(self, name: str, runs: Path) -> None:
        self._runs = runs / name
        line = [sys.executable, "-m", "aftershock", "run", experiment(name), "--out", self._runs, "--json"]
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def told(self) -> Told:
        """Wait for its end."""
        said, _ = self._process.communicate(timeout=PATIENCE)
        found = [json.loads(path.read_text()) for path in self._runs.glob("*/run.json")]
        assert len(found) == 1 and found[0]["status"]["phase"] == "Finished", said[-3000:]
        return Told.by(found[0])


@dataclass(frozen=True)
class Namespace:
    """A namespace of the cluster in which both charts are installed."""

    cluster: Cluster
    name: str

    @property
    def there(self) -> bool:
        """Tell whether both charts are installed."""
        said = json.loads(self.cluster.helm("list", "-n", self.name, "-o", "json"))
        return {each["name"] for each in said} >= {"aftershock", "era-stack"}

    def kubectl(self, *arguments: str | Path, patience: float = 60.0, feed: str = "") -> str:
        """Run kubectl in it."""
        return self.cluster.plane.kubectl("-n", self.name, *arguments, patience=patience, feed=feed)

    def tree(self, *arguments: str) -> dict[str, Any]:
        """Return what `kubectl get` shows."""
        return dict(json.loads(self.kubectl("get", *arguments, "-o", "json")))

    def pods(self, labels: str) -> list[str]:
        """Return the names of the pods with these labels that are not about to go."""
        found = self.tree("pods", "-l", labels)["items"]
        return sorted(each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"])

    def apply(self, what: str | Path) -> str:
        """Apply an experiment of this folder, or a file; return the name of its first Run."""
        file = experiment(what) if isinstance(what, str) else what
        name = file.stem
        self.kubectl("apply", "-f", file)
        return f"{name}-{self.tree('experiment', name)['metadata']['generation']}"

    def reaches(self, run: str, way: str) -> None:
        """Wait until a Run is as a jsonpath says: `{.status.phase}=Active`. It need not be there yet."""
        try:
            self.kubectl("wait", "--for=create", f"run/{run}", "--timeout=60s", patience=70)
            self.kubectl(
                "wait", f"--for=jsonpath={way}", f"run/{run}", f"--timeout={PATIENCE:.0f}s", patience=PATIENCE + 10
            )
        except Failed as failed:
            raise Failed(f"{failed}\n{self.state()}") from None

    def told(self, run: str) -> Told:
        """Wait for the end of a Run."""
        self.reaches(run, "{.status.phase}=Finished")
        return Told.by(self.tree("run", run))

    def state(self) -> str:
        """Return what helps to find out why something did not happen."""
        parts = ["runs", "jobs,pods", "events"]
        said = [self.kubectl("get", part, "-o", "wide") for part in parts]
        said += [self.kubectl("get", "runs", "-o", 'jsonpath={range .items[*]}{.metadata.name} {.status}{"\\n"}{end}')]
        logs = (
            "logs",
            "--prefix",
            "--tail=15",
            "--ignore-errors",
            "--max-log-requests=20",
            "-l",
            "app.kubernetes.io/name=aftershock",
        )
        return "\n".join([*said, self.kubectl(*logs)])
