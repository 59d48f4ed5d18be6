"""Era by failure: what the runs whose journals lie in `docs/evidence/` showed. `python -m aftershock.reports.eras` writes it.

A journal lies there as `<era>/<experiment>.jsonl.gz`, or `<experiment>@SWITCH=VALUE,….jsonl.gz` where the stack's switches were
turned; `refused.json` holds why an experiment can't run on an era's stack. Every verdict is judged anew from the journal, by
the era whose stack ran: what stands on the page is what the judge says today.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from aftershock.adapters import store
from aftershock.core.histogram import merge, quantile
from aftershock.core.history import SLICE, History, Slice
from aftershock.core.inputs import eras as eras_of
from aftershock.core.judge import judge
from aftershock.core.verdict import Judgement
from aftershock.reports import story
from aftershock.reports.wording import against, interval, latency

PAGE = Path("docs") / "eras.md"
EVIDENCE = Path("docs") / "evidence"
ENDING = ".jsonl.gz"
REFUSED = "refused.json"
PARTS = "parts-of-"
"""What the names of experiments begin with that take one part after the other down: they have a table of their own."""

BEGIN, END = "<!-- from docs/evidence: {} -->", "<!-- to here -->"

SHARE, ALL = 0.05, 0.98
"""Which share of an indicator's requests has to fail for it to count as changed, and which is told as all."""
FACTOR, MORE = 3.0, 0.02
"""How many times as long its median has to take, and how many seconds longer."""


class Shown(msgspec.Struct, frozen=True):
    """One run: its journal, and how it is judged by the era whose stack ran, or by the experiment's own.

    `switched`: as `CACHE=off`, or empty.
    """

    era: str
    experiment: str
    switched: str
    history: History
    judgement: Judgement


def gathered(root: Path) -> list[Shown]:
    """Return every run that lies under `root`, a checkout, in the order of eras and names."""
    found = []
    for path in sorted((root / EVIDENCE).glob(f"*/*{ENDING}")):
        history = store.read(path)
        known = eras_of(history.begun)
        stack = path.parent.name
        era = known.get(stack) or known[history.begun.judge_by[0]]
        experiment, _, switched = path.name.removesuffix(ENDING).partition("@")
        found.append(Shown(stack, experiment, switched, history, judge(history, era)))
    return sorted(found, key=lambda one: (_size(one.era), one.experiment, one.switched))


def refusals(root: Path) -> dict[str, dict[str, str]]:
    """Return why experiments can't run on an era's stack: by era, and by the experiment's name."""
    path = root / EVIDENCE / REFUSED
    return msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, str]]) if path.exists() else {}


def written(page: str, shown: Sequence[Shown], refused: Mapping[str, Mapping[str, str]]) -> str:
    """Return the page with its tables made anew. Each stands between two comments."""
    runs = [one for one in shown if not one.experiment.startswith(PARTS) and not one.switched]
    page = _replaced(page, "failures", "\n".join(_failures(runs, refused)))
    page = _replaced(page, "runs", "\n".join(_runs(runs)))
    for era in {one.era for one in shown if one.switched}:
        page = _replaced(page, f"switches of {era}", "\n".join(_switches([one for one in shown if one.era == era])))
    for one in shown:
        if one.experiment.startswith(PARTS):
            page = _replaced(page, one.experiment, "\n".join(_parts(one.history)))
    return page


def changed(history: History) -> dict[str, dict[str, str]]:
    """Return which indicators changed while each target of the run was hit, and how: by target, and by indicator."""
    found: dict[str, dict[str, str]] = {}
    windows = sorted(story.windows(history), key=lambda each: each.start)
    before = {name: _seen(history, name, 0.0, windows[0].start) for name in _indicators(history)} if windows else {}
    for window in windows:
        during = {name: _seen(history, name, window.start, window.end) for name in before}
        differing = {name: _difference(before[name], during[name]) for name in before}
        found[window.target] = {name: how for name, how in differing.items() if how}
    return found


class _Stretch(msgspec.Struct, frozen=True):
    """What an indicator's requests came to: how many, how many failed in which way, and the median of what was measured."""

    answered: int
    bad: Mapping[str, int]
    median: float | None


def _seen(history: History, indicator: str, start: float, end: float) -> _Stretch:
    slices = [
        one
        for one in history.all(Slice)
        if (one.indicator, one.counted) == (indicator, "probes")
        and start <= one.n * SLICE
        and (one.n + 1) * SLICE <= end
    ]
    bad: Counter[str] = Counter()
    for one in slices:
        bad.update(one.bad)
    median = quantile(merge(one.latency for one in slices), 0.5)
    return _Stretch(sum(one.good for one in slices) + bad.total(), bad, median)


