"""`docs/eras.md` says what the journals of `docs/evidence/` show, and every experiment has one on every stack that it fits."""

import gzip
from pathlib import Path

import pytest

from aftershock.adapters import store
from aftershock.core.histogram import bucket
from aftershock.core.history import Begun, Healed, Injected, Intended, Slice, encode
from aftershock.core.verdict import Verdict
from aftershock.errors import JournalError
from aftershock.reports import eras
from aftershock.reports.eras import Shown
from aftershock.stacks import values
from evidence import ROOT, planned, switched

PASSED, FAILED = Verdict.PASSED, Verdict.FAILED


@pytest.fixture(scope="module")
def shown() -> list[Shown]:
    return eras.gathered(ROOT)


def test_the_page_says_what_the_journals_show_today(shown: list[Shown]) -> None:
    page = (ROOT / eras.PAGE).read_text(encoding="utf-8")
    assert page == eras.written(page, shown, eras.refusals(ROOT)), "run: python -m aftershock.reports.eras"


def test_every_experiment_ran_on_every_stack_that_it_fits(shown: list[Shown]) -> None:
    expected = {(era, experiment.stem): why for era, experiment, why in planned()}
    refused = {(era, name): why for era, each in eras.refusals(ROOT).items() for name, why in each.items()}
    assert {pair: why for pair, why in expected.items() if why is not None} == refused, "run: make evidence"
    ran = {(one.era, one.experiment) for one in shown if not one.switched}
    assert ran == {pair for pair, why in expected.items() if why is None}, "run: make evidence"


def test_what_was_changed_after_an_incident_changes_the_verdict(shown: list[Shown]) -> None:
    verdicts = {(one.era, one.experiment, one.switched): one.judgement.verdict for one in shown}
    turned = {(era, path.stem, way) for era in values.eras() for path, way in switched(era)}
    assert {each for each in verdicts if each[2]} == turned, "run: make evidence"
    expected = {
        ("1k", "overload"): {"": FAILED, "POOL_SIZE=20": PASSED, "RATE_LIMIT=200": PASSED},
        ("10k", "peak-hour"): {"": PASSED, "CACHE=off": FAILED, "CACHE=off,INDEXES=1": PASSED},
        ("10k", "replica-lag"): {"": FAILED, "READS=split": PASSED, "CACHE=all": PASSED},
        ("1m", "failover"): {"": PASSED, "SYNCHRONOUS=on": PASSED},
    }
    for (era, name), ways in expected.items():
        assert {way: verdicts[era, name, way] for way in ways} == ways
    assert {(era, name) for era, name, _ in turned} == set(expected)


def test_every_part_of_every_stack_changes_an_indicator(shown: list[Shown]) -> None:
    """None is scenery. The Toxiproxies are the wires; what they carry is shown by every fault of a link."""
    for era in values.eras():
        read = values.load(era)
        parts = set(read.regions_of_parts()) | ({read.resolver.name} if read.resolver else set())
        (run,) = [one for one in shown if one.era == era and one.experiment == f"parts-of-{era}"]
        changed = eras.changed(run.history)
        assert set(changed) == parts
        pairs = [
            failover.members for _, failover in read.failing_over()
        ]  # of two servers one stands by: that is its use
        assert all(any(changed[name] for name in pair) for pair in pairs), changed
        assert all(changed[name] for name in parts.difference(*pairs)), changed


def test_no_journal_tells_where_it_was_made() -> None:
    """No home, no host, no user of whoever ran it."""
    for path in (ROOT / eras.EVIDENCE).glob("*/*.gz"):
        text = gzip.decompress(path.read_bytes()).decode()
        for word in ("/root", "/home/", "/work", "/Users/"):
            assert word not in text, (path, word)


def test_a_changed_journal_is_another_page(shown: list[Shown]) -> None:
    page = (ROOT / eras.PAGE).read_text(encoding="utf-8")
    assert page != eras.written(page, [one for one in shown if one.experiment != "replica-lag"], eras.refusals(ROOT))


def test_a_page_without_a_place_is_refused(shown: list[Shown]) -> None:
    with pytest.raises(ValueError, match="no place for failures"):
        eras.written("# Eras\n", shown, {})


def test_what_changes_is_told_by_how_much(tmp_path: Path) -> None:
    begun = Begun(
        at=0, run="r", token="t", origin=0.0, judge_by=[], eras=[], stack={}, experiment={"spec": {"timeline": []}}
    )
    history = [encode(begun)]
    for n in range(40):
        for name, bad, took in (
            ("a", 0, 0.3 if n >= 20 else 0.002),
            ("b", 3 if n >= 20 else 0, 0.001),
            ("c", 0, 0.001),
        ):
            failed = {"refused": bad} if bad else {}
            latency = {bucket(took): 10 - bad}
            one = Slice(
                at=n / 10, indicator=name, counted="probes", n=n, planned=10, good=10 - bad, bad=failed, latency=latency
            )
            history.append(encode(one))
    history += [
        encode(Intended(at=2.0, injection=0, fault="link-down", target="wire", lease="l", expires=9)),
        encode(Injected(at=2.0, injection=0, started=2.0)),
        encode(Healed(at=4.0, injection=0, clean=True, saw="nothing is left")),
    ]
    path = tmp_path / "journal.jsonl.gz"
    path.write_bytes(gzip.compress(b"".join(history)))
    assert eras.changed(store.read(path)) == {"wire": {"a": "298 ms instead of 2 ms", "b": "30% fail"}}


@pytest.mark.parametrize("damage", [lambda text: text[:-9], lambda text: b"no gzip" + text])
def test_a_damaged_archive_is_told(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "journal.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b"{}" * 1000)))  # type: ignore[operator]
    with pytest.raises(JournalError, match="can't read the journal"):
        store.read(path)


def test_an_archive_that_grows_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LONGEST", 1 << 20)
    path = tmp_path / "journal.jsonl.gz"
    path.write_bytes(gzip.compress(b"\0" * (2 << 20)))
    with pytest.raises(JournalError, match="more than 1 MiB"):
        store.read(path)
