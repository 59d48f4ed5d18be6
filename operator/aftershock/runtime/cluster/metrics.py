"""What operator and reaper tell Prometheus, in a registry of their own. Nobody else imports this: the command line pays no
start-up time for it.

The table is all there is: the metrics are made from it, and so is docs/reference/metrics.md
(`python -m aftershock.runtime.cluster.metrics` writes it). Nothing here decides; `tally.py` says what is counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Literal
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.metrics import MetricWrapperBase

from aftershock import __version__
from aftershock.errors import TargetError

Part = Literal["operator", "reaper"]
PORT = 9090
FILE = Path("docs") / "reference" / "metrics.md"
PHASE_BUCKETS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)


@dataclass(frozen=True)
class Metric:
    """One metric: `name` without the suffix that its kind adds, who exports it, and its help."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    part: Literal["operator", "reaper", "both"]
    labels: tuple[str, ...]
    help: str

    @property
    def exported(self) -> str:
        """The name that Prometheus knows."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


RUNS = Metric(
    "aftershock_runs",
    "counter",
    "operator",
    ("namespace", "experiment", "era", "verdict"),
    "Runs that finished while this operator watched, by verdict and by the era that decided it.",
)
GOING = Metric(
    "aftershock_runs_going", "gauge", "operator", ("phase",), "Runs that have not finished, by the phase they are in."
)
PHASE = Metric(
    "aftershock_run_phase_seconds",
    "histogram",
    "operator",
    ("phase",),
    "Time that runs spent in a phase, from its beginning to its end as the operator saw them.",
)
NOT_LANDED = Metric(
    "aftershock_fault_landing_failures",
    "counter",
    "operator",
    ("namespace", "experiment", "reason"),
    "Finished runs whose faults could not be proved to have landed: they prove nothing.",
)
STUCK = Metric(
    "aftershock_runs_stuck_on_cleanup",
    "gauge",
    "operator",
    ("namespace",),
    "Runs that left something which needs somebody's hands (condition StuckOnCleanup).",
)
NOTICES = Metric(
    "aftershock_notifications",
    "counter",
    "operator",
    ("result",),
    "Notifications of verdicts: sent, or given up after every retry.",
)
HELD = Metric("aftershock_leases_held", "gauge", "reaper", ("stack",), "Leases found at the stack's targets, not over.")
OVERDUE = Metric(
    "aftershock_leases_overdue",
    "gauge",
    "reaper",
    ("stack",),
    "Leases past their expiry that are still at the stack's targets after the reaper's last look.",
)
RESIDUE = Metric(
    "aftershock_residue_found",
    "counter",
    "reaper",
    ("stack", "fault"),
    "Traces of a fault that were found past their lease: nobody else had healed them.",
)
HEALS = Metric("aftershock_reaper_heals", "counter", "reaper", ("stack", "fault"), "Traces that the reaper took away.")
UNREACHABLE = Metric(
    "aftershock_places_unreachable",
    "gauge",
    "reaper",
    ("stack",),
    "Places of the stack that did not answer the reaper's last look.",
)
LOOKED = Metric(
    "aftershock_reaper_last_look_timestamp_seconds",
    "gauge",
    "reaper",
    ("stack",),
    "When the reaper last came back from a place of the stack, in seconds since the epoch.",
)
BUILD = Metric("aftershock_build_info", "gauge", "both", ("version", "part"), "Always 1; the version that runs.")

METRICS = (
    RUNS, GOING, PHASE, NOT_LANDED, STUCK, NOTICES, HELD, OVERDUE, RESIDUE, HEALS, UNREACHABLE, LOOKED, BUILD,
)  # fmt: skip


class Metrics:
    """The metrics of one process: its part's lines of the table, in a registry that nothing else writes to."""

    def __init__(self, part: Part) -> None:
        self.registry = CollectorRegistry()
        mine = [metric for metric in METRICS if metric.part in {part, "both"}]
        self._made = {metric.name: _make(metric, self.registry) for metric in mine}
        self.set(BUILD, 1, version=__version__, part=part)
        if part == "operator":  # known beforehand: the first that is given up has to be an increase
            for result in ("sent", "given-up"):
                self._made[NOTICES.name].labels(result=result)

    def count(self, metric: Metric, **labels: str) -> None:
        """Add one to a counter."""
        made = self._made[metric.name].labels(**labels)
        assert isinstance(made, Counter)
        made.inc()

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        made = self._made[metric.name].labels(**labels)
        assert isinstance(made, Gauge)
        made.set(value)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Add a value to a histogram."""
        made = self._made[metric.name].labels(**labels)
        assert isinstance(made, Histogram)
        made.observe(value)

    def remove(self, metric: Metric, *labels: str) -> None:
        """Forget what stands under these labels."""
        self._made[metric.name].remove(*labels)

    def value(self, metric: Metric, **labels: str) -> float | None:
        """Return what is exported now; None where nothing was counted under these labels."""
        return self.registry.get_sample_value(metric.exported, labels)

    def serve(self, port: int = PORT, address: str = "0.0.0.0") -> "Served":  # noqa: S104 - a pod's own address
        """Serve `/metrics` from a thread of its own, on any free port if 0. TargetError where the port is taken."""
        try:
            server, thread = start_http_server(port, address, registry=self.registry)
        except OSError as error:
            raise TargetError(
                f"can't serve metrics on port {port}: {error.strerror}", "choose another with --metrics-port"
            ) from None
        return Served(server, thread)


@dataclass(frozen=True)
class Served:
    """A server of metrics that is up. Call it to end it."""

    server: WSGIServer
    thread: Thread

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_port)

    def __call__(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def _make(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    match metric.kind:
        case "counter":
            return Counter(metric.name, metric.help, metric.labels, registry=registry)
        case "gauge":
            return Gauge(metric.name, metric.help, metric.labels, registry=registry)
        case "histogram":
            return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=PHASE_BUCKETS)


HEAD = """# Metrics

Generated from `operator/aftershock/runtime/cluster/metrics.py`. Operator and reaper serve them at `/metrics` on port 9090;
the chart has a Service, a ServiceMonitor (`metrics.serviceMonitor.enabled`), alert rules (`metrics.rules.enabled`, and as a
plain file in `charts/aftershock/files/alerts.yaml`) and a Grafana dashboard (`metrics.dashboard.enabled`).

Counters begin at 0 with their process and count what it saw: a restarted operator doesn't count again what had finished
before. A histogram has `_bucket`, `_sum` and `_count`.
"""


def text() -> str:
    """Return the reference page."""
    return "\n".join([HEAD, *_table(), ""])


def _table() -> Iterator[str]:
    yield "| metric | kind | of | labels | what it says |"
    yield "|---|---|---|---|---|"
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.exported}` | {metric.kind} | {metric.part} | {labels} | {metric.help} |"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
