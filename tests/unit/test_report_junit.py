"""JUnit XML: green exactly where the era is Passed, and in the shape that CI servers read."""

import re
from xml.etree import ElementTree as ET

import msgspec
import pytest

import report_samples as samples
from aftershock.core.verdict import Condition, Judgement, Truth, Verdict
from aftershock.reports import junit

SUITE = ["id", "package", "name", "timestamp", "hostname", "time", "tests", "failures", "errors", "skipped"]


def _suites(judgements: list[Judgement]) -> list[ET.Element]:
    history, _ = samples.demo()
    return list(ET.fromstring(junit.render(history, judgements).encode()))


def _red(suite: ET.Element) -> set[str]:
    cases = [case for case in suite.iter("testcase") if any(found.tag in ("failure", "error") for found in case)]
    return {case.get("name", "") for case in cases}


def test_a_suite_an_era_and_a_case_a_claim_after_the_verdict() -> None:
    _, judgements = samples.demo()
    suites = _suites(judgements)
    assert [suite.get("name") for suite in suites] == [
        f"aftershock.db-connection-exhaustion.{j.era}" for j in judgements
    ]
    for suite, judged in zip(suites, judgements, strict=True):
        names = [case.get("name") for case in suite.iter("testcase")]
        assert names == ["verdict", *(f"{claim.kind}: {claim.name}" for claim in judged.claims)]


def test_a_passed_era_is_green_and_a_failed_one_is_red() -> None:
    _, judgements = samples.demo()
    passed, _, failed, _ = _suites(judgements)
    assert _red(passed) == set()
    assert _red(failed) == {"verdict", "budget: uptime"}
    assert (failed.get("failures"), failed.get("errors")) == ("2", "0")


def test_an_unknown_claim_is_an_error_and_not_skipped() -> None:
    _, judgements = samples.unknown()
    (suite,) = _suites(judgements)
    case = next(case for case in suite.iter("testcase") if case.get("name") == "budget: uptime")
    error = case.find("error")
    assert error is not None
    assert "meeting-success from 24 to 31 s" in error.get("message", "")
    assert case.find("skipped") is None
    assert _red(suite) == {"verdict", "budget: uptime"}


@pytest.mark.parametrize("verdict", [each for each in Verdict if each is not Verdict.PASSED])
def test_no_verdict_but_passed_is_green_even_if_every_claim_is_true(verdict: Verdict) -> None:
    _, judgements = samples.demo()
    residue = Condition(type="CleanedUp", status="False", reason="Left", message="1 session")
    judged = msgspec.structs.replace(judgements[0], verdict=verdict, conditions=[residue])
    (suite,) = _suites([judged])
    assert _red(suite) == {"verdict"}
    assert "CleanedUp=False" in "".join(suite.itertext())


@pytest.mark.parametrize("truth", [Truth.FALSE, Truth.UNKNOWN])
def test_a_claim_that_does_not_decide_is_never_red(truth: Truth) -> None:
    _, judgements = samples.demo()
    told = msgspec.structs.replace(judgements[0].claims[0], truth=truth, binding=False)
    (suite,) = _suites([msgspec.structs.replace(judgements[0], claims=[told])])
    assert _red(suite) == set()
    assert suite.get("skipped") == "1"
    skipped = suite.find(".//skipped")
    assert skipped is not None
    assert set(skipped.attrib) == {"message"}


@pytest.mark.parametrize("sample", samples.SAMPLES)
def test_shape_is_what_the_schemas_of_ant_and_jenkins_share(sample: str) -> None:
    root = ET.fromstring(junit.render(*samples.SAMPLES[sample]()).encode())
    assert (root.tag, root.attrib) == ("testsuites", {})
    for suite in root:
        assert list(suite.attrib) == SUITE
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        cases = list(suite.iter("testcase"))
        assert [each.tag for each in suite] == ["properties", *["testcase"] * len(cases), "system-out", "system-err"]
        assert int(suite.get("tests", "")) == len(cases)
        for kind, total in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(suite.get(total, "")) == len(list(suite.iter(kind)))
        assert all(set(case.attrib) == {"name", "classname", "time"} and len(case) <= 1 for case in cases)
        assert all(set(found.attrib) == {"type", "message"} for case in cases for found in case)


def test_verdict_and_reason_stand_among_the_properties() -> None:
    _, judgements = samples.demo()
    found = {each.get("name"): each.get("value") for each in _suites(judgements)[0].iter("property")}
    assert found["verdict"] == "Passed"
    assert found["because"] == judgements[0].because
    assert found["run"] == "db-connection-exhaustion-1"
