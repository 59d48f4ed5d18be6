"""The seven eras: what the history says, with a source on every figure, and derived figures that follow from the others."""

from pathlib import Path
from typing import Any

import pytest

from aftershock.model.era import Era
from aftershock.model.load import load

ERAS = Path(__file__).parents[2] / "charts" / "era-stack" / "eras"
NAMES = ["1k", "10k", "100k", "1m", "10m", "covid", "post"]
HOURS = {"1k": 3.6, "10k": 0.72, "100k": 0.36, "1m": 0.072, "10m": 0.072, "covid": 0.072, "post": 0.072}
UPTIME = {
    "1k": (0.95, "achieved"),
    "10k": (0.99, "stated"),
    "100k": (0.995, "stated"),
    "1m": (0.999, "achieved"),
    "10m": (0.999, "inherited"),
    "covid": (0.999, "inherited"),
    "post": (0.999, "inherited"),
}


def era(name: str) -> Era:
    (document,) = load(ERAS / f"{name}.yaml").sound()
    assert isinstance(document.object, Era)
    return document.object


def test_there_are_seven() -> None:
    assert sorted(path.stem for path in ERAS.iterdir()) == sorted(NAMES)
    assert [era(name).metadata.name for name in NAMES] == NAMES


def figures(tree: Any, way: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every record of a tree that carries a figure, and where it stands."""
    found = []
    if isinstance(tree, dict):
        if {"users", "target", "below", "value"} & set(tree):
            found.append((way, tree))
        found += [figure for key, value in tree.items() for figure in figures(value, f"{way}.{key}")]
    elif isinstance(tree, list):
        found += [figure for place, value in enumerate(tree) for figure in figures(value, f"{way}[{place}]")]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_a_source(name: str) -> None:
    (document,) = load(ERAS / f"{name}.yaml").sound()
    found = figures(document.tree)
    assert len(found) >= 4
    for way, figure in found:
        assert figure.get("source", {}).get("kind") in ("stated", "achieved", "inherited", "derived"), way


@pytest.mark.parametrize("name", NAMES)
def test_uptime_is_what_the_history_says(name: str) -> None:
    uptime = era(name).spec.objectives[0]
    assert (uptime.name, uptime.indicator) == ("uptime", "meeting-success")
    assert (uptime.target, uptime.source.kind) == UPTIME[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_rto_is_derived_from_window_uptime_and_share(name: str) -> None:
    spec = era(name).spec
    rto, uptime = spec.recovery.rto, spec.objectives[0].target
    assert rto is not None
    assert uptime is not None
    assert rto.source.kind == "derived"
    assert float(rto.value) == pytest.approx(spec.window * (1 - uptime) * spec.incident_share)
    assert rto.value / 3600 == pytest.approx(HOURS[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_rpo_is_the_one_that_was_measured_once(name: str) -> None:
    rpo = era(name).spec.recovery.rpo
    assert rpo is not None
    assert (rpo.value, rpo.source.kind) == (86400, "achieved" if name == "1k" else "inherited")


def test_a_promise_is_never_an_achievement() -> None:
    stated = [(name, one.name) for name in NAMES for one in era(name).spec.objectives if one.source.kind == "stated"]
    assert stated == [("10k", "uptime"), ("100k", "uptime")]
    (achieved,) = era("100k").spec.figures
    assert (achieved.name, achieved.value, achieved.source.kind) == ("uptime-achieved", "99.7%", "achieved")


def test_latencies_and_shares_beside_uptime() -> None:
    beside = {
        (name, one.name): one.below if one.below is not None else one.target
        for name in NAMES
        for one in era(name).spec.objectives[1:]
    }
    assert beside == {
        ("1k", "join-latency"): 10,
        ("10k", "join-latency"): 5,
        ("10k", "latency"): 0.5,
        ("100k", "audio-latency"): 0.2,
        ("100k", "webrtc-setup"): 0.995,
        ("1m", "audio-latency"): 0.15,
        ("1m", "video-latency"): 0.2,
        ("1m", "webrtc-setup"): 0.998,
    }


def test_figures_that_contradict_themselves_are_not_carried() -> None:
    for name in NAMES:
        for figure in era(name).spec.figures:
            assert "0.67" not in figure.value
            assert "5x" not in figure.value.split()
