"""`report.xml`: JUnit XML for a CI's own test page: a suite an era, a case a claim.

A false claim is a failure. An unknown one is an *error*: `skipped` would read as fine, and missing data never passes.
Each suite begins with a case for the verdict itself, so that it is green exactly if the era is Passed, whatever decided.
What doesn't decide (RTO) is never red: it is skipped where it is not true. The shape is what the schemas of Ant and of
Jenkins have in common. Pure.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from aftershock.core.history import History
from aftershock.core.verdict import Claim, Judgement, Truth, Verdict
from aftershock.reports.story import finding, last, stack_name, title, uptime
from aftershock.reports.wording import against, one_line


def render(history: History, judgements: Sequence[Judgement]) -> str:
    """Return the whole document."""
    suites = ET.Element("testsuites")
    for number, judgement in enumerate(judgements):
        suites.append(_suite(history, judgement, number))
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _suite(history: History, judgement: Judgement, number: int) -> ET.Element:
    name = f"aftershock.{_said(title(history.begun))}.{_said(judgement.era)}"
    cases = [_verdict(judgement, name, last(history)), *(_case(each, name) for each in judgement.claims)]
    suite = ET.Element(
        "testsuite",
        id=str(number),
        package="aftershock",
        name=name,
        timestamp=_timestamp(history.begun.origin),
        hostname=_said(stack_name(history.begun)) or "localhost",
        time=f"{last(history):.3f}",
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
    )
    suite.append(_properties(history, judgement))
    suite.extend(cases)
    ET.SubElement(suite, "system-out").text = _conditions(judgement)
    ET.SubElement(suite, "system-err")
    return suite


def _timestamp(epoch: float) -> str:
    """Return a date and time in UTC without its offset, which the schemas don't know."""
    try:
        return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%dT%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00"


def _properties(history: History, judgement: Judgement) -> ET.Element:
    begun = history.begun
    pairs = {
        "run": begun.run,
        "experiment": title(begun),
        "stack": stack_name(begun),
        "era": judgement.era,
        "uptime": uptime(judgement),
        "verdict": judgement.verdict.value,
        "because": judgement.because,
        **{f"version.{name}": version for name, version in begun.versions.items()},
    }
    properties = ET.Element("properties")
    for name, value in pairs.items():
        ET.SubElement(properties, "property", name=_said(name), value=_said(value))
    return properties


def _verdict(judgement: Judgement, suite: str, seconds: float) -> ET.Element:
    case = ET.Element("testcase", name="verdict", classname=suite, time=f"{seconds:.3f}")
    if judgement.verdict is not Verdict.PASSED:
        kind = "failure" if judgement.verdict is Verdict.FAILED else "error"
        _outcome(case, kind, judgement.verdict.value, judgement.because, _conditions(judgement))
    return case


def _case(claim: Claim, suite: str) -> ET.Element:
    case = ET.Element("testcase", name=f"{claim.kind}: {_said(claim.name)}", classname=suite, time="0.000")
    if claim.truth is Truth.TRUE:
        return case
    if not claim.binding:
        ET.SubElement(case, "skipped", message=_said(f"does not decide; {claim.truth}: {finding(claim)}"))
        return case
    kind = "failure" if claim.truth is Truth.FALSE else "error"
    _outcome(case, kind, claim.truth.value, finding(claim), _body(claim))
    return case


def _outcome(case: ET.Element, kind: str, type_: str, message: str, body: str) -> None:
    ET.SubElement(case, kind, type=type_, message=_said(message)).text = body


def _body(claim: Claim) -> str:
    lines = [claim.statement, claim.finding]
    if claim.measured is not None and claim.allowed is not None:
        lines.append(against(claim.measured, claim.allowed, claim.unit))
    lines += [f"missing: {each}" for each in claim.missing]
    return "\n".join(_said(line) for line in lines)


def _conditions(judgement: Judgement) -> str:
    return "\n".join(
        _said(f"{each.type}={each.status} ({each.reason}): {each.message}") for each in judgement.conditions
    )


def _said(text: str) -> str:
    """Return text that XML 1.0 can hold: it has no way to write most control characters, not even escaped."""
    return one_line(text)
