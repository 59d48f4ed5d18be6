"""Units: what is written comes back as the same number, and garbage is a UnitError and nothing else."""

import re
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aftershock.model.units import Duration, Percentage, Quantity, Rate, Unit, UnitError

UNITS = (Duration, Percentage, Rate, Quantity)


@pytest.mark.parametrize(
    ("unit", "text", "value", "shortest"),
    [
        (Duration, "250ms", 0.25, "250ms"),
        (Duration, "0.25s", 0.25, "250ms"),
        (Duration, "0.5ms", 0.0005, "0.5ms"),
        (Duration, "90s", 90, "1m30s"),
        (Duration, "1m30s", 90, "1m30s"),
        (Duration, "1.5s", 1.5, "1.5s"),
        (Duration, "24h", 86400, "1d"),
        (Duration, "36h", 129600, "1d12h"),
        (Duration, "43m12s", 2592, "43m12s"),
        (Duration, "4m19.2s", 259.2, "4m19.2s"),
        (Duration, "1d2h3m4s5ms", 93784.005, "1d2h3m4.005s"),
        (Duration, "0s", 0, "0s"),
        (Percentage, "99.5%", 0.995, "99.5%"),
        (Percentage, "100%", 1, "100%"),
        (Percentage, "0%", 0, "0%"),
        (Percentage, "33.3%", 0.333, "33.3%"),
        (Rate, "50/s", 50, "50/s"),
        (Rate, "600/m", 10, "10/s"),
        (Rate, "7200/h", 2, "2/s"),
        (Rate, "10/m", 10 / 60, "10/m"),
        (Rate, "1/h", 1 / 3600, "1/h"),
        (Quantity, "10000", 10000, "10k"),
        (Quantity, "10k", 10000, "10k"),
        (Quantity, "300M", 3e8, "300M"),
        (Quantity, "1.5G", 1.5e9, "1.5G"),
        (Quantity, "10500", 10500, "10500"),
    ],
)
def test_a_text_is_read_and_written_back_shortest(unit: type[Unit], text: str, value: float, shortest: str) -> None:
    read = unit.parse(text)
    assert type(read) is unit
    assert float(read) == value
    assert (str(read), f"{read}") == (shortest, shortest)


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        *(
            (unit, text)
            for unit in UNITS
            for text in ("", " ", "nan", "inf", "-1", "1e3", "1_0", "٣s", "1 s", "x", "1s\n")
        ),
        *(
            (Duration, text)
            for text in (
                "30",
                "s",
                "1s1m",
                "1ms1s",
                "-1s",
                "+1s",
                ".5s",
                "1.s",
                "1m 30s",
                "1s1s",
                "1w",
                "1S",
                "10000d",
                "9999d24h",
                "9" * 12 + "ms",
                "0.0000001s",
                "0.0001ms",
            )
        ),
        *(
            (Percentage, text)
            for text in ("99", "100.1%", "101%", "-1%", "%", "1000%", "100.0001%", "0.0000000000001%")
        ),
        *((Rate, text) for text in ("50", "50/d", "/s", "50/", "50 /s", "-50/s")),
        *((Quantity, text) for text in ("10K", "k", "1kk", "1,000", "-1", "9" * 16, "9" * 16 + "k")),
    ],
)
def test_anything_else_is_refused_with_an_example(unit: type[Unit], text: str) -> None:
    with pytest.raises(UnitError, match=re.escape(unit.example)):
        unit.parse(text)


numbers = st.builds(
    lambda whole, part: f"{whole}.{part}" if part else str(whole),
    st.integers(0, 10**15 - 1),
    st.text("0123456789", max_size=12),
)
lengths = st.builds("{}.{:03}".format, st.integers(0, 1999), st.integers(0, 999))
texts = st.one_of(
    st.tuples(st.just(Quantity), st.builds("{}{}".format, numbers, st.sampled_from(["", "k", "M", "G"]))),
    st.tuples(st.just(Rate), st.builds("{}/{}".format, numbers, st.sampled_from("smh"))),
    st.tuples(st.just(Percentage), st.builds("{}.{}%".format, st.integers(0, 99), st.integers(0, 10**12 - 1))),
    st.tuples(
        st.just(Duration),
        st.lists(st.sampled_from(["d", "h", "m", "s", "ms"]), unique=True, min_size=1).flatmap(
            lambda units: st.tuples(*(lengths for _ in units)).map(
                lambda parts: "".join(
                    f"{number}{unit}"
                    for number, unit in zip(parts, sorted(units, key=["d", "h", "m", "s", "ms"].index), strict=True)
                )
            )
        ),
    ),
)


