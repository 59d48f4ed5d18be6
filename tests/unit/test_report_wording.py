"""How numbers read in reports, and that no text can do more than be read."""

import doctest
import unicodedata
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftershock.core.verdict import Interval
from aftershock.reports.wording import against, instant, interval, latency, one_line, printable

DOCUMENTED = ("wording", "markdown", "page.axes", "page.evidence", "page.markup", "page.opening")


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_in_docstrings_hold(name: str) -> None:
    done = doctest.testmod(import_module(f"aftershock.reports.{name}"))
    assert done.attempted > 0
    assert done.failed == 0


def test_an_interval_is_never_printed_as_a_point() -> None:
    assert interval(Interval(30.07, 30.12)) == "30.07 to 30.12 s"
    assert interval(Interval(0.0901, 0.0904)) == "90.1 to 90.4 ms"
    assert interval(Interval(30.0, 30.0)) == "30 s"


def test_zero_is_a_lower_end_like_any_other() -> None:
    assert interval(Interval(0.0, 30.2)) == "0 to 30 s"


def test_what_is_just_over_the_allowance_does_not_read_as_equal() -> None:
    assert against(Interval(2592.2, 2592.4), 2592.0, "s") == "just over 43 min 12 s of 43 min 12 s"
    assert against(Interval(2591.6, 2591.9), 2592.0, "s") == "just under 43 min 12 s of 43 min 12 s"


@pytest.mark.parametrize(
    ("seconds", "read"), [(0.0, "0.0 s"), (59.96, "1:00.0"), (3599.97, "1:00:00.0"), (61.25, "1:01.2")]
)
def test_an_instant_carries_over(seconds: float, read: str) -> None:
    assert instant(seconds) == read


@pytest.mark.parametrize("seconds", [0.0001, 0.00994, 0.00995, 0.01])
def test_a_latency_has_a_number_and_a_unit(seconds: float) -> None:
    number, unit = latency(seconds).split(" ")
    assert float(number) == pytest.approx(seconds * 1000, rel=0.06, abs=0.05)
    assert unit == "ms"


@given(st.text())
def test_printable_text_holds_no_control_and_no_override(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert "\n" not in one_line(text)