def _difference(before: _Stretch, during: _Stretch) -> str:
    """Say what is different. A kind of failure that was there before is none: a stale read now and then is usual."""
    failed = sum(count for kind, count in during.bad.items() if kind not in before.bad) / max(1, during.answered)
    if failed >= SHARE:
        return "all fail" if failed >= ALL else f"{failed:.0%} fail"
    if before.median is None or during.median is None:
        return ""
    if during.median >= FACTOR * before.median and during.median - before.median >= MORE:
        return f"{latency(during.median)} instead of {latency(before.median)}"
    return ""


def _indicators(history: History) -> list[str]:
    return list(dict.fromkeys(name for name, counted in story.measured_indicators(history) if counted == "probes"))


def _parts(history: History) -> Iterator[str]:
    indicators = _indicators(history)
    yield from _table(
        ["down", *(f"`{name}`" for name in indicators)],
        ([f"`{part}`", *(how.get(name, "–") for name in indicators)] for part, how in changed(history).items()),
    )


def _failures(runs: Sequence[Shown], refused: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """An experiment that is written for one era's stack alone is called after both, and stands in the row of its like."""
    eras = sorted({*(one.era for one in runs), *refused}, key=_size)
    known = {(one.era, one.experiment.removesuffix(f"-{one.era}")): one for one in runs}
    told = {name for each in refused.values() for name in each if not name.startswith(PARTS)}
    names = sorted(
        name for name in {one.experiment for one in runs} | told if not any(name.endswith(f"-{era}") for era in eras)
    )

    def cell(era: str, name: str) -> str:
        if (one := known.get((era, name))) is not None:
            own = "" if one.experiment == name else f" ([its own file](../experiments/{one.experiment}.yaml))"
            return f"{_verdict(one)}{own}"
        return refused.get(era, {}).get(name, "not run").removeprefix(f"stack `meetings-{era}` names ")

    yield from _table(
        ["experiment", *eras],
        ([f"[{name}](../experiments/{name}.yaml)", *(cell(era, name) for era in eras)] for name in names),
    )


def _runs(runs: Iterable[Shown]) -> Iterator[str]:
    yield from _table(
        ["experiment", "era", "verdict", "conditions", "outage (RTO)", "acknowledged writes lost", "budget spent"],
        (
            [
                f"[{one.experiment}](evidence/{one.era}/{one.experiment}{ENDING})",
                one.era,
                _verdict(one),
                _conditions(one.judgement),
                _outage(one.judgement),
                _lost(one.history),
                _spent(one.judgement),
            ]
            for one in runs
        ),
    )


def _switches(shown: Sequence[Shown]) -> Iterator[str]:
    """Put what a switch changes beside what is so without it."""
    turned = {one.experiment for one in shown if one.switched}
    yield from _table(
        ["experiment", "switches", "verdict", "what decided"],
        (
            [
                f"[{one.experiment}](../experiments/{one.experiment}.yaml)",
                f"`{one.switched}`" if one.switched else "as the stack comes",
                _verdict(one),
                one.judgement.because,
            ]
            for one in shown
            if one.experiment in turned
        ),
    )


def _verdict(one: Shown) -> str:
    judgement = one.judgement
    said = f"{story.SIGN[judgement.verdict]} {judgement.verdict.value}"
    return said if judgement.era == one.era else f"{said}, by era {judgement.era}"


def _conditions(judgement: Judgement) -> str:
    """Name the four; what is not true with its status."""
    return ", ".join(
        each.type if each.status == "True" else f"{each.type} {each.status}" for each in judgement.conditions
    )


def _outage(judgement: Judgement) -> str:
    length, whose = story.longest_outage(judgement)
    if length != "none":
        return f"{length} ({whose})"
    aside = story.longest_aside(judgement)
    return f"none that is judged; {interval(aside.rto)} ({aside.indicator})" if aside else "none"


def _lost(history: History) -> str:
    told = [
        f"{one.lost_count:,} of {one.acknowledged:,}" if one.read else "not known" for one in story.ledgers(history)
    ]
    return ", ".join(told) or "no ledger"


def _spent(judgement: Judgement) -> str:
    claim = story.tightest(judgement)
    if claim is None or claim.measured is None or claim.allowed is None:
        return "not judged"
    return f"{against(claim.measured, claim.allowed, claim.unit)} ({claim.name})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(each.replace('|', '/') for each in row)} |"


def _replaced(page: str, what: str, table: str) -> str:
    """Put a table between its two comments. ValueError where the page has no place for it."""
    begin = BEGIN.format(what)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the page has no place for {what}: write {begin} and {END} on lines of their own")
    return f"{before}{begin}\n{table}\n{END}{after}"


def _size(era: str) -> tuple[int, str]:
    """Order eras by their users: `1k` before `10k` before `1m`; others come last, by name.

    >>> sorted(["covid", "1m", "10k", "1k"], key=_size)
    ['1k', '10k', '1m', 'covid']
    """
    factor = {"k": 1_000, "m": 1_000_000}.get(era[-1:], 0)
    return (int(era[:-1]) * factor if factor and era[:-1].isdigit() else 10**12, era)


if __name__ == "__main__":
    here = Path()
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), gathered(here), refusals(here)), encoding="utf-8")