@settings(deadline=None)
@given(texts)
@example((Quantity, "1000000000.0001M"))
@example((Rate, "999999999999999.9/h"))
@example((Rate, "999999999999999.99/s"))
@example((Quantity, "999999999999999.92G"))
@example((Duration, "9998d86399999.999ms"))
def test_every_text_of_a_unit_comes_back_as_the_same_number(pair: tuple[type[Unit], str]) -> None:
    unit, text = pair
    value = unit.parse(text)
    again = str(value)
    assert unit.parse(again) == value
    if unit is not Duration:
        assert len(again) <= len(text)


@settings(deadline=None)
@given(st.sampled_from(UNITS), st.floats(0, 1))
@example(Rate, 1 / 3)
@example(Percentage, 0.07)
@example(Percentage, 1 / 3)
@example(Duration, 5e-324)
def test_every_share_comes_back_as_near_as_a_text_can_be(unit: type[Unit], value: float) -> None:
    again = unit.parse(str(unit(value)))
    assert abs(again - value) <= unit.finest
    assert unit.parse(str(again)) == again


@settings(deadline=None)
@given(st.sampled_from(UNITS), st.floats(0, 8e8))
def test_every_number_comes_back_as_near_as_a_text_can_be(unit: type[Unit], value: float) -> None:
    if unit is not Percentage:
        again = unit.parse(str(unit(value)))
        assert abs(again - value) <= float(unit.finest) + value * 2**-52
        assert unit.parse(str(again)) == again


@settings(deadline=None)
@given(st.tuples(*(st.integers(0, 99) for _ in range(5))), st.tuples(*(st.integers(0, 99) for _ in range(5))))
def test_durations_are_ordered_like_their_exact_sums(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    factors = [Decimal(86400), Decimal(3600), Decimal(60), Decimal(1), Decimal("0.001")]

    def written(parts: tuple[int, ...]) -> str:
        return "".join(f"{number}{unit}" for number, unit in zip(parts, ("d", "h", "m", "s", "ms"), strict=True))

    def exact(parts: tuple[int, ...]) -> Decimal:
        return sum((number * factor for number, factor in zip(parts, factors, strict=True)), Decimal(0))

    assert float(Duration.parse(written(a))) == float(exact(a))
    assert (Duration.parse(written(a)) < Duration.parse(written(b))) == (exact(a) < exact(b))


@settings(deadline=None)
@given(st.sampled_from(UNITS), st.text() | st.text("0123456789.dhms%/kMG -+e", max_size=12))
def test_garbage_is_a_unit_error_or_a_finite_number(unit: type[Unit], text: str) -> None:
    try:
        value = unit.parse(text)
    except UnitError:
        return
    assert 0 <= value < float("inf")
    assert unit.parse(str(value)) == value


@pytest.mark.parametrize("unit", UNITS)
def test_the_pattern_fits_into_a_schema(unit: type[Unit]) -> None:
    """A schema carries the pattern: RE2 knows no look-around and no back-references."""
    assert unit.pattern.startswith("^")
    assert unit.pattern.endswith("$")
    assert "(?" not in unit.pattern
    assert not re.search(r"\\[1-9]", unit.pattern)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("unit", UNITS)
def test_a_number_that_no_text_can_have_still_prints(unit: type[Unit], value: float) -> None:
    assert str(unit(value))


def test_arithmetic_gives_plain_numbers() -> None:
    assert type(Duration(1) + Duration(2)) is float
    assert repr(Duration(90)) == "Duration('1m30s')"
